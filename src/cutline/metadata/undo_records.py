"""The lines of an undo journal: which files were changed, and what it takes to have them back.

A line is written by cutline, but may be a stranger's: it is read as a `Change` or not at all.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cutline.errors import DataError, WritingError
from cutline.io.atomic import read_file, require_regular_file
from cutline.io.jsonl import parse_jsonl

_MOST = 2**63
"""Above any number in a journal."""


@dataclass(frozen=True, slots=True)
class Before:
    """A file as it was: what it takes to have it so again, but for the part in the blobs."""

    sha256: str
    prefix: int
    """So many bytes the new content begins alike."""
    suffix: int
    """So many bytes it ends alike."""
    blob: tuple[int, int]
    """Where what lies between stands in the blobs, and how long it is there, compressed."""
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal: a file that was replaced, or was about to be."""

    number: int
    target: Path
    picture: Path
    """The picture whose caption is in it; the target itself where that is the picture."""
    after: str
    """SHA-256 of what was written."""
    before: Before | None
    """None where there was no such file."""
    date: str
    human: bool = False
    """Whether the text that was written is a person's."""


def place_of(path: Path) -> Path:
    """Where a file really is: links in its folder are followed, and it itself may be one."""
    return path.parent.resolve() / path.name


def as_line(change: Change, journal: Path) -> str:
    """A change as it stands in the journal."""
    told = asdict(change) | {
        "target": _as_told(change.target, journal),
        "picture": _as_told(change.picture, journal),
    }
    return json.dumps(told)


def _as_told(path: Path, journal: Path) -> str:
    """As seen from the journal where it lies above: an album may move with its journal."""
    folder = place_of(journal).parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def read_changes(path: Path) -> dict[int, Change]:
    """By number, those that nobody has taken back; none where there is no journal.

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
                changes[told["number"]] = _change_of(told, place_of(path).parent)
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
        if Path(told[name]).name in ("", "..") or "\0" in told[name]:
            raise ValueError
    places = {name: place_of(folder / told[name]) for name in ("target", "picture")}
    return Change(**{**told, **places, "before": before})
