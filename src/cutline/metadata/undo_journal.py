"""Changes of files that can be taken back, to the last byte: the journal and `undo`.

Enters: a file's new content. Leaves: the file, replaced in one moment, and a line in the journal
that was there before it: whenever a run is killed, the journal knows of every change. What the line
keeps of the old content is the part in which old and new differ, in a file beside the journal; a
caption put into a photograph of ten megabytes costs a few bytes there.

A journal may be a stranger's: it comes with a folder from elsewhere. So `undo` goes by one only if
it belongs to this user, and touches only files below its folder (or folders that are named to it),
through no link, and only while they hold to the last byte what the journal says was written. No
file gets rights that it does not have. There is no key that binds a journal to one machine, because
an album and its journal are to move together.
"""

import json
import os
import zlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from io import FileIO
from pathlib import Path
from shlex import quote
from stat import S_IMODE

from cutline.errors import WritingError
from cutline.io.atomic import (
    PartialFile,
    RefusedError,
    append,
    explain_hard_links,
    lock,
    open_to_append,
    read_file,
    remove_locked,
    remove_partial_files,
    require_regular_file,
    require_writable,
)
from cutline.io.jsonl import remove_torn_line
from cutline.metadata.undo_records import (
    Before,
    Change,
    as_line,
    parse_changes,
    place_of,
    read_changes,
)

_LEAST, _SWOLLEN = 2**26, 20
"""What is kept of an old content may unpack to 64 megabytes, or to so many times its size."""


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
        self._swept = set[Path]()
        self._note(read_changes(self.path))

    def _note(self, changes: dict[int, Change]) -> None:
        self.changes = changes
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
            lines = open_to_append(self.path)
        except OSError as error:
            raise WritingError(f"{self.path} cannot be written: {error.strerror}") from None
        # one that was taken away after it was opened is not in place any more
        if lock(lines.fileno()) is False or not os.fstat(lines.fileno()).st_nlink:
            lines.close()
            raise WritingError(f"{self.path} is in use by another cutline: let that end first")
        self._lines = lines
        # another may have written since; Windows lets none but the locked handle read
        self._note(parse_changes(remove_torn_line(lines), self.path))

    def latest(self, target: Path) -> Change | None:
        """The last change of a file."""
        return self._latest.get(place_of(target))

    def replace(
        self,
        target: Path,
        content: bytes,
        *,
        seen: bytes | None,
        picture: Path,
        human: bool = False,
    ) -> None:
        """Note the change, then give the file this content; `seen` is what it held just now, if
        it was there, and `human` says whose text is written.

        Raises `WritingError` and leaves everything as it was for a file that is a link, has hard
        links, is read-only or has changed meanwhile, `OSError` where the disk refuses.
        """
        self.claim()
        self._insist_on_target(target)
        with PartialFile(target) as part:
            part.file.write(content)
            part.file.flush()
            os.fsync(part.file.fileno())
            if read_file(target) != seen:
                raise WritingError("was changed by somebody else meanwhile")
            change = Change(
                number=self._next,
                target=place_of(target),
                picture=place_of(picture),
                after=sha256(content).hexdigest(),
                before=None if seen is None else self._keep(target, seen, content),
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                human=human,
            )
            self._append_line(as_line(change, self.path))
            part.replace_target()
        self.changes[change.number] = self._latest[change.target] = change
        self._next += 1

    def _insist_on_target(self, target: Path) -> None:
        insist_on_target(target)
        if target.parent not in self._swept:  # one look at a folder, not one for each picture
            remove_partial_files(target.parent)
            self._swept.add(target.parent)

    def restore(self, change: Change, content: bytes) -> None:
        """Give a file back what it held before a change; `content` is what it holds now."""
        self.claim()
        self._insist_on_target(change.target)
        if (before := change.before) is None:
            change.target.unlink()
        else:
            rights = before.mode & 0o777 & S_IMODE(change.target.lstat().st_mode)
            with PartialFile(change.target) as part:
                part.file.write(self.old_content(before, content))
                part.replace_target(mode=rights, mtime_ns=before.mtime_ns)
        self.forget(change)

    def old_content(self, before: Before, content: bytes) -> bytes:
        """What a file held. Raises `WritingError` where the journal's blobs are damaged."""
        place, length = before.blob
        try:
            require_regular_file(self.blobs_path)
            with self.blobs_path.open("rb") as blobs:
                blobs.seek(place)
                unpacking = zlib.decompressobj()
                kept = blobs.read(min(length, self.blobs_path.stat().st_size))
                middle = unpacking.decompress(kept, max(_LEAST, _SWOLLEN * len(kept)))
            if not unpacking.eof:
                raise zlib.error("cut off, or swollen")
        except (OSError, zlib.error):
            raise WritingError(f"cannot be restored: {self.blobs_path} is damaged") from None
        old = content[: before.prefix] + middle + content[len(content) - before.suffix :]
        if sha256(old).hexdigest() != before.sha256:
            raise WritingError(f"cannot be restored: {self.blobs_path} is not the journal's")
        return old

    def forget(self, change: Change) -> None:
        """Note that a change was taken back."""
        self.claim()
        self._append_line(json.dumps({"undone": change.number}))
        self.changes.pop(change.number, None)

    def remove(self) -> None:
        """Take the journal away: there is nothing left to take back."""
        if self._blobs:
            self._blobs.close()
        self.blobs_path.unlink(missing_ok=True)
        if self._lines:
            remove_locked(self._lines, self.path)
        self.close()

    def close(self) -> None:
        """Let go of the files; a journal in which nothing stands goes."""
        if self._lines and not self._lines.closed and not os.fstat(self._lines.fileno()).st_size:
            remove_locked(self._lines, self.path)
        for file in (self._lines, self._blobs):
            if file:
                file.close()
        self._lines = self._blobs = None

    @property
    def blobs_path(self) -> Path:
        """The file beside the journal that keeps what was replaced."""
        return self.path.with_suffix(".blobs")

    def _keep(self, target: Path, old: bytes, new: bytes) -> Before:
        if self._blobs is None:
            self._blobs = open_to_append(self.blobs_path)
        prefix = _alike(old, new)
        suffix = _alike(old[prefix:][::-1], new[prefix:][::-1])
        middle = zlib.compress(old[prefix : len(old) - suffix])
        place = append(self._blobs, middle)
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
        append(self._lines, line.encode() + b"\n")


