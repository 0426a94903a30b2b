"""Which pictures somebody means: files, folders, glob patterns, a list on standard input."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cutline.errors import DataError
from cutline.validation import is_picture


def find_pictures(
    paths: Iterable[str], *, recursive: bool
) -> Iterator[tuple[str, DataError | None]]:
    """Files as they are named, the pictures of folders sorted, glob patterns spelt out.

    A folder or a pattern in which there is none comes with what to say about it.
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
        yield from _or_say(matching, path, f"{path} matches nothing")
    else:
        yield path, None


def _walk(folder: str, *, recursive: bool) -> Iterator[str]:
    """The pictures of a folder, sorted; of one folder at a time, so that memory stays flat."""
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    for entry in inside:
        if recursive and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, recursive=True)
        elif is_picture(entry.name) and not entry.is_dir():
            yield entry.path


def _or_say(
    pictures: Iterable[str], path: str, sentence: str
) -> Iterator[tuple[str, DataError | None]]:
    found = False
    for picture in pictures:
        found = True
        yield picture, None
    if not found:
        yield path, DataError(sentence)
