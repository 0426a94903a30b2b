"""Finds pictures: files, folders, glob patterns, and paths on standard input."""

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from cutline.errors import DataError, NoPictureError
from cutline.images.formats import is_picture, skipped_suffix

NOT_ALBUMS = frozenset(("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found"))
"""Folders of thumbnails and deleted files that network drives and systems create."""
_ADDRESS = re.compile("https?://", re.IGNORECASE)


def is_address(path: str) -> bool:
    """Whether a name is the address of a picture on a host."""
    return bool(_ADDRESS.match(path))


def find_pictures(
    paths: Iterable[str],
    *,
    recursive: bool,
    skipped: Counter[str] | None = None,
    addresses: bool = False,
) -> Iterator[tuple[str, DataError | None]]:
    """Yield named files, the sorted pictures of folders, and the matches of glob patterns.

    A folder or pattern without pictures is yielded with an error, as is a folder that cannot be
    read; the others continue. Hidden folders and `NOT_ALBUMS` are skipped unless named explicitly.
    Pictures in folders whose format cannot be read here are counted in `skipped`, by suffix. An
    address (`https://...`) is yielded with an error, too, unless `addresses` are wanted.
    """
    skipped = Counter() if skipped is None else skipped
    for path in paths:
        if path == "-":
            lines = (line.rstrip("\r\n") for line in sys.stdin)
            named = (line for line in lines if line)
            yield from find_pictures(
                named, recursive=recursive, skipped=skipped, addresses=addresses
            )
            continue
        if is_address(path):
            why = f"{path} is an address: `cutline caption --allow-urls` downloads it"
            yield path, None if addresses else DataError(why)
            continue
        try:
            yield from _expand(path, skipped, recursive=recursive)
        except OSError as error:  # a name too long, a folder one may not enter
            yield path, DataError(f"{path} cannot be read: {error.strerror}")


def _expand(
    path: str, skipped: Counter[str], *, recursive: bool
) -> Iterator[tuple[str, DataError | None]]:
    if Path(path).is_dir():
        deeper = "" if recursive else " (--recursive looks deeper)"
        pictures = _walk(path, skipped, recursive=recursive)
        yield from _or_error(pictures, path, f"{path} has no pictures in it{deeper}")
    elif not Path(path).exists() and glob.has_magic(path):
        matching = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (may be absolute)
        named = ((match, None) for match in matching)
        yield from _or_error(named, path, f"{path} matches nothing")
    else:
        yield path, None


def _walk(
    folder: str, skipped: Counter[str], *, recursive: bool
) -> Iterator[tuple[str, DataError | None]]:
    """The sorted pictures of a folder, one folder at a time, to bound memory."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:  # sibling folders may be readable
        yield folder, DataError(f"{folder} cannot be read: {error.strerror}")
        return
    for entry in inside:
        if recursive and entry.is_dir(follow_symlinks=False):
            if not (entry.name.startswith(".") or entry.name in NOT_ALBUMS):
                yield from _walk(entry.path, skipped, recursive=True)
        elif is_picture(entry.name) and not _is_folder(entry):
            yield entry.path, None
        elif suffix := skipped_suffix(entry.name):
            skipped[suffix] += 1


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link loop or no permission: opening it reports the error
        return False


def _or_error(
    found: Iterable[tuple[str, DataError | None]], path: str, message: str
) -> Iterator[tuple[str, DataError | None]]:
    is_empty = True
    for each in found:
        is_empty = False
        yield each
    if is_empty:
        yield path, NoPictureError(message)
