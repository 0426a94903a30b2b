"""The records of an undo journal: changed files, and what it takes to restore them.

A journal is untrusted input: every line is a valid record, or the journal is refused.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cutline.errors import DataError, WritingError
from cutline.io.atomic import read_file, require_regular_file
from cutline.io.jsonl import parse_jsonl

_MOST = 2**63
"""Upper bound of the numbers in a journal."""


@dataclass(frozen=True, slots=True)
class Before:
    """A file before a change; the part that the change replaced is in the blobs file."""

    sha256: str
    prefix: int
    """Length of the common prefix of old and new content, in bytes."""
    suffix: int
    """Length of the common suffix, in bytes."""
    blob: tuple[int, int]
    """Offset and length of the compressed part between them, in the blobs file."""
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """A file that was replaced, or was about to be."""

    number: int
    target: Path
    picture: Path
    """The picture whose caption is in the target; perhaps the target itself."""
    after: str
    """SHA-256 of the new content."""
    before: Before | None
    """None if the file did not exist."""
    date: str
    human: bool = False
    """Whether a person wrote the text."""


def real_path(path: Path) -> Path:
    """The path of a file without links among its folders; the file itself may be a link."""
    return path.parent.resolve() / path.name


def as_line(change: Change, journal: Path) -> str:
    """A change as a line of the journal."""
    told = asdict(change) | {
        "target": _relative(change.target, journal),
        "picture": _relative(change.picture, journal),
    }
    return json.dumps(told)


def _relative(path: Path, journal: Path) -> str:
    """Relative to the journal's folder where possible: an album may move with its journal."""
    folder = real_path(journal).parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def read_changes(path: Path) -> dict[int, Change]:
    """The changes that were not undone, by number; none without a journal.

    Raises `WritingError` that names the line.
    """
    try:
        content = read_file(path) or b"" if require_regular_file(path) else b""
    except OSError as error:
        raise WritingError(f"{path} cannot be read: {error.strerror}") from None
    return parse_changes(content, path)


def parse_changes(content: bytes, path: Path) -> dict[int, Change]:
    """The same from the content of a journal."""
    changes: dict[int, Change] = {}
    whole = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    number = 0
    try:
        for number, told in parse_jsonl(whole, path):  # noqa: B007
            if "undone" in told:
                changes.pop(told["undone"], None)
            else:
                changes[told["number"]] = _change_of(told, real_path(path).parent)
    except DataError as error:
        raise WritingError(f"{error}; this is not an undo journal") from None
    except (ValueError, KeyError, TypeError):
        raise WritingError(f"{path}, line {number}: this is not an undo journal") from None
    return changes


def _change_of(told: dict[str, Any], folder: Path) -> Change:
    before = told["before"]
    if before is not None:
        before = Before(**{**before, "blob": (*before["blob"],)})
        numbers = (before.prefix, before.suffix, *before.blob, before.mode, abs(before.mtime_ns))
        if len(before.blob) != 2 or not all(type(n) is int and 0 <= n < _MOST for n in numbers):
            raise ValueError
    if type(told["number"]) is not int:
        raise ValueError
    for name in ("target", "picture"):
        os.fsencode(told[name])  # a ValueError for what no file can be called
        if Path(told[name]).name in ("", "..") or "\0" in told[name]:
            raise ValueError
    places = {name: real_path(folder / told[name]) for name in ("target", "picture")}
    return Change(**{**told, **places, "before": before})
