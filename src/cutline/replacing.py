"""A file gets other content in one moment: the new stands beside it, whole and on the disk, before.

The file keeps its owner and its rights.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cutline.errors import CutlineError, WritingError


def write_whole(pieces: Iterable[str], out: Path) -> None:
    """The file appears with all pieces in it; `CutlineError` where it cannot be written."""
    beside = out.with_name(f".{out.name}.part")
    try:
        # a file name may be any bytes, and what no text can hold is shown as a question mark
        with beside.open("w", encoding="utf8", errors="replace") as file:
            file.writelines(pieces)
        beside.replace(out)
    except OSError as error:
        raise CutlineError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            beside.unlink()


class Part:
    """The new content, beside the file under a name of its own; gone after the `with` block."""

    def __init__(self, target: Path, content: bytes) -> None:
        """Raises `WritingError` for a file that is read-only, `OSError` where the disk refuses."""
        self._target, self._path = target, part_of(target)
        self._status = insist_on_leave(target)
        try:
            with self._path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._remove()
            raise

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def replace_target(self, mode: int | None = None, mtime_ns: int | None = None) -> None:
        """Put the content in place, with these rights and this time; else the file's, and now."""
        if self._status:
            shutil.copystat(self._target, self._path)
            if hasattr(os, "chown"):
                with suppress(PermissionError):
                    os.chown(self._path, self._status.st_uid, self._status.st_gid)
            os.utime(self._path)  # so that backups and other programs see that it changed
        if mode is not None:
            self._path.chmod(mode)
        if mtime_ns is not None:
            os.utime(self._path, ns=(mtime_ns, mtime_ns))
        self._path.replace(self._target)

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def insist_on_leave(target: Path) -> os.stat_result | None:
    """The file's status, if it is there. Raises `WritingError` for one that is read-only."""
    status = target.stat() if target.exists() else None
    if status and not status.st_mode & 0o222:
        raise WritingError("is read-only")
    return status


def part_of(target: Path) -> Path:
    """Where a file's new content stands until it is in place."""
    return target.with_name(f".{target.name}.part")


def read_file(path: Path) -> bytes | None:
    """What a file holds; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
