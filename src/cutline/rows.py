"""Files of captions, a row a picture: lines of JSON, CSV, Parquet; written, and read again.

A line of JSON holds all that is told of a picture, a row of a table only `COLUMNS`.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from cutline.errors import CutlineError, DataError, nearest

COLUMNS = ("path", "caption", "confidence", "log_prob", "error")
"""Of a table."""
NEEDED = ("path", "caption")
"""Columns without which a table holds no captions."""
AT_ONCE = 1_000
"""Rows of a table that are written or read together."""


class Row(NamedTuple):
    """What a file says of one picture; what a table leaves empty is None."""

    where: str
    """The file and the line, for a sentence that helps."""
    told: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a `.csv`, of a `.parquet`, or lines of JSON whatever they are called.

    Half a line of JSON at the end is none: whoever writes it has not finished, or was killed.
    Raises `DataError` for what cannot be read, and names the line.
    """
    try:
        yield from READERS.get(path.suffix.lower(), _read_lines)(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None


def _read_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                if not line.endswith("\n"):
                    return
                raise DataError(f"{where}: broken JSON") from None
            if not isinstance(told, dict):
                raise DataError(f"{where}: a line holds an object")
            yield Row(where, told)


def _read_csv(path: Path) -> Iterator[Row]:
    # file names may be any bytes, as in `_write_csv`
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        table = csv.DictReader(file, restkey="more")
        try:
            _insist_on_columns(table.fieldnames or (), path)
            for row in table:
                filled = {name: value or None for name, value in row.items()}
                yield Row(f"{path}, line {table.line_num}", filled)
        except csv.Error as error:
            raise DataError(f"{path}, line {table.line_num}: {error}") from None


def _read_parquet(path: Path) -> Iterator[Row]:
    parquet = _import_pyarrow("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            _insist_on_columns(file.schema_arrow.names, path)
            rows = chain.from_iterable(some.to_pylist() for some in file.iter_batches(AT_ONCE))
            for number, told in enumerate(rows, 1):
                yield Row(f"{path}, row {number}", told)
    except ValueError as error:  # Arrow's errors are of this kind
        raise DataError(f"{path} is no Parquet file: {error}") from None


def _insist_on_columns(names: Sequence[str], path: Path) -> None:
    for name in NEEDED:
        if name not in names:
            raise DataError(f"{path} has no column {name!r}{nearest(name, names)}")


def _write_lines(records: Iterator[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf8") as file:
        file.writelines(f"{json.dumps(record)}\n" for record in records)


def _write_csv(records: Iterator[Mapping[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf8", errors="surrogateescape", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(records)


def _write_parquet(records: Iterator[Mapping[str, Any]], path: Path) -> None:
    pyarrow, parquet = _import_pyarrow("pyarrow"), _import_pyarrow("pyarrow.parquet")
    kinds = {"confidence": pyarrow.float64(), "log_prob": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as file:
        while some := list(islice(records, AT_ONCE)):
            rows = [{name: record.get(name) for name in COLUMNS} for record in some]
            for row in rows:  # Parquet knows no names that are not text
                row["path"] = str(row["path"]).encode("utf8", "replace").decode()
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _import_pyarrow(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise CutlineError(
            "Parquet needs pyarrow: pip install 'cutline[parquet]', or take .jsonl or .csv"
        ) from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
WRITERS: dict[str, Callable[[Iterator[Mapping[str, Any]], Path], None]] = {
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""By a file's suffix: rows that are written as they come."""
