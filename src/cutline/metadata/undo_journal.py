"""File changes that can be undone byte for byte: the journal, and `undo`.

A file is replaced atomically, after a line about the change is on the disk: whenever a process is
killed, the journal knows every change. Of the old content only the part that differs is kept, in a
file beside the journal: a caption in a photograph of ten megabytes costs a few bytes.

A journal is untrusted input, since it may come with somebody else's folder. `undo` uses one only if
it belongs to this user, and touches only files below its folder (or folders that the user names),
through no link, and only while their content is exactly what the journal says was written. No file
gets wider permissions. No key binds a journal to one machine, because an album and its journal may
move together.
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
    read_changes,
    real_path,
)

_MIN_UNPACKED, _MAX_RATIO = 2**26, 20
"""A blob may unpack to 64 MB, or to this multiple of its size."""


@dataclass(frozen=True, slots=True)
class Undone:
    """The outcome for one change."""

    target: Path
    action: str
    """`restored`, `deleted` (it did not exist before), `would restore`, `would delete`,
    `unchanged`, `kept` or `failed`."""
    sentence: str = ""
    """Why it was not restored."""


class UndoJournal:
    """The changes of one album; no file is created until the first change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: FileIO | None = None
        self._blobs: FileIO | None = None
        self._swept = set[Path]()
        self._note(read_changes(self.path))

    def _note(self, changes: dict[int, Change]) -> None:
        self.changes = changes
        """Those that were not undone, oldest first."""
        self._next = 1 + max(self.changes, default=0)
        self._latest = {change.target: change for change in self.changes.values()}

    def claim(self) -> None:
        """Lock the journal until it is closed.

        Raises `WritingError` if another process has locked it, or it cannot be written.
        """
        if self._lines:
            return
        try:
            lines = open_to_append(self.path)
        except OSError as error:
            raise WritingError(f"{self.path} cannot be written: {error.strerror}") from None
        # another process may have removed it between our opening and our locking
        if lock(lines.fileno()) is False or not os.fstat(lines.fileno()).st_nlink:
            lines.close()
            raise WritingError(
                f"another cutline process is using {self.path}: wait for it to finish"
            )
        self._lines = lines
        # another process may have written; on Windows only the locked handle can read
        self._note(parse_changes(remove_torn_line(lines), self.path))

    def latest(self, target: Path) -> Change | None:
        """The latest change of a file."""
        return self._latest.get(real_path(target))

    def replace(
        self,
        target: Path,
        content: bytes,
        *,
        seen: bytes | None,
        picture: Path,
        human: bool = False,
    ) -> None:
        """Record the change, then replace the content of a file.

        `seen` is the content that the caller read, None for a new file; `human` says whether a
        person wrote the text. Raises `WritingError` for a file that is a link, has hard links, is
        read-only or has changed meanwhile, and `OSError`; everything is then as before.
        """
        self.claim()
        self._require_target(target)
        with PartialFile(target) as part:
            part.file.write(content)
            part.file.flush()
            os.fsync(part.file.fileno())
            if read_file(target) != seen:
                raise WritingError("was changed by another program meanwhile")
            change = Change(
                number=self._next,
                target=real_path(target),
                picture=real_path(picture),
                after=sha256(content).hexdigest(),
                before=None if seen is None else self._keep(target, seen, content),
                date=datetime.now(UTC).isoformat(timespec="seconds"),
                human=human,
            )
            self._append_line(as_line(change, self.path))
            part.replace_target()
        self.changes[change.number] = self._latest[change.target] = change
        self._next += 1

    def _require_target(self, target: Path) -> None:
        require_target(target)
        if target.parent not in self._swept:  # once per folder, not per picture
            remove_partial_files(target.parent)
            self._swept.add(target.parent)

    def restore(self, change: Change, content: bytes) -> None:
        """Undo a change; `content` is that of the file now."""
        self.claim()
        self._require_target(change.target)
        if (before := change.before) is None:
            change.target.unlink()
        else:
            rights = before.mode & 0o777 & S_IMODE(change.target.lstat().st_mode)
            with PartialFile(change.target) as part:
                part.file.write(self.old_content(before, content))
                part.replace_target(mode=rights, mtime_ns=before.mtime_ns)
        self.forget(change)

    def old_content(self, before: Before, content: bytes) -> bytes:
        """The content before a change. Raises `WritingError` if the blobs file is damaged."""
        place, length = before.blob
        try:
            require_regular_file(self.blobs_path)
            with self.blobs_path.open("rb") as blobs:
                blobs.seek(place)
                unpacking = zlib.decompressobj()
                kept = blobs.read(min(length, self.blobs_path.stat().st_size))
                middle = unpacking.decompress(kept, max(_MIN_UNPACKED, _MAX_RATIO * len(kept)))
            if not unpacking.eof:
                raise zlib.error("cut off, or swollen")
        except (OSError, zlib.error):
            raise WritingError(f"cannot be restored: {self.blobs_path} is damaged") from None
        old = content[: before.prefix] + middle + content[len(content) - before.suffix :]
        if sha256(old).hexdigest() != before.sha256:
            raise WritingError(
                f"cannot be restored: {self.blobs_path} does not belong to this journal"
            )
        return old

    def forget(self, change: Change) -> None:
        """Record that a change was undone."""
        self.claim()
        self._append_line(json.dumps({"undone": change.number}))
        self.changes.pop(change.number, None)

    def remove(self) -> None:
        """Remove the journal, when there is nothing left to undo."""
        if self._blobs:
            self._blobs.close()
        self.blobs_path.unlink(missing_ok=True)
        if self._lines:
            remove_locked(self._lines, self.path)
        self.close()

    def close(self) -> None:
        """Close the files, and remove an empty journal."""
        if self._lines and not self._lines.closed and not os.fstat(self._lines.fileno()).st_size:
            remove_locked(self._lines, self.path)
        for file in (self._lines, self._blobs):
            if file:
                file.close()
        self._lines = self._blobs = None

    @property
    def blobs_path(self) -> Path:
        """The file beside the journal with the parts that were replaced."""
        return self.path.with_suffix(".blobs")

    def _keep(self, target: Path, old: bytes, new: bytes) -> Before:
        if self._blobs is None:
            self._blobs = open_to_append(self.blobs_path)
        prefix = _common_prefix(old, new)
        suffix = _common_prefix(old[prefix:][::-1], new[prefix:][::-1])
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
        assert self._lines, "claim() comes first"
        append(self._lines, line.encode() + b"\n")


