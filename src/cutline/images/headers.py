"""Limits on image headers, which Pillow mostly parses in Python.

Each read of such a parser costs at least one step, so counting reads bounds its time for any
format: comments of 100 MB read one character at a time, millions of empty chunks, and the like.
"""

import struct
from typing import Any

READS, SMALL, BYTES = 30_000, 2**17, 16 * 10**6
"""Limits of a header: number of reads, and bytes read by reads of less than `SMALL` bytes each.
Pillow concatenates GIF's comments and JPEG's EXIF piece by piece, which takes quadratic time.
"""
READS_IN_ALL = 3 * 10**6
"""Limit including decoding, for decoders in Python and for PNG's chunks."""
MOST_NUMBERS = 300_000
"""Maximum length of a list in a TIFF, such as strip offsets; each item takes several objects."""
MOST_SCANS = 64
"""Maximum number of scans of a JPEG; progressive ones have about ten, each a full pass."""
MOST_COMMENTS = 1_000
"""Maximum for a plain-text PPM, whose decoder copies the rest of the file for each."""
_OF_BYTES = (1, 2, 7)
"""TIFF's field types that are read as bytes (TIFF 6.0, page 15)."""


class RefusalError(Exception):
    """A refusal; the message continues the picture's name: `is empty (0 bytes)`."""


class Metered:
    """A file wrapper that limits the number of reads and delegates everything else."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._reads, self._bytes, self._most = stream, 0, 0, READS

    def read(self, size: int = -1, /) -> bytes:
        """Read from the file; raises `RefusalError` after too many reads."""
        content: bytes = self._stream.read(size)
        self._reads += 1
        if len(content) < SMALL:
            self._bytes += len(content)
        if self._reads > self._most or (self._most == READS and self._bytes > BYTES):
            part = "header" if self._most == READS else "file"
            raise RefusalError(f"is damaged (its {part} is too fragmented)")
        return content

    def begin_pixels(self) -> None:
        """Switch to the limit for decoding, after the header."""
        self._most = READS_IN_ALL

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def refuse_long_lists(stream: Any) -> None:
    """Raise `RefusalError` if the first directory of a TIFF has an absurdly long list."""
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
        return  # truncated: Pillow reports that


def refuse_many_scans(stream: Any) -> None:
    """Raise `RefusalError` for a JPEG with too many scans."""
    if (scans := _count(stream, b"\xff\xda")) > MOST_SCANS:
        raise RefusalError(f"is damaged (its JPEG has {scans:,} scans)")


def refuse_many_comments(stream: Any) -> None:
    """Raise `RefusalError` for a plain-text PPM with too many comments."""
    if (comments := _count(stream, b"#")) > MOST_COMMENTS:
        raise RefusalError(f"is damaged (it has {comments:,} comments)")


def _count(stream: Any, marker: bytes) -> int:
    stream.seek(0)
    content: bytes = stream.read()
    return content.count(marker)


def decodes_by_rows(stream: Any) -> bool:
    """Whether a JPEG is sequential with one scan, so that it is decoded without a full buffer."""
    stream.seek(2)
    components = b"none seen"
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF:
        marker, body = head[1], stream.read(max(0, int.from_bytes(head[2:], "big") - 2))
        if marker in (0xC0, 0xC1):  # the start of a sequential frame
            components = body[5:6]
        if marker == 0xDA:  # the start of a scan
            return bool(body[:1] == components)
    return False
