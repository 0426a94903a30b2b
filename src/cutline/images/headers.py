"""What may be read of a picture before it is refused: Pillow reads most headers in Python.

Such a reader takes a step or more for each read, so counting reads bounds its time, whatever the
format: comments of 100 MB read a sign at a time, padding between markers, millions of empty chunks.
"""

import struct
from typing import Any

READS, SMALL, BYTES = 30_000, 2**17, 16 * 10**6
"""Of a header: how often is read, and how many bytes by reads of less than `SMALL` each. Pillow
puts GIF's comments and JPEG's EXIF together piece by piece, in a time that grows as their square.
"""
READS_IN_ALL = 3 * 10**6
"""Also while a picture is decoded: by decoders in Python, and from PNG's chunks."""
MOST_NUMBERS = 300_000
"""In one list of a TIFF, such as where its strips begin: each becomes several objects."""
MOST_SCANS = 64
"""Of a JPEG; ten are usual in a progressive one, and each is a pass over the whole picture."""
MOST_COMMENTS = 1_000
"""Of a PPM in plain text, whose decoder copies what follows for each."""
_OF_BYTES = (1, 2, 7)
"""The types of TIFF's that are read as bytes at once (TIFF 6.0, page 15)."""


class RefusalError(Exception):
    """The end of a sentence that begins with the picture's name: `is empty (0 bytes)`."""


class Metered:
    """A file that refuses to be read without end; all else it does as the file would."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._reads, self._bytes, self._most = stream, 0, 0, READS

    def read(self, size: int = -1, /) -> bytes:
        """As the file would; a `RefusalError` where it has been read too often."""
        content: bytes = self._stream.read(size)
        self._reads += 1
        if len(content) < SMALL:
            self._bytes += len(content)
        if self._reads > self._most or (self._most == READS and self._bytes > BYTES):
            part = "header" if self._most == READS else "file"
            raise RefusalError(f"is damaged (its {part} is in more pieces than any picture's)")
        return content

    def begin_pixels(self) -> None:
        """The header has been read."""
        self._most = READS_IN_ALL

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def refuse_long_lists(stream: Any) -> None:
    """Look at the first directory of a TIFF; a `RefusalError` for a list beyond any use."""
    stream.seek(0)
    start = stream.read(16)
    order, is_big = ">" if start[:2] == b"MM" else "<", 43 in start[2:4]
    try:
        [place] = struct.unpack_from(order + "IQ"[is_big], start, 8 if is_big else 4)
        stream.seek(place)
        [count] = struct.unpack(order + "HQ"[is_big], stream.read(8 if is_big else 2))
        entries = stream.read(min(count, 2**16) * (20 if is_big else 12))
        for _, kind, number in struct.iter_unpack(
            f"{order}HH{'Q8x' if is_big else 'I4x'}", entries
        ):
            if kind not in _OF_BYTES and number > MOST_NUMBERS:
                raise RefusalError(f"is damaged (it has a list of {number:,} numbers)")
    except (struct.error, OverflowError, ValueError):
        return  # cut off: Pillow says so


def refuse_many_scans(stream: Any) -> None:
    """Count the scans of a JPEG."""
    if (scans := _count(stream, b"\xff\xda")) > MOST_SCANS:
        raise RefusalError(f"is damaged (its JPEG is written in {scans:,} scans)")


def refuse_many_comments(stream: Any) -> None:
    """Count the comments of a PPM in plain text."""
    if (comments := _count(stream, b"#")) > MOST_COMMENTS:
        raise RefusalError(f"is damaged (it has {comments:,} comments)")


def _count(stream: Any, sign: bytes) -> int:
    stream.seek(0)
    content: bytes = stream.read()
    return content.count(sign)


def decodes_by_rows(stream: Any) -> bool:
    """Whether a JPEG is sequential, all components in one scan: then no whole picture is kept."""
    stream.seek(2)
    components = b"none seen"
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF:
        marker, body = head[1], stream.read(max(0, int.from_bytes(head[2:], "big") - 2))
        if marker in (0xC0, 0xC1):  # the start of a sequential frame
            components = body[5:6]
        if marker == 0xDA:  # the start of a scan
            return bool(body[:1] == components)
    return False
