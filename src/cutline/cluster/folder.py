"""A folder of Parquet files that captions are added to: files are whole or absent.

Every file says in its metadata which model and options wrote it, so that only captions of one
request are in a folder, and no other program's files are taken for cutline's.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cutline.cluster.columns import caption_schema
from cutline.errors import DataError
from cutline.inference.library import Finished
from cutline.io.atomic import atomic_write, remove_partial_files, try_lock
from cutline.io.tables import import_parquet

REQUEST = b"cutline"
"""The metadata key of the request."""


class CaptionFolder:
    """Captions by path; one process adds to it at a time."""

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        arrow, _ = import_parquet()
        self.path, self._request = path, json.dumps(request, sort_keys=True).encode()
        columns = [arrow.field("path", arrow.string()), *caption_schema()]
        self.schema = arrow.schema(columns, {REQUEST: self._request})
        self._parts: list[Path] = []

    @classmethod
    @contextmanager
    def open(cls, path: Path, request: Mapping[str, Any]) -> Iterator["CaptionFolder"]:
        """The folder, locked. Raises `DataError` if it is in use, not cutline's, or of another
        request, and where it cannot be read or written.
        """
        try:
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise DataError(f"{path} cannot be written: with --engine it is a folder")
            path.mkdir(parents=True, exist_ok=True)
            with try_lock(path.with_name(f".{path.name}.lock")) as alone:
                if not alone:
                    raise DataError(
                        f"another cutline process is writing {path}: wait for it to finish"
                    )
                remove_partial_files(path)
                folder = cls(path, request)
                folder._parts = [folder._require_own(each) for each in sorted(path.iterdir())]
                yield folder
        except OSError as error:
            raise DataError(
                f"{error.filename or path} cannot be read or written: {error.strerror or error}; "
                "the captions so far are kept, and the same call resumes"
            ) from None

    def paths(self) -> Any:
        """The pictures that have a row: a `pyarrow.Table` with the column `path`."""
        arrow, parquet = import_parquet()
        empty = self.schema.empty_table().select(["path"])
        tables = [parquet.read_table(part, columns=["path"]) for part in self._parts]
        return arrow.concat_tables([empty, *tables]).combine_chunks()

    def append(self, rows: Any) -> None:
        """Add a table of rows as one more file, which is on the disk when this returns."""
        number = 1 + int(self._parts[-1].stem.rpartition("-")[2]) if self._parts else 0
        part = self.path / f"part-{number:06}.parquet"
        self._write(rows, part)
        self._parts.append(part)

    def forget_failed(self) -> None:
        """Remove the rows of pictures that could not be captioned, so that they are tried again."""
        arrow, parquet = import_parquet()
        for part in self._parts:
            rows = parquet.read_table(part)
            kept = rows.filter(rows["error"].is_null())
            if len(kept) < len(rows):
                self._write(kept, part)

    def count(self) -> Finished:
        """Numbers of pictures with a caption, without, and unreadable."""
        _, parquet = import_parquet()
        columns = [parquet.read_table(part, columns=["caption", "error"]) for part in self._parts]
        rows = sum(map(len, columns))
        failed = sum(len(each) - each["error"].null_count for each in columns)
        captioned = sum(len(each) - each["caption"].null_count for each in columns)
        return Finished(captioned, rows - captioned - failed, failed)

    def _write(self, rows: Any, part: Path) -> None:
        _, parquet = import_parquet()
        with atomic_write(part, clean_up=False) as file:
            parquet.write_table(rows.cast(self.schema), file)

    def _require_own(self, part: Path) -> Path:
        """The same path. Raises `DataError` unless this request wrote it."""
        arrow, parquet = import_parquet()
        try:
            request = (parquet.read_schema(part).metadata or {}).get(REQUEST)
        except arrow.ArrowException:
            request = None
        if request is None:
            raise DataError(f"{part} was not written by cutline: name another folder with --out")
        if request != self._request:
            raise DataError(
                f"{self.path} has captions of another model, or with other options: name another "
                "folder with --out"
            )
        return part
