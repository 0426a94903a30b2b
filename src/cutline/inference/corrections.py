"""What people change in a file of captions: known by what cutline wrote there last, and kept.

The journal of the file holds a digest of every caption that was written. A caption that differs is
a person's, whether the file is of lines, CSV or Parquet.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cutline.errors import DataError
from cutline.inference.journal_schema import connect
from cutline.io.predictions import BY, HUMAN

_OF_THE_MODEL = ("confidence", "log_prob", "words", "best", "model", "date", "left_out", "error")
"""What a line says of a caption that is the model's, and not of a person's."""
_A_PERSONS = b"a person's"
"""In place of a digest, which is longer: no caption is like it."""


class Written:
    """Which captions cutline wrote, by what `base`, the journal of their file, says."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base, self._round = base, 1
        self._older: set[bytes] | None = None
        with suppress(sqlite3.OperationalError):  # a journal of before, which has no such table
            [(last,)] = base.execute("SELECT max(round) FROM written")
            if last is not None:
                self._round = last + 1
                return
        answers = base.execute("SELECT answer FROM answers")
        self._older = {_digest(read_answer(answer).get("caption")) for (answer,) in answers}

    def is_persons(self, told: Mapping[str, Any]) -> bool:
        """Whether a person wrote or changed the caption of a row, or took it away."""
        if told.get(BY) == HUMAN:
            return True
        text = _digest(told.get("caption"))
        if self._older is not None:
            return bool(text) and text not in self._older
        query = "SELECT text FROM written WHERE path = ?"
        known = {each for (each,) in self._base.execute(query, (key_of(told.get("path")),))}
        return text not in known if known else bool(text)

    def find(self, rows: Iterable[Mapping[str, Any]]) -> dict[bytes, dict[str, Any]]:
        """The rows that are a person's, by `key_of` their paths."""
        return {
            key_of(told["path"]): _as_persons(told)
            for told in rows
            if told.get("path") and self.is_persons(told)
        }

    def note(self, told: Mapping[str, Any]) -> None:
        """A row that is about to be written."""
        persons = told.get(BY) == HUMAN
        text = _A_PERSONS if persons else _digest(told.get("caption"))
        row = (key_of(told["path"]), text, self._round)
        self._base.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", row)

    def settle(self) -> None:
        """The file is in place: what was written in earlier ones counts no more."""
        self._base.execute("DELETE FROM written WHERE round < ?", (self._round,))
        self._round, self._older = self._round + 1, None


def read_answer(kept: Any) -> dict[str, Any]:
    """An answer as a journal keeps it. Raises `sqlite3.DatabaseError` for one that is none."""
    try:
        told = json.loads(kept)
    except (TypeError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise sqlite3.DatabaseError("malformed answer")
    text = told.get("caption")
    fine = isinstance(text, str) or (text is None and isinstance(told.get("left_out"), str))
    if not fine or not isinstance(told.get("confidence"), int | float) or "path" in told:
        raise sqlite3.DatabaseError("malformed answer")
    return told


def mark_persons(rows: Iterable[dict[str, Any]], journal: Path) -> None:
    """Say `"by": "human"` in the rows that are a person's, by the journal of their file, if it has
    one.

    Raises `DataError` where another process is at work with the journal, or it is damaged.
    """
    if not journal.is_file():
        return
    try:
        with closing(connect(journal, timeout=0.5)) as base:
            written = Written(base)
            for told in rows:
                if written.is_persons(told):
                    told[BY] = HUMAN
    except sqlite3.Error as error:
        raise DataError(
            f"{journal} cannot tell which captions are a person's ({error}): let whatever is at "
            "work with it end first"
        ) from None


def key_of(path: object) -> bytes:
    """A path as the journal knows it; what no text can hold is a question mark, as in Parquet."""
    return str(path).encode("utf8", "replace")


def _as_persons(told: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in told.items() if name not in _OF_THE_MODEL}
    return {**kept, BY: HUMAN}


def _digest(text: object) -> bytes:
    """Of a caption, whatever its lines end with; empty where there is none."""
    said = "\n".join(str(text or "").splitlines()).strip()
    return blake2b(said.encode("utf8", "replace"), digest_size=16).digest() if said else b""
