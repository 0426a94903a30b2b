"""A file gets other content in one moment: the new stands beside it, whole and on the disk, before.

Every file that cutline writes is written here. The new content grows under a name that nobody can
foresee, created exclusively and never through a link; it is put in place only if what is there is
still what was looked at. A link, a pipe or a device is never written to. The file keeps its owner
and its rights. What a killed process leaves behind is known by its name and its missing lock, and
taken away by the next that writes there.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EEXIST, EINVAL, ELOOP
from io import FileIO
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from cutline.errors import CutlineError

_PART = re.compile(r"\.cutline-[0-9a-f]{16}\.part")
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class RefusedError(OSError):
    """What is there is not written over: a link, no ordinary file, read-only, or another file."""


def write_text_file(pieces: Iterable[str], out: Path) -> None:
    """The file appears with all pieces in it; `CutlineError` where it cannot be written."""
    try:
        with atomic_write(out) as file:
            # a file name may be any bytes, and what no text can hold is shown as a question mark
            file.writelines(piece.encode("utf8", "replace") for piece in pieces)
    except OSError as error:
        raise CutlineError(f"{out} cannot be written: {error.strerror or error}") from None


@contextmanager
def atomic_write(target: Path, *, fsync: bool = True, clean_up: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the target's place when the `with` block ends well.

    Without `fsync` it is not waited for until the disk has it; `clean_up` says that it is not one of
    thousands, so that what killed processes left beside it is looked for. Raises `OSError`, whose
    `strerror` ends a sentence, and leaves the target as it was.
    """
    if clean_up:
        remove_partial_files(target.parent)
    with PartialFile(target) as part:
        yield part.file
        part.replace_target(fsync=fsync)


class PartialFile:
    """New content for a file, beside it under a name of its own; gone after the `with` block."""

    def __init__(self, target: Path) -> None:
        """Raises `RefusedError` as `require_writable`, and `OSError` where the disk does."""
        self._target, self._status = target, require_writable(target)
        self._path = target.with_name(_name_part())
        mode = stat.S_IMODE(self._status.st_mode) & 0o777 if self._status else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW
        self.file: BinaryIO = open(  # noqa: SIM115, PTH123 (what writes models asks for its name)
            self._path, "w+b", opener=lambda path, _: os.open(path, flags, mode)
        )
        if os.name != "nt":  # there, a file that is open cannot be removed
            lock(self.file.fileno())

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk, which was told before
            self.file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def replace_target(
        self, *, mode: int | None = None, mtime_ns: int | None = None, fsync: bool = True
    ) -> None:
        """Put the content in place, with these rights and this time; else the file's, and now.

        Raises `RefusedError` where another file or link is there than was looked at.
        """
        self.file.flush()
        if fsync:
            os.fsync(self.file.fileno())
        if _identify(_look(self._target)) != _identify(self._status):
            told = "another file has taken its place meanwhile"
            raise RefusedError(EEXIST, told, str(self._target))
        if self._status:
            shutil.copystat(self._target, self._path, follow_symlinks=False)
            if hasattr(os, "chown"):
                with suppress(PermissionError):
                    os.chown(self._path, self._status.st_uid, self._status.st_gid)
            os.utime(self._path)  # so that backups and other programs see that it changed
        if mode is not None:
            self._path.chmod(mode)
        if mtime_ns is not None:
            os.utime(self._path, ns=(mtime_ns, mtime_ns))
        if os.name == "nt":
            self.file.close()
        self._path.replace(self._target)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name when the `with` block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_partial_files(folder.parent)
    beside = folder.with_name(_name_part())
    beside.mkdir()  # exclusively: nobody's folder is gone on with
    held = os.open(beside, os.O_RDONLY) if os.name != "nt" else None
    try:
        if held is not None:
            lock(held)
        yield beside
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if held is not None:
            os.close(held)


def remove_partial_files(folder: Path) -> None:
    """Take away what killed processes of this user left in a folder; what is being written stays.

    A part is locked as long as its process lives; where there are no locks, it stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and not entry.is_symlink():
                with suppress(OSError):
                    _take_away(Path(entry.path))


def _take_away(part: Path) -> None:
    if os.name == "nt":  # where what is open cannot be removed
        part.unlink()
        return
    opened = os.open(part, os.O_RDONLY | os.O_NONBLOCK | _NOFOLLOW)
    try:
        status = os.fstat(opened)
        if status.st_uid != os.getuid() or not lock(opened):
            return
        if stat.S_ISDIR(status.st_mode):
            shutil.rmtree(part)
        elif stat.S_ISREG(status.st_mode):
            part.unlink()
    finally:
        os.close(opened)


def lock(opened: int, *, wait: bool = False) -> bool | None:
    """Lock an open file: whether it is this process's alone; None where locks do not work.

    `wait` waits for the lock. It is released when the file is closed, also by a kill.
    """
    from filelock import lock_descriptor  # here, since captioning alone writes no file

    try:
        return lock_descriptor(opened, blocking=wait)
    except OSError:  # a network drive without locks
        return None


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Whether no other process is in this block with the same lock file, which is gone afterwards.

    True where locks do not work. Raises `OSError` where the lock file cannot be made.
    """
    file = open_to_append(path)
    # one that was taken away after it was opened locks nobody out
    mine = lock(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink > 0
    try:
        yield mine
    finally:
        if mine:
            remove_locked(file, path)
        file.close()


def remove_locked(file: FileIO, path: Path) -> None:
    """Remove a locked file before its lock is released; on Windows only a closed one goes.

    What cannot be removed stays, and so does a file that has taken its name since.
    """
    if not os.fstat(file.fileno()).st_nlink:
        return
    if os.name == "nt":
        file.close()
    with suppress(OSError):
        path.unlink()


def open_to_append(path: Path) -> FileIO:
    """A file that grows, made if it is not there. Raises `RefusedError` for a link."""
    require_regular_file(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _NOFOLLOW
    return FileIO(os.open(path, flags, 0o666), "r+")


def require_regular_file(path: Path) -> os.stat_result | None:
    """The status of a file, None if it is not there. `RefusedError` for anything else."""
    status = _look(path)
    if status is None or stat.S_ISREG(status.st_mode):
        return status
    if stat.S_ISLNK(status.st_mode):
        raise RefusedError(ELOOP, "it is a link; name the file itself", str(path))
    what = "a folder" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
    raise RefusedError(EINVAL, f"it is {what}", str(path))


def require_writable(target: Path) -> os.stat_result | None:
    """As `require_regular_file`; `RefusedError` for one that is read-only, too."""
    status = require_regular_file(target)
    if status and not status.st_mode & 0o222:
        raise RefusedError(EACCES, "it is read-only", str(target))
    return status


def explain_hard_links(status: os.stat_result) -> str:
    """What a sentence says of a file with hard links: replacing it would part them."""
    return (
        f"it is one file under {status.st_nlink} names (hard links), which writing would part; "
        "make it a file of its own first"
    )


def read_file(path: Path) -> bytes | None:
    """What a file holds; None where there is none. `RefusedError` for a pipe."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RefusedError(EINVAL, "it is no ordinary file", str(path))
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _name_part() -> str:
    return f".cutline-{token_hex(8)}.part"


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _identify(status: os.stat_result | None) -> tuple[int, ...] | None:
    """What tells one file, as it is now, from another."""
    if status is None:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
