"""Pictures inside shards: tar files and Parquet tables, read in place.

A picture in a shard has a path like one in a folder: `train-0001.tar/000123.jpg`, or the number of
its row, `train-0001.parquet/00000123`. Nothing is unpacked: of a tar, offsets are kept; of a
table, the row group that was read last.
"""

import tarfile
import threading
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cutline.errors import needs_parquet

SUFFIXES = (".tar", ".parquet")
IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "img", "picture")
"""Columns of a table in which pictures are looked for."""


class Place(NamedTuple):
    """Where a member of a tar is, in bytes."""

    offset: int
    size: int


def find_shard(path: Path) -> Path | None:
    """The shard that a path leads into, if it leads into one."""
    for parent in path.parents:
        if parent.suffix.lower() in SUFFIXES and parent.is_file():
            return parent
    return None


def read_bytes(picture: Path) -> bytes:
    """The bytes of a picture, in a shard or a file of its own."""
    shard = find_shard(picture)
    return read_member(shard, member_of(picture, shard)) if shard else picture.read_bytes()


def size_of(picture: Path) -> int | None:
    """The size of a picture in bytes; None if it does not exist."""
    shard = find_shard(picture)
    if shard is None:
        return picture.stat().st_size if picture.is_file() else None
    if shard.suffix.lower() == ".parquet":
        return len(read_bytes(picture))
    place = list_members(shard).get(member_of(picture, shard))
    return place.size if place else None


def member_of(picture: Path, shard: Path) -> str:
    """The name of a picture in its shard."""
    return picture.relative_to(shard).as_posix()


def read_member(shard: Path, name: str) -> bytes:
    """The bytes of a picture in a shard.

    Raises `OSError`, or whatever the readers raise for a damaged shard.
    """
    if shard.suffix.lower() == ".parquet":
        return _read_row(shard, int(name))
    place = list_members(shard).get(name)
    if place is None:
        raise FileNotFoundError(2, "there is no such member", str(shard / name))
    with shard.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.size)


def list_members(shard: Path) -> dict[str, Place]:
    """The regular files in a tar, by name; those whose names lead out of it are left out."""
    return _list_members(shard, _stamp(shard))


def find_image_column(names: list[str]) -> str | None:
    """The column of a table that holds the pictures."""
    return next((name for name in IMAGE_COLUMNS if name in names), None)


def _stamp(shard: Path) -> tuple[int, int]:
    """Size and modification time, which change with the file."""
    status = shard.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4096)
def _list_members(shard: Path, _: tuple[int, int]) -> dict[str, Place]:
    found = {}
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            name = PurePosixPath(member.name)
            is_inside = not name.is_absolute() and ".." not in name.parts
            if member.isreg() and not member.issparse() and is_inside:
                found[str(name)] = Place(member.offset_data, member.size)
    return found


_one_at_a_time = threading.Lock()
"""So that two threads do not both decode the same row group."""


def _read_row(shard: Path, row: int) -> bytes:
    stamp, first = _stamp(shard), 0
    with _one_at_a_time:
        for group, rows in enumerate(_group_sizes(shard, stamp)):
            if row < first + rows:
                cell = _read_group(shard, stamp, group)[row - first].as_py()
                return (cell or {}).get("bytes") or b"" if isinstance(cell, dict) else cell or b""
            first += rows
    raise FileNotFoundError(2, "there is no such row", f"{shard}/{row}")


@lru_cache(maxsize=1024)
def _group_sizes(shard: Path, _: tuple[int, int]) -> list[int]:
    with needs_parquet():
        metadata = import_module("pyarrow.parquet").read_metadata(shard)
    return [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]


@lru_cache(maxsize=2)
def _read_group(shard: Path, _: tuple[int, int], group: int) -> Any:
    """The pictures of a row group, an array of bytes or of structures with `bytes`."""
    with import_module("pyarrow.parquet").ParquetFile(shard) as file:
        column = find_image_column(file.schema_arrow.names)
        return file.read_row_group(group, columns=[column]).column(column)
