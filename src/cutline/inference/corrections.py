"""Captions that a person changed in a file of captions: found, marked and kept.

The journal of the file holds a digest of every caption that cutline wrote. A caption that differs
is a person's, in JSON lines, CSV and Parquet alike.
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
from cutline.io.predictions import BY, EXISTING, HUMAN

REVIEW = "review"
"""The column for the verdict of `cutline review`."""
_NOT_A_PERSONS = (
    *("confidence", "log_prob", "words", "best", "model", "date", "left_out", "error"),
    EXISTING,
)
"""Columns that describe a caption of the model or its origin, and are not in a person's row."""
_HUMAN_DIGEST = b"a person's"
"""Shorter than any digest, so that no caption has it."""


class WrittenCaptions:
    """The captions that cutline wrote into a file, from `base`, its journal."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base, self._round = base, 1
        self._older: set[bytes] | None = None
        with suppress(sqlite3.OperationalError):  # a journal of 0.1.0 has no such table
            [(last,)] = base.execute("SELECT max(round) FROM written")
            if last is not None:
                self._round = last + 1
                return
        answers = base.execute("SELECT answer FROM answers")
        self._older = {_digest(parse_answer(answer).get("caption")) for (answer,) in answers}

    def is_human(self, row: Mapping[str, Any]) -> bool:
        """Whether a person wrote, changed or removed the caption of a row."""
        if row.get(BY) == HUMAN:
            return True
        text = _digest(row.get("caption"))
        if self._older is not None:
            return bool(text) and text not in self._older
        query = "SELECT text FROM written WHERE path = ?"
        known = {each for (each,) in self._base.execute(query, (path_key(row.get("path")),))}
        return text not in known if known else bool(text)

    def find_changed(self, rows: Iterable[Mapping[str, Any]]) -> dict[bytes, dict[str, Any]]:
        """The rows that a person changed or reviewed, by `path_key`."""
        return {
            path_key(row["path"]): as_human_row(row) if self.is_human(row) else dict(row)
            for row in rows
            if row.get("path") and (row.get(REVIEW) or self.is_human(row))
        }

    def record(self, row: Mapping[str, Any]) -> None:
        """Record a row that is about to be written."""
        human = row.get(BY) == HUMAN
        text = _HUMAN_DIGEST if human else _digest(row.get("caption"))
        values = (path_key(row["path"]), text, self._round)
        self._base.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", values)

    def forget_earlier(self) -> None:
        """Forget the rows of earlier files, now that the new one is in place."""
        self._base.execute("DELETE FROM written WHERE round < ?", (self._round,))
        self._round, self._older = self._round + 1, None


def parse_answer(kept: Any) -> dict[str, Any]:
    """An answer of a journal. Raises `sqlite3.DatabaseError` for anything else."""
    try:
        answer = json.loads(kept)
    except (TypeError, ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise sqlite3.DatabaseError("malformed answer")
    text = answer.get("caption")
    fine = isinstance(text, str) or (text is None and isinstance(answer.get("left_out"), str))
    sure = isinstance(answer.get("confidence", ""), int | float | None)
    if not fine or not sure or "path" in answer:
        raise sqlite3.DatabaseError("malformed answer")
    return answer


def mark_human_rows(rows: Iterable[dict[str, Any]], journal: Path) -> None:
    """Mark the rows that a person changed with `"by": "human"`, if their file has a journal.

    Raises `DataError` if another process is using the journal, or it is damaged.
    """
    if not journal.is_file():
        return
    try:
        with closing(connect(journal, timeout=0.5)) as base:
            written = WrittenCaptions(base)
            for row in rows:
                if written.is_human(row):
                    row[BY] = HUMAN
    except sqlite3.Error as error:
        raise DataError(
            f"cannot read {journal}, which records who wrote these captions ({error}): wait for "
            "other cutline processes to finish"
        ) from None


def path_key(path: object) -> bytes:
    """The key of a path; bytes that UTF-8 cannot encode are question marks, as in Parquet."""
    return str(path).encode("utf8", "replace")


def as_human_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row marked as a person's, without the columns that describe a model's caption."""
    kept = {name: value for name, value in row.items() if name not in _NOT_A_PERSONS}
    return {**kept, BY: HUMAN}


def _digest(text: object) -> bytes:
    """The digest of a caption, whatever its line endings; empty for an empty caption."""
    caption = "\n".join(str(text or "").splitlines()).strip()
    return blake2b(caption.encode("utf8", "replace"), digest_size=16).digest() if caption else b""
