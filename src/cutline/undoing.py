"""Changes of files that can be taken back, to the last byte: the journal and `undo`.

Enters: a file's new content. Leaves: the file, replaced in one moment, and a line in the journal
that was there before it: whenever a run is killed, the journal knows of every change. What the line
keeps of the old content is the part in which old and new differ, in a file beside the journal; a
caption put into a photograph of ten megabytes costs a few bytes there.
"""

import json
import os
import zlib
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import FileIO
from pathlib import Path
from stat import S_IMODE
from typing import Any

from cutline.errors import WritingError
from cutline.replacing import Part, part_of, read_file


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


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one change."""

    target: Path
    action: str
    """`restored`, `would restore`, `unchanged`, `kept` or `failed`."""
    sentence: str = ""
    """Why, where it is not restored."""


class Journal:
    """The changes of one album; nothing is written before the first change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: FileIO | None = None
        self._blobs: FileIO | None = None
        self._read()

    def _read(self) -> None:
        self.changes = _read_journal(self.path)
        """Those that nobody has taken back, the oldest first."""
        self._next = 1 + max(self.changes, default=0)
        self._latest = {change.target: change for change in self.changes.values()}

    def claim(self) -> None:
        """Keep other processes out until the journal is closed.

        Raises `WritingError` where another is in, or nothing can be written there.
        """
        if self._lines:
            return
        try:
            lines = FileIO(self.path, "a")
        except OSError as error:
            raise WritingError(f"{self.path} cannot be written: {error.strerror}") from None
        if not _lock(lines):
            lines.close()
            raise WritingError(f"{self.path} is in use by another cutline: let that end first")
        _cut_off_half_a_line(self.path)
        self._lines = lines
        self._read()  # another may have written since

    def latest(self, target: Path) -> Change | None:
        """The last change of a file."""
        return self._latest.get(_absolute(target))

    def replace(self, target: Path, content: bytes, *, seen: bytes | None, picture: Path) -> None:
        """Note the change, then give the file this content; `seen` is what it held just now, if
        it was there.

        Raises `WritingError` and leaves everything as it was for a file that is read-only or has
        changed meanwhile, `OSError` where the disk refuses.
        """
        self.claim()
        with Part(target, content) as part:
            if read_file(target) != seen:
                raise WritingError("was changed by somebody else meanwhile")
            change = Change(
                number=self._next,
                target=_absolute(target),
                picture=_absolute(picture),
                after=sha256(content).hexdigest(),
                before=None if seen is None else self._keep(target, seen, content),
                date=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self._append_line(_as_line(change, self.path))
            part.replace_target()
        self.changes[change.number] = self._latest[change.target] = change
        self._next += 1

    def restore(self, change: Change, content: bytes) -> None:
        """Give a file back what it held before a change; `content` is what it holds now."""
        self.claim()
        if (before := change.before) is None:
            change.target.unlink()
        else:
            with Part(change.target, self.old_content(before, content)) as part:
                part.replace_target(before.mode, before.mtime_ns)
        self.forget(change)

    def old_content(self, before: Before, content: bytes) -> bytes:
        """What a file held. Raises `WritingError` where the journal's blobs are damaged."""
        place, length = before.blob
        try:
            with self._blobs_path.open("rb") as blobs:
                blobs.seek(place)
                middle = zlib.decompress(blobs.read(length))
        except (OSError, zlib.error):
            raise WritingError(f"cannot be restored: {self._blobs_path} is damaged") from None
        old = content[: before.prefix] + middle + content[len(content) - before.suffix :]
        if sha256(old).hexdigest() != before.sha256:
            raise WritingError(f"cannot be restored: {self._blobs_path} is not the journal's")
        return old

    def forget(self, change: Change) -> None:
        """Note that a change was taken back."""
        self.claim()
        self._append_line(json.dumps({"undone": change.number}))
        self.changes.pop(change.number, None)

    def remove(self) -> None:
        """Take the journal away: there is nothing left to take back."""
        self.close()
        for path in (self.path, self._blobs_path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files; a journal in which nothing stands goes."""
        if self._lines and self.path.exists() and not self.path.stat().st_size:
            self.path.unlink()
        for file in (self._lines, self._blobs):
            if file:
                file.close()
        self._lines = self._blobs = None

    @property
    def _blobs_path(self) -> Path:
        return self.path.with_suffix(".blobs")

    def _keep(self, target: Path, old: bytes, new: bytes) -> Before:
        if self._blobs is None:
            self._blobs = FileIO(self._blobs_path, "a")
        prefix = _alike(old, new)
        suffix = _alike(old[prefix:][::-1], new[prefix:][::-1])
        middle = zlib.compress(old[prefix : len(old) - suffix])
        place = _append(self._blobs, middle)
        status = target.stat()
        return Before(
            sha256=sha256(old).hexdigest(),
            prefix=prefix,
            suffix=suffix,
            blob=(place, len(middle)),
            mode=S_IMODE(status.st_mode),
            mtime_ns=status.st_mtime_ns,
        )

    def _append_line(self, line: str) -> None:
        assert self._lines, "the journal is claimed first"
        _append(self._lines, line.encode() + b"\n")


def journal_beside(captions: Path) -> Path:
    """Where the journal of a captions file stands: `captions.undo.jsonl` of `captions.jsonl`."""
    return captions.with_name(f"{captions.stem}.undo.jsonl")


def undo(journal: str | Path, *, apply: bool = False) -> Generator[Undone]:
    """Take back every change in the journal, the newest first; without `apply` only say so.

    A file that is no longer as cutline left it is kept. Stopped at any moment, the same call goes
    on; when nothing is left to take back, the journal goes too. Raises `WritingError` where there
    is no journal, or none that can be read.
    """
    journal = Path(journal)
    if not journal.exists():
        others = sorted(each.name for each in journal.parent.glob("*.undo.jsonl"))
        there = f"; {', '.join(others)} would be there" if others else ""
        raise WritingError(f"there is no journal {journal}: cutline write --apply makes one{there}")
    opened = Journal(journal)
    supposed: dict[Path, str | None] = {}
    try:
        if apply:
            opened.claim()
        for change in reversed(list(opened.changes.values())):
            try:
                yield _undo_one(opened, change, supposed, apply=apply)
            except (OSError, WritingError) as error:
                yield Undone(change.target, "failed", tell_failure(change.target, error))
        if apply and not opened.changes:
            opened.remove()
    finally:
        opened.close()


def tell_failure(path: Path, error: OSError | WritingError) -> str:
    """One sentence about a file: its name, and what is wrong."""
    match error:
        case WritingError():
            return f"{_spell(path)} {error}"
        case FileNotFoundError() | NotADirectoryError():
            return f"{_spell(path)} does not exist"
        case PermissionError():
            return f"{_spell(path)} cannot be written: permission denied"
    return f"{_spell(path)} cannot be written: {error.strerror or error}"


def _spell(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))


def _undo_one(
    journal: Journal, change: Change, supposed: dict[Path, str | None], *, apply: bool
) -> Undone:
    target = change.target
    content = read_file(target)
    digest = None if content is None else sha256(content).hexdigest()
    if not apply:  # what the newer changes of the same file would have left
        digest = supposed.get(target, digest)
    before = change.before.sha256 if change.before else None
    if digest == before:
        if apply:
            part_of(target).unlink(missing_ok=True)
            journal.forget(change)
        return Undone(target, "unchanged", f"{_spell(target)} is as it was")
    if digest != change.after:
        what = "is gone" if digest is None else "was changed after cutline wrote it"
        return Undone(target, "kept", f"{_spell(target)} {what}")
    if not apply:
        supposed[target] = before
        return Undone(target, "would restore")
    assert content is not None
    journal.restore(change, content)
    return Undone(target, "restored")


def _append(file: FileIO, content: bytes) -> int:
    """Where the content begins; on disk when this returns, and nothing of it when it fails."""
    start = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(start)
        raise
    return start


def _alike(one: bytes, other: bytes) -> int:
    """How many bytes two contents begin alike; halving, so that few comparisons are made."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


# --------------------------------------------------------------------------------- the lines


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)


def _as_line(change: Change, journal: Path) -> str:
    told = asdict(change) | {
        "target": _as_told(change.target, journal),
        "picture": _as_told(change.picture, journal),
    }
    return json.dumps(told)


def _as_told(path: Path, journal: Path) -> str:
    """As seen from the journal where it lies above: an album may move with its journal."""
    folder = _absolute(journal).parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _read_journal(path: Path) -> dict[int, Change]:
    content = read_file(path) or b""
    changes: dict[int, Change] = {}
    for place, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            told = json.loads(line)
            if "undone" in told:
                changes.pop(told["undone"], None)
            else:
                changes[told["number"]] = _change_of(told, _absolute(path).parent)
        except (ValueError, KeyError, TypeError):
            raise WritingError(f"{path}, line {place}: this is no line of a journal") from None
    return changes


def _change_of(told: dict[str, Any], folder: Path) -> Change:
    before = told["before"]
    if before is not None:
        before = Before(**{**before, "blob": tuple(before["blob"])})
    places = {name: folder / told[name] for name in ("target", "picture")}
    return Change(**{**told, **places, "before": before})


def _lock(file: FileIO) -> bool:
    """Whether the file is now this process's alone, until it is closed; and is still in place."""
    with suppress(ImportError):  # Windows, whose locks would keep ourselves from reading
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a network drive that knows no locks
            return True
    return os.fstat(file.fileno()).st_nlink > 0


def _cut_off_half_a_line(path: Path) -> None:
    content = read_file(path)
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
