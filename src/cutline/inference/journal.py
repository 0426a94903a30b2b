"""What is known about every picture of a library, in an SQLite file beside the output.

Pictures are identified by size, modification time and content; answers by content and request
(model and options). So a picture that has not changed is not read again unless the request is new,
and identical pictures are captioned once. At most a second's work is not yet on the disk, and the
file is consistent whenever a process ends.
"""

import hashlib
import json
import os
import sqlite3
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from io import BufferedReader, BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from cutline.errors import DataError
from cutline.inference import corrections, journal_schema

ROWS = 500
"""Rows that are read or written together."""
COMMIT_EVERY = 1.0
"""Seconds between commits."""
MOST_LISTINGS = 2**60
Stamp = tuple[int, int, int]
"""The state of a file when it was read: inode, size in bytes, modification time in nanoseconds."""

NOTE = """
INSERT INTO pictures VALUES (:path, :listing, :place, :size, :changed, NULL, :problem, :passing)
ON CONFLICT (path) DO UPDATE SET
    listing = :listing,
    place = :place,
    content = CASE WHEN size = :size AND changed = :changed THEN content END,
    problem = CASE
        WHEN :problem IS NOT NULL THEN :problem
        WHEN size = :size AND changed = :changed AND NOT passing AND NOT :again THEN problem
    END,
    passing = :passing,
    size = :size,
    changed = :changed
"""
KEEP_ANSWERED = """
UPDATE pictures SET listing = :listing, place = :place
WHERE path > :first AND path < :last AND listing = :listing - 1
    AND EXISTS (SELECT 1 FROM answers WHERE answers.content = pictures.content AND asked = :asked)
"""
RENEW = """
INSERT OR IGNORE INTO answers SELECT ?, asked, answer FROM answers WHERE content = ?
"""
LISTED = """
FROM pictures LEFT JOIN answers ON answers.content = pictures.content AND asked = :asked
WHERE listing = :listing
"""


class JournalRow(NamedTuple):
    """One picture: its problem or its answer; neither while it is pending."""

    path: str
    problem: str | None
    answer: Mapping[str, Any] | None


def journal_path(out: Path) -> Path:
    """The journal of an output file."""
    return out.with_name(f".{out.name}.journal")


@contextmanager
def reuse_answers(out: Path | None) -> Iterator[Callable[[bytes, bytes], None]]:
    """A function that gives the new content of a picture the answers of its old content.

    Without a journal, or while another process uses it, the function does nothing, and the picture
    is captioned again.
    """
    path = journal_path(out) if out else None
    base = None
    if out is not None and path is not None and path.exists():
        require_own_journal(out)
        with suppress(DataError, sqlite3.Error):
            base = journal_schema.connect(path, timeout=0.0, isolation_level=None)
    if base is None:
        yield lambda old, new: None
        return
    with closing(base):

        def reuse(old: bytes, new: bytes) -> None:
            with suppress(sqlite3.Error):
                base.execute(RENEW, (_digest(BytesIO(new)), _digest(BytesIO(old))))

        yield reuse


