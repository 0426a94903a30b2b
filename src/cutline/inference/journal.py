"""What is known of every picture of a library, on the disk: an SQLite file.

Pictures are known by size, time of change and content, answers by content and what was asked. So a
picture that has not changed is not looked at again, unless another model or something else is asked
for, and of pictures with equal content one is looked at. At most a second's work is not yet on the
disk, and whenever a process ends, what is there is whole.
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
"""Read or written together."""
KEEP_EVERY = 1.0
"""Seconds after which what has been done is on the disk."""
MOST_LISTINGS = 2**60
Stamp = tuple[int, int, int]
"""Of a file that was read: its number on the disk, its size, when it was changed."""


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
KEEP_UNSEEN = """
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


class Line(NamedTuple):
    """One picture: what is wrong with it, or its answer; neither when it was not looked at yet."""

    path: str
    problem: str | None
    answer: Mapping[str, Any] | None


def journal_of(out: Path) -> Path:
    """Where the journal of a file stands."""
    return out.with_name(f".{out.name}.journal")


@contextmanager
def renewing(out: Path | None) -> Iterator[Callable[[bytes, bytes], None]]:
    """A function that tells the journal of a file: this old content of a picture is now this new
    one, and what was said of it still goes.

    Where there is no journal, or another process is at work with it, nothing is told, and the
    picture is looked at once more.
    """
    path = journal_of(out) if out else None
    base = None
    if out is not None and path is not None and path.exists():
        insist_on_own(out)
        with suppress(DataError, sqlite3.Error):
            base = journal_schema.connect(path, timeout=0.0, isolation_level=None)
    if base is None:
        yield lambda old, new: None
        return
    with closing(base):

        def renew(old: bytes, new: bytes) -> None:
            with suppress(sqlite3.Error):
                base.execute(RENEW, (_digest(BytesIO(new)), _digest(BytesIO(old))))

        yield renew


