"""Where pictures come from: folders, patterns, tables, tar shards, object storage.

Each becomes a Daft table with the columns of `COLUMNS`: `path` identifies a picture in the output;
its content is in `content`, or in `file`, from the byte `position` on, `size` bytes long.
"""

import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from errno import EIO
from functools import partial
from glob import glob, has_magic
from importlib import import_module
from io import BytesIO
from typing import Any

from cutline.errors import DataError, NoPictureError
from cutline.images.find import find_pictures
from cutline.images.formats import is_picture
from cutline.io.tables import import_parquet

COLUMNS = ("path", "file", "position", "size", "content")
Row = tuple[str, str, int | None, int | None]
"""The first columns of `COLUMNS`."""
NAMES = ("path", "url", "id", "key", "file_name", "filename", "__key__")
"""Columns of a table that may identify a picture, in order of preference."""
TOGETHER = 512 * 10**6
"""Bytes of tables with pictures in them that are read in one query: Daft holds them in memory."""


def read_sources(
    daft: Any, sources: Sequence[str], skipped: Counter[str], *, recursive: bool
) -> Iterator[Any]:
    """Daft tables of the pictures of folders, patterns, lists, `.parquet` and `.tar` files.

    Pictures that are named by path are in the first table. Raises `DataError`.
    """
    tables, others = _expand(daft, sources, ".parquet")
    shards, others = _expand(daft, others, ".tar")
    remote = [source for source in others if "://" in source]
    local = [source for source in others if "://" not in source]
    named = [*_find_local(local, skipped, recursive=recursive), *_find_remote(daft, remote)]
    rows: list[Row] = [(path, path, None, None) for path in dict.fromkeys(named)]
    rows += [row for shard in shards for row in _list_shard(daft, shard)]
    if others and not named:
        raise NoPictureError(f"{', '.join(others)}: there are no pictures")
    if rows:
        yield _as_frame(daft, rows)
    for some in _group(daft, tables):
        yield _read_tables(daft, some)


class _Stored:
    """A picture in a tar file, in a table or in object storage, opened when it is read."""

    def __init__(self, name: str, open: Callable[[], Any]) -> None:
        self.name, self._open = name, open

    def read(self, size: int = -1) -> bytes:
        """Its content. Raises `OSError`."""
        try:
            with self._open() as file:
                return file.read(size)
        except FileNotFoundError:
            raise
        except Exception as error:  # each store has its own
            raise OSError(EIO, first_line(error)) from None


def open_picture(
    path: str, file: str | None, position: int | None, size: int | None, content: bytes | None
) -> str | _Stored:
    """What a worker reads of a row of `COLUMNS`: the path of a local file, or an open file."""
    if file is None:
        return _Stored(path, partial(BytesIO, content or b""))
    if position is None and "://" not in file:
        return file
    stored = import_module("daft").File(file, position=position, size=size)
    return _Stored(path, stored.open)


def _expand(daft: Any, sources: Iterable[str], suffix: str) -> tuple[list[str], list[str]]:
    """The files with this suffix that are named, also by patterns; and the other sources."""
    chosen, others = list[str](), list[str]()
    for source in sources:
        if not source.lower().endswith(suffix):
            others.append(source)
            continue
        found = _glob(daft, source) if has_magic(source) else [source]
        if not found:
            raise NoPictureError(f"{source} matches nothing")
        chosen += found
    return chosen, others


def _glob(daft: Any, pattern: str) -> list[str]:
    """The files that match a pattern, sorted."""
    if "://" not in pattern:
        return sorted(glob(pattern, recursive=True))  # noqa: PTH207  (may be absolute)
    try:
        return sorted(daft.from_glob_path(pattern).to_pydict()["path"])
    except Exception as error:  # each store has its own
        raise DataError(f"{pattern} cannot be listed: {first_line(error)}") from None


