"""JSON Lines: one JSON value a line; a killed process may have torn the last one."""

import json
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from cutline.errors import DataError


class Line(NamedTuple):
    """One line of a file and its value."""

    number: int
    """Counted from 1."""
    value: Any


def read_jsonl(path: Path) -> Iterator[Line]:
    """The lines of a file, without empty ones and without a torn last one.

    Raises `DataError` that names the line, `OSError` and `UnicodeDecodeError`.
    """
    with path.open(encoding="utf-8-sig", newline="\n") as lines:
        yield from parse_jsonl(lines, path)


def parse_jsonl(lines: Iterable[str | bytes], path: Path) -> Iterator[Line]:
    """The same for lines of the file `path`, each with its line feed."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if line[-1:] not in ("\n", b"\n"):
                return
            raise DataError(f"{path}, line {number}: broken JSON") from None
        yield Line(number, value)


def format_jsonl(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each record, with its line feed."""
    return (f"{json.dumps(record)}\n" for record in records)


def remove_torn_line(file: FileIO) -> bytes:
    """Cut off a last line that has no line feed, and return the lines that remain."""
    file.seek(0)
    content = file.readall()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.truncate(len(whole))
    return whole