class CaptionJournal:
    """The pictures of one output, and what is known about each."""

    def __init__(self, path: Path, request: str) -> None:
        self._base = journal_schema.connect(path, timeout=0.5)
        self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._base.execute("PRAGMA journal_mode = TRUNCATE")  # also right on network drives
        self._base.execute("PRAGMA synchronous = NORMAL")
        self._base.executescript(journal_schema.TABLES)
        self.written = corrections.WrittenCaptions(self._base)
        [(listing,)] = self._base.execute("SELECT coalesce(max(listing), 0) + 1 FROM pictures")
        if not isinstance(listing, int) or not 0 < listing < MOST_LISTINGS:
            raise DataError(journal_schema.describe_foreign(path))
        self._named: dict[str, Any] = {"asked": request, "listing": listing}
        self._in_progress: deque[tuple[bytes, bytes, Stamp]] = deque()
        self._equal: dict[bytes, list[bytes]] = {}
        self._resolved: deque[tuple[str, str | None]] = deque()
        self._committed = time.monotonic()
        self.done, self.total = 0, 0
        self.lost_folder: str | None = None
        """Why nothing more can be read, once a whole folder cannot."""

    @classmethod
    @contextmanager
    def open(cls, out: Path, request: str) -> Iterator["CaptionJournal"]:
        """The journal beside an output. Raises `DataError` where SQLite or the disk fails."""
        path = journal_path(out)
        if not out.parent.is_dir():
            raise DataError(f"{out} cannot be written: there is no folder {out.parent}")
        try:
            with closing(cls(path, request)) as journal:
                yield journal
        except sqlite3.Error as error:
            raise DataError(_explain(error, path)) from None

    @staticmethod
    def remove(out: Path) -> None:
        """Remove the journal of an output."""
        for path in journal_schema.files_of(journal_path(out)):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, without what was not committed."""
        self._base.close()

    def commit(self) -> None:
        """Save everything so far."""
        self._base.commit()
        self._committed = time.monotonic()

    def register(
        self, found: Iterable[tuple[str, DataError | None]], *, again: bool, settled: float
    ) -> Iterator[int]:
        """Register the pictures of a scan; yields their number so far.

        `again` forgets that pictures were damaged. Files that changed less than `settled` seconds
        ago are skipped (those from the future have another clock). What cannot be read is resolved
        without the model; if it is a folder, the answers of its pictures are kept.
        """
        looked = (_look_at(path, error) for path, error in found)
        now, lately = time.time_ns(), settled * 1e9
        rows = (row for row in looked if not now - lately < row["changed"] <= now + lately)
        while some := list(islice(rows, ROWS)):
            for row in some:
                row |= {**self._named, "again": again, "place": self.total}
                self.total += 1
            self._base.executemany(NOTE, some)
            for row in some:
                if row["problem"]:
                    self._resolve_unreadable(row)
            yield self.total
        self.commit()
        listed = "SELECT count(*) FROM pictures WHERE listing = :listing"  # of equal paths one
        [(self.total,)] = self._base.execute(listed, self._named)
        settled_before = "(problem IS NOT NULL AND NOT passing OR answer IS NOT NULL)"
        known = f"SELECT count(*) {LISTED} AND {settled_before}"
        [(self.done,)] = self._base.execute(known, self._named)

    def pending(self, roots: Iterable[str]) -> Iterator[Path]:
        """The pictures to caption; `store_answer` takes their answers in the same order.

        Stops early, with the reason in `lost_folder`, if one of the folders `roots` cannot be read.
        """
        folders = [Path(root) for root in roots if Path(root).is_dir()]
        for path in self._without_answer():
            try:
                with open(path, "rb") as file:  # noqa: PTH123  a path of bytes
                    stamp, content = _stamp_of(os.fstat(file.fileno())), _digest(file)
            except (OSError, ValueError) as error:
                folder = Path(os.fsdecode(path)).parent  # one sentence for all its pictures
                told = _explain_loss(folder) or _unreadable(os.fsdecode(path), error)
                self._fail([path], told)
                self._resolved.append((os.fsdecode(path), told))
                self.lost_folder = next(filter(None, map(_explain_loss, folders)), None)
                if self.lost_folder:
                    return
                continue
            self._base.execute("UPDATE pictures SET content = ? WHERE path = ?", (content, path))
            if content in self._equal:
                self._equal[content].append(path)
            elif self._has_answer(content):
                self._resolved.append((os.fsdecode(path), None))
            else:
                self._equal[content] = [path]
                self._in_progress.append((path, content, stamp))
                yield Path(os.fsdecode(path))

    def store_answer(self, answer: Mapping[str, Any] | str, *, passing: bool = False) -> list[str]:
        """Store the answer of the oldest pending picture, or its problem as text.

        A `passing` problem is not one of the picture: the next run tries it again.
        It holds for all pictures with the same content; their paths are returned. The answer of a
        picture that has changed meanwhile is dropped: it is captioned by the next run.
        """
        path, content, stamp = self._in_progress.popleft()
        equal = self._equal.pop(content)
        if _has_changed(path, stamp):
            for each in equal:
                told = f"{os.fsdecode(each)} changed while it was captioned: run this again"
                self._fail([each], told, passing=True)
                self._resolved.append((os.fsdecode(each), told))
            return []
        if isinstance(answer, str):
            self._fail(equal, answer, named=os.fsdecode(path), passing=passing)
        else:
            row = (content, self._named["asked"], json.dumps(answer))
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)
        if time.monotonic() - self._committed >= COMMIT_EVERY:
            self.commit()
        return [os.fsdecode(each) for each in equal]

    def resolved_without_model(self) -> Iterator[tuple[str, str | None]]:
        """Pictures that needed no model, each once: of known content (None), or with a problem."""
        while self._resolved:
            yield self._resolved.popleft()

    def rows(self) -> Iterator[JournalRow]:
        """The pictures of the last scan, in order."""
        query = f"SELECT path, problem, answer {LISTED} ORDER BY place, path"
        rows = self._base.execute(query, self._named)
        for path, problem, answer in rows:
            try:
                named, told = os.fsdecode(path), None if problem is None else json.loads(problem)
            except (TypeError, ValueError, RecursionError):
                raise sqlite3.DatabaseError("malformed row") from None
            if not isinstance(told, str | None):
                raise sqlite3.DatabaseError("malformed row")
            yield JournalRow(named, told, corrections.parse_answer(answer) if answer else None)

    def _resolve_unreadable(self, row: Mapping[str, Any]) -> None:
        """Report what cannot be read; of a folder, keep the pictures that have answers."""
        self._resolved.append((os.fsdecode(row["path"]), json.loads(row["problem"])))
        inside = row["path"].rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
        between = {"first": inside, "last": inside[:-1] + bytes([inside[-1] + 1])}
        if _explain_loss(Path(os.fsdecode(row["path"]))):
            self.total += self._base.execute(KEEP_ANSWERED, {**row, **between}).rowcount

    def _without_answer(self) -> Iterator[bytes]:
        place = -1
        wanted = f"{LISTED} AND place > :place AND problem IS NULL AND answer IS NULL"
        query = f"SELECT path, place {wanted} ORDER BY place LIMIT {ROWS}"
        while rows := self._base.execute(query, {**self._named, "place": place}).fetchall():
            yield from (path for path, _ in rows)
            place = rows[-1][1]

    def _has_answer(self, content: bytes) -> bool:
        key = (content, self._named["asked"])
        found = self._base.execute("SELECT 1 FROM answers WHERE content = ? AND asked = ?", key)
        return found.fetchone() is not None

    def _fail(
        self, paths: list[bytes], problem: str, *, named: str = "", passing: bool = False
    ) -> None:
        for path in paths:
            told = problem.replace(named, os.fsdecode(path)) if named else problem
            self._base.execute(
                "UPDATE pictures SET problem = ?, passing = ? WHERE path = ?",
                (json.dumps(told), passing or not os.access(path, os.R_OK), path),
            )


def _stamp_of(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _has_changed(path: bytes, stamp: Stamp) -> bool:
    """Whether a file has changed; a missing one has not."""
    try:
        return _stamp_of(os.stat(path)) != stamp  # noqa: PTH116  a path of bytes
    except OSError:
        return False


def require_own_journal(out: Path) -> None:
    """Raise `DataError` for a journal with which SQLite would touch other files."""
    journal_schema.require_own_files(journal_path(out))


def _digest(file: BytesIO | BufferedReader) -> bytes:
    return hashlib.file_digest(file, "blake2b").digest()[:16]


def _look_at(path: str, error: DataError | None) -> dict[str, Any]:
    """The row of a picture; a problem found here is looked at again by the next scan."""
    size, changed, problem = 0, 0, str(error) if error else None
    if error is None:
        try:
            status = os.stat(path)  # noqa: PTH116  the path as it is named
            size, changed = status.st_size, status.st_mtime_ns
            if not stat.S_ISREG(status.st_mode):  # a pipe would block
                problem = f"{path} is not a file"
        except (OSError, ValueError) as reason:
            problem = _unreadable(path, reason)
    return {
        "path": os.fsencode(path),
        "size": size,
        "changed": changed,
        "problem": None if problem is None else json.dumps(problem),
        "passing": problem is not None,
    }


def _unreadable(path: str, reason: Exception) -> str:
    if isinstance(reason, FileNotFoundError):
        return f"{path} does not exist"
    return f"{path} cannot be read: {getattr(reason, 'strerror', None) or reason}"


def _explain_loss(folder: Path) -> str | None:
    """Why a folder cannot be read; None if it can."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        return f"{folder} can no longer be read ({getattr(error, 'strerror', None) or error})"
    return None


def _explain(error: sqlite3.Error, path: Path) -> str:
    if "locked" in str(error):
        return f"another cutline process is using {path}: wait for it to finish"
    if "not a database" in str(error) or "malformed" in str(error):
        return f"{path} is damaged ({error}): delete it; all pictures will then be captioned again"
    if "unable to open" in str(error):
        return f"{path} cannot be opened: it or its folder is not writable"
    return f"{path} cannot be written ({error}); all answers but those of the last second are kept"