def _find_local(paths: Sequence[str], skipped: Counter[str], *, recursive: bool) -> Iterator[str]:
    """The pictures that `cutline caption` would find; what cannot be read gets its row, too."""
    for path, problem in find_pictures(paths, recursive=recursive, skipped=skipped):
        if isinstance(problem, NoPictureError):
            raise problem
        yield path.encode("utf8", "replace").decode()  # Arrow stores valid UTF-8 only


def _find_remote(daft: Any, urls: Iterable[str]) -> Iterator[str]:
    """The pictures below each URL; one that ends like a picture is itself one."""
    for url in urls:
        if is_picture(url.rpartition("/")[2]) and not has_magic(url):
            yield url
        else:
            found = _glob(daft, url if has_magic(url) else f"{url.rstrip('/')}/**")
            yield from (path for path in found if is_picture(path.rpartition("/")[2]))


def _list_shard(daft: Any, shard: str) -> Iterator[Row]:
    """The pictures in an uncompressed tar file: `shard.tar/000123.jpg`, and where they are."""
    try:
        with daft.File(shard).open() as file, tarfile.open(fileobj=file, mode="r:") as members:
            for each in members:
                if each.isreg() and is_picture(each.name.rpartition("/")[2]):
                    yield f"{shard}/{each.name}", shard, each.offset_data, each.size
    except FileNotFoundError:
        raise DataError(f"{shard} does not exist") from None
    except Exception as error:  # each store has its own
        raise DataError(
            f"{shard} cannot be read as an uncompressed tar file: {first_line(error)}"
        ) from None


def _as_frame(daft: Any, rows: Sequence[Row]) -> Any:
    arrow, _ = import_parquet()
    kinds = (arrow.string(), arrow.string(), arrow.int64(), arrow.int64())
    columns = [arrow.array([row[n] for row in rows], kind) for n, kind in enumerate(kinds)]
    table = arrow.table([*columns, arrow.nulls(len(rows), arrow.binary())], names=COLUMNS)
    return daft.from_arrow(table)


def _group(daft: Any, tables: Sequence[str]) -> Iterator[list[str]]:
    """Tables that are read together, so that the memory of one query is bounded."""
    some, size = list[str](), 0
    for table in tables:
        try:
            length = daft.File(table).size()
        except Exception as error:  # each store has its own
            raise DataError(f"{table} cannot be read: {first_line(error)}") from None
        if some and size + length > TOGETHER:
            yield some
            some, size = [], 0
        some, size = [*some, table], size + length
    if some:
        yield some


def _read_tables(daft: Any, paths: Sequence[str]) -> Any:
    """Tables with a text column that identifies a picture, and one with its bytes or address."""
    try:
        frame = daft.read_parquet(list(paths))
        fields = {field.name: field.dtype for field in frame.schema()}
    except Exception as error:
        raise DataError(f"{paths[0]} cannot be read as Parquet: {first_line(error)}") from None
    name = next((each for each in NAMES if each in fields and fields[each].is_string()), None)
    if name is None:
        raise DataError(
            f"{paths[0]} has no column of texts that identifies its pictures ({', '.join(NAMES)}); "
            f"its columns are {', '.join(fields)}"
        )
    contents = [_content_of(daft, each, kind) for each, kind in fields.items()]
    content = next((each for each in contents if each is not None), None)
    nothing = daft.lit(None)
    return frame.select(
        daft.col(name).alias("path"),
        (nothing.cast("string") if content is not None else daft.col(name)).alias("file"),
        nothing.cast("int64").alias("position"),
        nothing.cast("int64").alias("size"),
        (nothing.cast("binary") if content is None else content).alias("content"),
    )


def _content_of(daft: Any, name: str, kind: Any) -> Any:
    """The bytes of a column of bytes, or of structures with bytes; None for any other."""
    if kind.is_binary():
        return daft.col(name)
    if kind.is_struct() and kind.fields.get("bytes") == daft.DataType.binary():
        return daft.col(name)["bytes"]
    return None


def first_line(error: BaseException) -> str:
    """The beginning of a message of Daft, which may quote whole tracebacks."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
