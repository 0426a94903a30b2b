"""Which pictures somebody means: files, folders, glob patterns, a list on standard input."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cutline.errors import DataError, NoPictureError
from cutline.images.formats import is_picture

NOT_ALBUMS = frozenset(("@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found"))
"""Folders of thumbnails and of rubbish, as network drives and systems make them."""


def find_pictures(
    paths: Iterable[str], *, recursive: bool
) -> Iterator[tuple[str, DataError | None]]:
    """Files as they are named, the pictures of folders sorted, glob patterns spelt out.

    A folder or a pattern in which there is none comes with what to say about it, and so does a
    folder that may not be entered; the rest go on. Hidden folders and `NOT_ALBUMS` are passed
    over, unless they are named themselves.
    """
    for path in paths:
        if path == "-":
            lines = (line.rstrip("\r\n") for line in sys.stdin)
            yield from find_pictures((line for line in lines if line), recursive=recursive)
            continue
        try:
            yield from _look_at(path, recursive=recursive)
        except OSError as error:  # a name too long, a folder one may not enter
            yield path, DataError(f"{path} cannot be read: {error.strerror}")


def _look_at(path: str, *, recursive: bool) -> Iterator[tuple[str, DataError | None]]:
    if Path(path).is_dir():
        deeper = "" if recursive else " (--recursive looks deeper)"
        pictures = _walk(path, recursive=recursive)
        yield from _or_say(pictures, path, f"{path} has no pictures in it{deeper}")
    elif not Path(path).exists() and glob.has_magic(path):
        matching = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (may be absolute)
        named = ((match, None) for match in matching)
        yield from _or_say(named, path, f"{path} matches nothing")
    else:
        yield path, None


def _walk(folder: str, *, recursive: bool) -> Iterator[tuple[str, DataError | None]]:
    """The pictures of a folder, sorted; of one folder at a time, so that memory stays flat."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:  # of this folder; those beside it may be read
        yield folder, DataError(f"{folder} cannot be read: {error.strerror}")
        return
    for entry in inside:
        if recursive and entry.is_dir(follow_symlinks=False):
            if not (entry.name.startswith(".") or entry.name in NOT_ALBUMS):
                yield from _walk(entry.path, recursive=True)
        elif is_picture(entry.name) and not _is_folder(entry):
            yield entry.path, None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or to where one may not go: as a picture it is told
        return False


def _or_say(
    found_there: Iterable[tuple[str, DataError | None]], path: str, sentence: str
) -> Iterator[tuple[str, DataError | None]]:
    found = False
    for each in found_there:
        found = True
        yield each
    if not found:
        yield path, NoPictureError(sentence)
