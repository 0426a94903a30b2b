"""Which pictures somebody means: files, folders, glob patterns, a list on standard input."""

import glob
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
            found = list(_look_at(path, recursive=recursive))
        except OSError as error:  # a name too long, a folder one may not enter
            found = [(path, DataError(f"{path} cannot be read: {error.strerror}"))]
        yield from found


def _look_at(path: str, *, recursive: bool) -> Iterator[tuple[str, DataError | None]]:
    if Path(path).is_dir():
        inside = Path(path).rglob("*") if recursive else Path(path).iterdir()
        pictures = sorted(str(p) for p in inside if is_picture(p.name))
        deeper = "" if recursive else " (--recursive looks deeper)"
        yield from _or_say(pictures, path, f"{path} has no pictures in it{deeper}")
    elif not Path(path).exists() and glob.has_magic(path):
        matching = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (may be absolute)
        yield from _or_say(matching, path, f"{path} matches nothing")
    else:
        yield path, None


def _or_say(
    pictures: list[str], path: str, sentence: str
) -> Iterator[tuple[str, DataError | None]]:
    yield from ((picture, None) for picture in pictures)
    if not pictures:
        yield path, DataError(sentence)
