"""Files of captions with one row per picture: JSON lines, CSV, Parquet; readers and writers.

A JSON line holds everything that is known about a picture, a table only the columns `COLUMNS`.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cutline.errors import DataError, needs_parquet
from cutline.io.jsonl import format_jsonl, read_jsonl

COLUMNS = ("path", "caption", "confidence", "log_prob", "error")
"""The columns of a table."""
NEEDED = ("path", "caption")
"""Columns that a table must have."""
AT_ONCE = 1_000
"""Rows of a Parquet file that are read or written together."""
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""Matches cells that a spreadsheet would evaluate, also behind apostrophes."""

LONGEST_CELL, LARGEST_GROUP, LARGEST = 40_000, 512 * 10**6, 256 * 10**6
"""Limits for Parquet, in bytes: a text, an unpacked row group, and all texts together (plus a
hundred times the size of the file)."""


class Row(NamedTuple):
    """One row of a file; empty cells of a table are None."""

    where: str
    """File and line, for error messages."""
    fields: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a `.csv`, of a `.parquet`, or JSON lines in a file of any other name.

    A torn last line of JSON is ignored. Raises `DataError` that names the line.
    """
    try:
        yield from TABLES.get(path.suffix.lower(), _read_lines)(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None


def _read_lines(path: Path) -> Iterator[Row]:
    for number, fields in read_jsonl(path):
        where = f"{path}, line {number}"
        if not isinstance(fields, dict):
            raise DataError(f"{where}: a line must be a JSON object")
        yield Row(where, fields)


def _read_csv(path: Path) -> Iterator[Row]:
    # file names may be any bytes
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        file.seek(0)
        separator = max(",;\t", key=header.count)  # Excel saves what is usual in its country
        table = csv.DictReader(file, delimiter=separator, strict=True, restkey="more")
        try:
            _require_columns(table.fieldnames or (), path)
            for row in table:
                where = f"{path}, line {table.line_num}"
                if not _is_text(row["caption"]):
                    raise DataError(
                        f"{where}: the caption is not text in UTF-8 (in Excel: save as CSV UTF-8)"
                    )
                yield Row(
                    where, _explain({name: _unescape_formula(cell) for name, cell in row.items()})
                )
        except csv.Error as error:
            raise DataError(f"{path} is not a CSV table: {error}") from None


def _explain(row: dict[str, Any]) -> dict[str, Any]:
    """Add a reason to a row without caption and error: tables have no column for it."""
    if row.get("caption") or row.get("error") or row.get("left_out"):
        return row
    return row | {"left_out": "the table has no caption for it"}


def _escape_formula(cell: Any) -> Any:
    """Put an apostrophe before a cell that a spreadsheet would evaluate."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _unescape_formula(cell: Any) -> Any:
    """Remove that apostrophe; None for an empty cell."""
    folded = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return (cell[1:] if folded else cell) or None


def _is_text(cell: str | None) -> bool:
    """Whether a cell was valid UTF-8: other bytes were read as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in cell or "")


def import_parquet() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`. Raises `CutlineError` that says how to install them."""
    with needs_parquet():
        return import_module("pyarrow"), import_module("pyarrow.parquet")


def _read_parquet(path: Path) -> Iterator[Row]:
    if path.is_dir():  # of `cutline caption --engine`
        for part in sorted(path.glob("*.parquet")):
            yield from _read_parquet(part)
        return
    pyarrow, parquet = import_parquet()
    size, number = 0, 0
    try:
        schema = parquet.read_schema(path)
        _require_columns(schema.names, path)
        wanted = [name for name in (*COLUMNS, "left_out") if name in schema.names]
        texts = [name for name in wanted if _holds_texts(schema.field(name), path)]
        # as dictionaries, texts stay as small as in the file until their length is known
        with parquet.ParquetFile(path, read_dictionary=texts) as file:
            _refuse_bombs(file.metadata, path)
            for some in file.iter_batches(AT_ONCE, columns=wanted):
                columns = {name: _decode(some.column(name), path, name) for name in wanted}
                size += sum(column.nbytes for column in columns.values())
                if size > LARGEST + 100 * path.stat().st_size:
                    raise DataError(f"{path} is refused: its texts are too large for its size")
                lists = [column.to_pylist() for column in columns.values()]
                for cells in zip(*lists, strict=True):
                    number += 1
                    numbered = f"{path}, row {number}"
                    known = (None if cell != cell else cell for cell in cells)  # NaN
                    yield Row(numbered, _explain(dict(zip(wanted, known, strict=True))))
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as Parquet: {reason[:200]}") from None


