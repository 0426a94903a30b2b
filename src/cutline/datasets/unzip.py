"""Unpacks untrusted zip files: no path escapes the folder, zip bombs are refused, files are atomic.

Members are written atomically; existing files of the right size are not written again, so that an
interrupted unpacking can resume.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cutline.datasets.download import DownloadProgress
from cutline.errors import FetchError
from cutline.io.atomic import RefusedError, atomic_write, remove_partial_files, require_regular_file
from cutline.io.zips import find_problem

LONGEST_NAME = 255
"""Maximum bytes in the name of a file or folder on common file systems."""


def unpack(archive: Path, folder: Path) -> Iterator[DownloadProgress]:
    """Unpack an archive into a folder.

    Raises `FetchError` before writing anything from a hostile or damaged archive, and `OSError` if
    writing fails, for example on a full disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.filename.endswith("/")]
            total = sum(member.file_size for member in members)
            _refuse_hostile(archive, members)
            done = 0
            for inside in _make_folders(archive, members, folder):
                remove_partial_files(inside)  # partial files of an interrupted run
            for member in members:
                done += member.file_size
                if _write(opened, member, folder / member.filename):
                    yield DownloadProgress(archive.name, done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise FetchError(f"{archive} is damaged: {error}") from None
    except RefusedError as error:
        raise FetchError(f"{error.filename} cannot be unpacked: {error.strerror}") from None
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise FetchError(
            f"{archive} is damaged: it contains a file and a folder of the same name"
        ) from None


def _refuse_hostile(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        path = PurePosixPath(member.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename
        if outside or not path.parts or ":" in path.parts[0]:
            raise FetchError(f"{archive}: {member.filename!r} would be written outside its folder")
        if max(len(os.fsencode(part)) for part in path.parts) > LONGEST_NAME:
            raise FetchError(f"{archive}: the name {member.filename[:40]!r}... is too long")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FetchError(f"{archive}: {member.filename!r} is a link, not a file")
    if problem := find_problem(archive, members, archive.stat().st_size):
        raise FetchError(problem)


def _make_folders(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> Iterator[Path]:
    """Create the folders of the members, but not through links that leave `folder`."""
    for inside in sorted({(folder / member.filename).parent for member in members}):
        if not inside.resolve().is_relative_to(folder.resolve()):
            raise FetchError(
                f"{archive} is not unpacked: {inside} is a link that leaves the folder"
            )
        inside.mkdir(parents=True, exist_ok=True)
        yield inside


def _write(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bool:
    if path.is_dir():
        raise IsADirectoryError
    there = require_regular_file(path)
    if there and there.st_size == member.file_size:
        return False
    with opened.open(member) as source, atomic_write(path, fsync=False, clean_up=False) as file:
        while piece := source.read(2**20):
            file.write(piece)
    return True
