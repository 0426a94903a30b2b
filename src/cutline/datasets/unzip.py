"""Zips from strangers: no path leaves the folder, no bomb goes off, nothing is half there.

Members are written beside their place and renamed; what is there with its size is not written
again, so an unpacking that was killed goes on.
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

SWOLLEN = 20
"""How many times its own size an archive may unpack to; annotations do to three times."""
FREE = 100 * 10**6
"""Bytes that any archive may unpack to."""
LONGEST_NAME = 255
"""Bytes in the name of a file or folder, of every file system in use."""
ENCRYPTED = 1
"""The bit among a member's flags (APPNOTE.TXT, 4.4.4)."""


def unpack(archive: Path, folder: Path) -> Iterator[DownloadProgress]:
    """Unpack an archive into a folder. Raises `FetchError` before anything hostile is written.

    What the disk refuses, such as room, is an `OSError`: the archive may be good.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [m for m in opened.infolist() if not m.filename.endswith("/")]
            total = sum(member.file_size for member in members)
            _refuse_hostile(archive, members, total)
            done = 0
            for inside in _make_folders(archive, members, folder):
                remove_partial_files(inside)  # what an unpacking that was killed left there
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
            f"{archive} is damaged: it holds a file and a folder of one name"
        ) from None


def _refuse_hostile(archive: Path, members: list[zipfile.ZipInfo], total: int) -> None:
    for member in members:
        path = PurePosixPath(member.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in member.filename
        if outside or not path.parts or ":" in path.parts[0]:
            raise FetchError(f"{archive}: {member.filename!r} would leave its folder")
        if max(len(os.fsencode(part)) for part in path.parts) > LONGEST_NAME:
            raise FetchError(f"{archive}: the name {member.filename[:40]!r}... is too long")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FetchError(f"{archive}: {member.filename!r} is a link, not a file")
        if member.flag_bits & ENCRYPTED:
            raise FetchError(f"{archive}: {member.filename!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FetchError(f"{archive}: {member.filename!r} is packed otherwise than by deflate")
    if total > max(FREE, SWOLLEN * archive.stat().st_size):
        raise FetchError(f"{archive} would unpack to {total / 1e9:,.1f} GB: too much for its size")


def _make_folders(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> Iterator[Path]:
    """The folders of the members, made where there are none; through no link out of `folder`."""
    for inside in sorted({(folder / member.filename).parent for member in members}):
        if not inside.resolve().is_relative_to(folder.resolve()):
            raise FetchError(f"{archive} is not unpacked: {inside} is a link to elsewhere")
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