def _refuse_bombs(file: Any, path: Path) -> None:
    """Check the sizes that a Parquet file declares, before unpacking it."""
    if file.num_rows > 10_000 + 2 * path.stat().st_size:
        raise DataError(f"{path} is refused: {file.num_rows:,} rows are too many for its size")
    for number in range(file.num_row_groups):
        group = file.row_group(number)
        columns = map(group.column, range(group.num_columns))
        size = sum(
            c.total_uncompressed_size for c in columns if c.path_in_schema in (*COLUMNS, "left_out")
        )
        if not 0 <= size <= LARGEST_GROUP:
            raise DataError(f"{path} is refused: {size / 1e9:.1f} GB unpacked in one group of rows")


def _holds_texts(field: Any, path: Path) -> bool:
    """Whether a column holds texts. Raises `DataError` for anything but texts and numbers."""
    types = import_module("pyarrow.types")
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    is_text = types.is_string(kind) or types.is_large_string(kind)
    if not (is_text or types.is_primitive(kind) or types.is_null(kind)):
        raise DataError(f"{path}: the column {field.name!r} holds {kind}, not texts or numbers")
    return bool(is_text)


def _decode(column: Any, path: Path, name: str) -> Any:
    """A column of one batch. Raises `DataError` for a text that is too long."""
    if not hasattr(column, "dictionary"):
        return column
    compute = import_module("pyarrow.compute")
    longest = compute.max(compute.binary_length(column.dictionary)).as_py() or 0
    if longest > LONGEST_CELL:
        raise DataError(f"{path}: a text of {longest:,} bytes in the column {name!r}")
    return column.dictionary_decode()


def _require_columns(names: Sequence[str], path: Path) -> None:
    for name in NEEDED:
        if name not in names:
            raise DataError(
                f"{path} has no column {name!r}; as `cutline caption --out` writes it, a table has "
                f"{', '.join(COLUMNS)}"
            )


def _write_lines(records: Iterator[Mapping[str, Any]], file: BinaryIO) -> None:
    file.writelines(line.encode() for line in format_jsonl(records))


def _write_csv(records: Iterator[Mapping[str, Any]], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, encoding="utf8", errors="surrogateescape", newline="")
    text.write("\ufeff")  # without this byte order mark, Excel garbles names that are not English
    try:
        table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
        table.writeheader()
        table.writerows(
            {name: _escape_formula(cell) for name, cell in row.items()} for row in records
        )
    finally:
        text.detach()


def _write_parquet(records: Iterator[Mapping[str, Any]], out: BinaryIO) -> None:
    pyarrow, parquet = import_parquet()
    kinds = {"confidence": pyarrow.float64(), "log_prob": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    with parquet.ParquetWriter(out, schema) as file:
        while some := list(islice(records, AT_ONCE)):
            rows = [{name: record.get(name) for name in COLUMNS} for record in some]
            for row in rows:  # Parquet stores valid UTF-8 only
                row["path"] = str(row["path"]).encode("utf8", "replace").decode()
            file.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


TABLES: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
WRITERS: dict[str, Callable[[Iterator[Mapping[str, Any]], BinaryIO], None]] = {
    ".jsonl": _write_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""Writers by suffix; rows are written one by one."""
