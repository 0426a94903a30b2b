"""Atomic file replacement, file locks and appends: every file that cutline writes is written here.

New content is written to a partial file beside the target, under a random name that is created
exclusively and never through a symbolic link. It is renamed onto the target only if the file there
is still the one that was there at the start. Links, pipes and devices are never written to. The
file keeps its owner and mode. Partial files of a killed process are recognized by their name and
their missing lock, and removed by the next write to that folder.
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
    """The target is a link, not a regular file, read-only, or was replaced meanwhile."""


def write_text_file(pieces: Iterable[str], out: Path) -> None:
    """Write a text file atomically. Raises `CutlineError` where it cannot be written."""
    try:
        with atomic_write(out) as file:
            # file names may be any bytes: what UTF-8 cannot encode becomes a question mark
            file.writelines(piece.encode("utf8", "replace") for piece in pieces)
    except OSError as error:
        raise CutlineError(f"{out} cannot be written: {error.strerror or error}") from None


@contextmanager
def atomic_write(target: Path, *, fsync: bool = True, clean_up: bool = True) -> Iterator[BinaryIO]:
    """A file to write to; it replaces the target when the `with` block ends without an exception.

    `fsync` waits until the content is on the disk. `clean_up` first removes the partial files that
    killed processes left in the folder; turn it off when writing thousands. Raises `OSError`, whose
    `strerror` completes a sentence, and leaves the target as it was.
    """
    if clean_up:
        remove_partial_files(target.parent)
    with PartialFile(target) as part:
        yield part.file
        part.replace_target(fsync=fsync)


class PartialFile:
    """New content for a file, under a random name beside it; removed after the `with` block."""

    def __init__(self, target: Path) -> None:
        """Create the file. Raises `RefusedError` like `require_writable`, and `OSError`."""
        self._target, self._status = target, require_writable(target)
        self._path = target.with_name(_name_part())
        mode = stat.S_IMODE(self._status.st_mode) & 0o777 if self._status else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW
        self.file: BinaryIO = open(  # noqa: SIM115, PTH123 (torch and safetensors ask a file for its name)
            self._path, "w+b", opener=lambda path, _: os.open(path, flags, mode)
        )
        if os.name != "nt":  # Windows keeps open files from being removed
            lock(self.file.fileno())

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk, reported before
            self.file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def replace_target(
        self, *, mode: int | None = None, mtime_ns: int | None = None, fsync: bool = True
    ) -> None:
        """Rename the partial file onto the target.

        `mode` defaults to that of the target, `mtime_ns` (nanoseconds since 1970) to now. Raises
        `RefusedError` if the target is no longer the file that it was at the start.
        """
        self.file.flush()
        if fsync:
            os.fsync(self.file.fileno())
        if _identify(_look(self._target)) != _identify(self._status):
            why = "another file has taken its place meanwhile"
            raise RefusedError(EEXIST, why, str(self._target))
        if self._status:
            shutil.copystat(self._target, self._path, follow_symlinks=False)
            if hasattr(os, "chown"):
                with suppress(PermissionError):
                    os.chown(self._path, self._status.st_uid, self._status.st_gid)
            os.utime(self._path)  # so that backup programs see that it changed
        if mode is not None:
            self._path.chmod(mode)
        if mtime_ns is not None:
            os.utime(self._path, ns=(mtime_ns, mtime_ns))
        if os.name == "nt":
            self.file.close()
        self._path.replace(self._target)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill; it gets its name when the `with` block ends without an exception."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_partial_files(folder.parent)
    beside = folder.with_name(_name_part())
    beside.mkdir()  # fails if it exists
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
    """Remove the partial files and folders that killed processes of this user left in a folder.

    Running processes lock their partial files. Nothing is removed if locking is unsupported.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PART.fullmatch(entry.name) and not entry.is_symlink():
                with suppress(OSError):
                    _remove_abandoned(Path(entry.path))


def _remove_abandoned(part: Path) -> None:
    if os.name == "nt":  # which does not remove open files
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
    """Lock an open file exclusively: whether that worked; None where locks are not supported.

    `wait` waits for the lock. Closing the file releases it, and so does the end of the process.
    """
    from filelock import lock_descriptor  # here: 20 ms that only writing needs

    try:
        return lock_descriptor(opened, blocking=wait)
    except OSError:  # a file system without locks
        return None


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Whether this process alone holds the lock file, which is removed after the `with` block.

    True where locks are not supported. Raises `OSError` where the file cannot be created.
    """
    file = open_to_append(path)
    # its last holder may have removed it between our opening and our locking
    mine = lock(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink > 0
    try:
        yield mine
    finally:
        if mine:
            remove_locked(file, path)
        file.close()


def remove_locked(file: FileIO, path: Path) -> None:
    """Remove a file while its lock is held; Windows only removes closed ones.

    Does nothing if the file cannot be removed or has been replaced by another.
    """
    if not os.fstat(file.fileno()).st_nlink:
        return
    if os.name == "nt":
        file.close()
    with suppress(OSError):
        path.unlink()


def open_to_append(path: Path) -> FileIO:
    """Open a file for reading and appending, or create it. Raises `RefusedError` for a link."""
    require_regular_file(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _NOFOLLOW
    return FileIO(os.open(path, flags, 0o666), "r+")


def append(file: FileIO, content: bytes) -> int:
    """Append to a file from `open_to_append`, and wait until it is on the disk.

    Returns the offset of the content. Raises `OSError`, and leaves nothing of it in the file.
    """
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


def require_regular_file(path: Path) -> os.stat_result | None:
    """The status of a regular file; None if it does not exist. Raises `RefusedError` otherwise."""
    status = _look(path)
    if status is None or stat.S_ISREG(status.st_mode):
        return status
    if stat.S_ISLNK(status.st_mode):
        raise RefusedError(ELOOP, "it is a link; name the file itself", str(path))
    what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
    raise RefusedError(EINVAL, f"it is {what}", str(path))


def require_writable(target: Path) -> os.stat_result | None:
    """Like `require_regular_file`, but also raises `RefusedError` for a read-only file."""
    status = require_regular_file(target)
    if status and not status.st_mode & 0o222:
        raise RefusedError(EACCES, "it is read-only", str(target))
    return status


def explain_hard_links(status: os.stat_result) -> str:
    """Why a file with hard links is not replaced: that would separate them."""
    return (
        f"it has {status.st_nlink} names (hard links), which writing would separate; "
        "copy it to a file of its own first"
    )


def read_file(path: Path) -> bytes | None:
    """The content of a file; None if it does not exist. Raises `RefusedError` for a pipe."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise RefusedError(EINVAL, "it is not a regular file", str(path))
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
    """What distinguishes one file, in its present state, from another."""
    if status is None:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