def journal_beside(captions: Path) -> Path:
    """Where the journal of a captions file stands: `captions.undo.jsonl` of `captions.jsonl`."""
    return captions.with_name(f"{captions.stem}.undo.jsonl")


def undo(
    journal: str | Path, *, apply: bool = False, folders: Iterable[str | Path] = ()
) -> Generator[Undone]:
    """Take back every change in the journal, the newest first; without `apply` only say so.

    Files are touched below the journal's folder, and below `folders`. One that is no longer as
    cutline left it is kept. Stopped at any moment, the same call goes on; when nothing is left to
    take back, the journal goes too. Raises `WritingError` where there is no journal, or none that
    can be read, or that of another user.
    """
    journal = Path(journal)
    inside = [place_of(journal).parent, *(Path(folder).resolve() for folder in folders)]
    if not journal.exists():
        others = sorted(each.name for each in journal.parent.glob("*.undo.jsonl"))
        there = f"; {', '.join(others)} would be there" if others else ""
        raise WritingError(f"there is no journal {journal}: cutline write --apply makes one{there}")
    opened = Journal(journal)
    _insist_on_owner(journal, opened)
    supposed: dict[Path, str | None] = {}
    try:
        if apply:
            opened.claim()
        for change in reversed(list(opened.changes.values())):
            try:
                _insist_inside(change.target, inside, journal)
                yield _undo_one(opened, change, supposed, apply=apply)
            except (OSError, WritingError) as error:
                yield Undone(change.target, "failed", tell_failure(change.target, error))
        if apply and not opened.changes:
            opened.remove()
    finally:
        opened.close()


def insist_on_target(target: Path) -> None:
    """Raises `WritingError` for a file that is a link, has hard links, or is read-only."""
    try:
        status = require_writable(target)
    except RefusedError as error:
        raise WritingError(str(error.strerror).removeprefix("it ")) from None
    if status and status.st_nlink > 1:
        raise WritingError(f"stays as it is: {explain_hard_links(status)}")


def _insist_on_owner(path: Path, journal: Journal) -> None:
    for each in (path, journal.blobs_path):
        status = require_regular_file(each)
        if status and os.name != "nt" and status.st_uid != os.getuid():
            raise WritingError(
                f"{each} belongs to another user, so nothing is taken back by it; if you trust it, "
                "copy it, and the copy is yours"
            )


def _insist_inside(target: Path, folders: list[Path], journal: Path) -> None:
    if not any(target.is_relative_to(folder) for folder in folders):
        raise WritingError(
            f"lies outside of the journal's folder: if that is right, name its folder as well, as "
            f"in `cutline undo {quote(str(journal))} {quote(str(target.parent))}`"
        )


def tell_failure(path: Path, error: OSError | WritingError) -> str:
    """One sentence about a file: its name, and what is wrong."""
    match error:
        case RefusedError():
            return f"{_spell(path)} {str(error.strerror).removeprefix('it ')}"
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
    require_regular_file(target)
    content = read_file(target)
    digest = None if content is None else sha256(content).hexdigest()
    if not apply:  # what the newer changes of the same file would have left
        digest = supposed.get(target, digest)
    before = change.before.sha256 if change.before else None
    if digest == before:
        if apply:
            remove_partial_files(target.parent)
            journal.forget(change)
        return Undone(target, "unchanged", f"{_spell(target)} is as it was")
    if digest != change.after:
        what = "is gone" if digest is None else "was changed after cutline wrote it"
        return Undone(target, "kept", f"{_spell(target)} {what}")
    insist_on_target(target)
    if not apply:
        supposed[target] = before
        return Undone(target, "would restore")
    assert content is not None
    journal.restore(change, content)
    return Undone(target, "restored")


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