class Journal:
    """Which pictures there are, and what is known of each."""

    def __init__(self, path: Path, asked: str) -> None:
        self._base = journal_schema.connect(path, timeout=0.5)
        self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._base.execute("PRAGMA journal_mode = TRUNCATE")  # right on a network drive, too
        self._base.execute("PRAGMA synchronous = NORMAL")
        self._base.executescript(journal_schema.TABLES)
        self.written = corrections.Written(self._base)
        [(listing,)] = self._base.execute("SELECT coalesce(max(listing), 0) + 1 FROM pictures")
        if not isinstance(listing, int) or not 0 < listing < MOST_LISTINGS:
            raise DataError(journal_schema.tell_strange(path))
        self._named: dict[str, Any] = {"asked": asked, "listing": listing}
        self._shown: deque[tuple[bytes, bytes, Stamp]] = deque()
        self._equal: dict[bytes, list[bytes]] = {}
        self._unseen: deque[tuple[str, str | None]] = deque()
        self._kept = time.monotonic()
        self.done, self.total = 0, 0
        self.lost: str | None = None
        """Why nothing more can be read, once a whole folder cannot."""

    @classmethod
    @contextmanager
    def open(cls, out: Path, asked: str) -> Iterator["Journal"]:
        """The journal beside a file; what SQLite or the disk refuses is a `DataError`."""
        path = journal_of(out)
        if not out.parent.is_dir():
            raise DataError(f"{out} cannot be written: there is no folder {out.parent}")
        try:
            with closing(cls(path, asked)) as journal:
                yield journal
        except sqlite3.Error as error:
            raise DataError(_explain(error, path)) from None

    def close(self) -> None:
        """Let go of the file; what was not kept is not in it."""
        self._base.close()

    def keep(self) -> None:
        """Have everything so far on the disk."""
        self._base.commit()
        self._kept = time.monotonic()

    def note(
        self, found: Iterable[tuple[str, DataError | None]], *, again: bool, settled: float
    ) -> Iterator[int]:
        """Note which pictures there are, and count them.

        With `again`, damaged ones are no longer known as such; files that changed less than
        `settled` seconds ago are passed over (what changed in the future did so by another clock).
        What cannot be looked at is told as unseen; where that is a folder, the answers that its
        pictures have are kept.
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
                    self._note_unseen(row)
            yield self.total
        self.keep()
        listed = (
            "SELECT count(*) FROM pictures WHERE listing = :listing"  # named twice, listed once
        )
        [(self.total,)] = self._base.execute(listed, self._named)
        settled_before = "(problem IS NOT NULL AND NOT passing OR answer IS NOT NULL)"
        known = f"SELECT count(*) {LISTED} AND {settled_before}"
        [(self.done,)] = self._base.execute(known, self._named)

    def show(self, roots: Iterable[str]) -> Iterator[Path]:
        """The pictures to be looked at; what is said of each comes to `settle`, in this order.

        Ends early, with the reason in `lost`, when one of the folders `roots` cannot be read.
        """
        folders = [Path(root) for root in roots if Path(root).is_dir()]
        for path in self._without_answer():
            try:
                with open(path, "rb") as file:  # noqa: PTH123  a path of bytes
                    stamp, content = _stamp_of(os.fstat(file.fileno())), _digest(file)
            except (OSError, ValueError) as error:
                folder = Path(os.fsdecode(path)).parent  # one sentence for all that were in it
                told = _explain_loss(folder) or _unreadable(os.fsdecode(path), error)
                self._fail([path], told)
                self._unseen.append((os.fsdecode(path), told))
                self.lost = next(filter(None, map(_explain_loss, folders)), None)
                if self.lost:
                    return
                continue
            self._base.execute("UPDATE pictures SET content = ? WHERE path = ?", (content, path))
            if content in self._equal:
                self._equal[content].append(path)
            elif self._has_answer(content):
                self._unseen.append((os.fsdecode(path), None))
            else:
                self._equal[content] = [path]
                self._shown.append((path, content, stamp))
                yield Path(os.fsdecode(path))

    def settle(self, said: Mapping[str, Any] | str) -> list[str]:
        """What was said of the picture that was shown first, or what is wrong with it.

        It goes for all pictures of its content; their paths are returned. Of a picture that was
        changed meanwhile nothing is known: it is told as unseen, and looked at next time.
        """
        path, content, stamp = self._shown.popleft()
        equal = self._equal.pop(content)
        if _has_changed(path, stamp):
            for each in equal:
                told = f"{os.fsdecode(each)} was changed while it was captioned: run this again"
                self._fail([each], told, passing=True)
                self._unseen.append((os.fsdecode(each), told))
            return []
        if isinstance(said, str):
            self._fail(equal, said, named=os.fsdecode(path))
        else:
            row = (content, self._named["asked"], json.dumps(said))
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row)
        if time.monotonic() - self._kept >= KEEP_EVERY:
            self.keep()
        return [os.fsdecode(each) for each in equal]

    def settled_unseen(self) -> Iterator[tuple[str, str | None]]:
        """Which were settled without being shown, and what is wrong: known content, or unreadable.

        Each is told once.
        """
        while self._unseen:
            yield self._unseen.popleft()

    def lines(self) -> Iterator[Line]:
        """All pictures of this listing, in order."""
        query = f"SELECT path, problem, answer {LISTED} ORDER BY place, path"
        rows = self._base.execute(query, self._named)
        for path, problem, answer in rows:
            try:
                named, told = os.fsdecode(path), None if problem is None else json.loads(problem)
            except (TypeError, ValueError, RecursionError):
                raise sqlite3.DatabaseError("malformed row") from None
            if not isinstance(told, str | None):
                raise sqlite3.DatabaseError("malformed row")
            yield Line(named, told, corrections.read_answer(answer) if answer else None)

    def _note_unseen(self, row: Mapping[str, Any]) -> None:
        """What cannot be looked at is told; of a folder, what was known is listed again."""
        self._unseen.append((os.fsdecode(row["path"]), json.loads(row["problem"])))
        inside = row["path"].rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
        between = {"first": inside, "last": inside[:-1] + bytes([inside[-1] + 1])}
        if _explain_loss(Path(os.fsdecode(row["path"]))):
            self.total += self._base.execute(KEEP_UNSEEN, {**row, **between}).rowcount

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
    """Whether another content is there; what is gone has not changed."""
    try:
        return _stamp_of(os.stat(path)) != stamp  # noqa: PTH116  a path of bytes
    except OSError:
        return False


def insist_on_own(out: Path) -> None:
    """Raises `DataError` for a journal of a file with which SQLite would touch other files."""
    journal_schema.insist_on_own_files(journal_of(out))


def _digest(file: BytesIO | BufferedReader) -> bytes:
    return hashlib.file_digest(file, "blake2b").digest()[:16]


def _look_at(path: str, error: DataError | None) -> dict[str, Any]:
    """Size and time of change; what cannot be looked at is looked at again next time."""
    size, changed, problem = 0, 0, str(error) if error else None
    if error is None:
        try:
            status = os.stat(path)  # noqa: PTH116  the path as it is named
            size, changed = status.st_size, status.st_mtime_ns
            if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for without end
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
    """Why a folder cannot be read any more."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return f"{folder} can no longer be read ({error.strerror})"
    return None


def _explain(error: sqlite3.Error, path: Path) -> str:
    if "locked" in str(error):
        return f"another cutline is at work with {path}"
    if "not a database" in str(error) or "malformed" in str(error):
        return f"{path} is damaged ({error}); without it all pictures are captioned anew"
    if "unable to open" in str(error):
        return f"{path} cannot be opened: it or its folder may not be written to"
    return f"{path} cannot be written ({error}); answers up to the last second are kept in it"