def journal_beside(captions: Path) -> Path:
    """The undo journal of a file of captions: `captions.undo.jsonl` for `captions.jsonl`."""
    return captions.with_name(f"{captions.stem}.undo.jsonl")


def undo(
    journal: str | Path, *, apply: bool = False, folders: Iterable[str | Path] = ()
) -> Generator[Undone]:
    """Undo every change in the journal, newest first; without `apply` only say what would happen.

    Only files below the journal's folder and below `folders` are touched, and those that changed
    since cutline wrote them are kept. The same call resumes after an interruption; when nothing is
    left to undo, the journal is removed. Raises `WritingError` for a journal that does not exist,
    cannot be read, or belongs to another user.
    """
    journal = Path(journal)
    inside = [real_path(journal).parent, *(Path(folder).resolve() for folder in folders)]
    if not journal.exists():
        others = sorted(each.name for each in journal.parent.glob("*.undo.jsonl"))
        hint = f"; there is {', '.join(others)}" if others else ""
        raise WritingError(
            f"there is no journal {journal}: `cutline write` and `alt` make one with --apply{hint}"
        )
    opened = UndoJournal(journal)
    _require_owner(journal, opened)
    supposed: dict[Path, str | None] = {}
    try:
        if apply:
            opened.claim()
        for change in reversed(list(opened.changes.values())):
            try:
                _require_inside(change.target, inside, journal)
                yield _undo_one(opened, change, supposed, apply=apply)
            except (OSError, WritingError) as error:
                yield Undone(change.target, "failed", explain_failure(change.target, error))
        if apply and not opened.changes:
            opened.remove()
    finally:
        opened.close()


def require_target(target: Path) -> None:
    """Raise `WritingError` for a file that is a link, has hard links, or is read-only."""
    try:
        status = require_writable(target)
    except RefusedError as error:
        raise WritingError(str(error.strerror).removeprefix("it ")) from None
    if status and status.st_nlink > 1:
        raise WritingError(f"stays as it is: {explain_hard_links(status)}")


def _require_owner(path: Path, journal: UndoJournal) -> None:
    for each in (path, journal.blobs_path):
        status = require_regular_file(each)
        if status and os.name != "nt" and status.st_uid != os.getuid():
            raise WritingError(
                f"{each} belongs to another user: if you trust it, copy it and use the copy"
            )


def _require_inside(target: Path, folders: list[Path], journal: Path) -> None:
    if not any(target.is_relative_to(folder) for folder in folders):
        raise WritingError(
            f"is outside the journal's folder: if that is intended, pass its folder, for example "
            f"`cutline undo {quote(str(journal))} {quote(str(target.parent))}`"
        )


def explain_failure(path: Path, error: OSError | WritingError) -> str:
    """A sentence with the name of a file and what is wrong."""
    match error:
        case RefusedError():
            return f"{_visible(path)} {str(error.strerror).removeprefix('it ')}"
        case WritingError():
            return f"{_visible(path)} {error}"
        case FileNotFoundError() | NotADirectoryError():
            return f"{_visible(path)} does not exist"
        case PermissionError():
            return f"{_visible(path)} cannot be written: permission denied"
    return f"{_visible(path)} cannot be written: {error.strerror or error}"


def _visible(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))


def _undo_one(
    journal: UndoJournal, change: Change, supposed: dict[Path, str | None], *, apply: bool
) -> Undone:
    target = change.target
    require_regular_file(target)
    content = read_file(target)
    digest = None if content is None else sha256(content).hexdigest()
    if not apply:  # as undoing newer changes of the file would leave it
        digest = supposed.get(target, digest)
    before = change.before.sha256 if change.before else None
    if digest == before:
        if apply:
            remove_partial_files(target.parent)
            journal.forget(change)
        return Undone(target, "unchanged", f"{_visible(target)} is as it was")
    if digest != change.after:
        what = "does not exist any more" if digest is None else "was changed after cutline wrote it"
        return Undone(target, "kept", f"{_visible(target)} {what}")
    require_target(target)
    if not apply:
        supposed[target] = before
        return Undone(target, "would restore" if change.before else "would delete")
    assert content is not None
    journal.restore(change, content)
    return Undone(target, "restored" if change.before else "deleted")


def _common_prefix(one: bytes, other: bytes) -> int:
    """Length of the common prefix, by bisection."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
