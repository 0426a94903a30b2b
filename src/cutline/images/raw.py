"""Camera raw files: finds the JPEG preview that cameras embed.

Most raw formats are TIFF files (TIFF 6.0; DNG 1.7; ISO 12234-2, TIFF/EP) whose directories point at
a reduced JPEG as well as at the sensor's data. Panasonic's RW2 and Fujifilm's RAF differ slightly.
Only offsets and lengths are read here; the preview is decoded as any other JPEG, with its limits.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST_DIRECTORIES, MOST_ENTRIES = 32, 512
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 13: 4}
"""Bytes of a value of each TIFF field type that is needed here."""
_COMPRESSION, _PHOTOMETRIC, _OFFSETS, _LENGTHS = 259, 262, 273, 279
_ORIENTATION, _SUBDIRECTORIES, _DNG_VERSION = 274, 330, 50706
_JPEG_OFFSET, _JPEG_LENGTH, _PANASONIC_JPEG = 513, 514, 46
_SENSOR = (32803, 34892)
"""Photometric interpretations of sensor data: colour filter array, linear raw (DNG 1.7)."""
_FUJI = b"FUJIFILMCCD-RAW "
_PANASONIC = b"IIU\0"

Directory = dict[int, tuple[int, int, int]]
"""Tag → (field type, number of values, offset of the first value)."""


class Preview(NamedTuple):
    """The largest embedded JPEG, and the raw file's EXIF orientation."""

    content: bytes
    orientation: int


def is_raw(start: bytes) -> bool:
    """Whether a file may be a raw file by its first 16 bytes; many of those are TIFF files."""
    return start[:4] in (b"II*\0", b"MM\0*", _PANASONIC) or start == _FUJI


def find_preview(stream: Any) -> Preview | None:
    """The preview in a raw file; None for any other file, and for one without a preview."""
    stream.seek(0)
    start = stream.read(16)
    if start == _FUJI:
        stream.seek(84)  # offset and length of the preview
        return _largest(stream, [struct.unpack(">II", stream.read(8).ljust(8, b"\0"))], 1)
    try:
        reader = _Reader(stream, start)
        directories = list(reader.directories())
        if not (start[:4] == _PANASONIC or start[8:10] == b"CR" or _is_sensor(reader, directories)):
            return None
        spans = [span for each in directories for span in _spans(reader, each)]
        orientation = reader.first(directories[0], _ORIENTATION) if directories else None
        return _largest(stream, spans, orientation or 1)
    except (struct.error, OverflowError):
        return None


class _Reader:
    """Reads the directories of a TIFF file within limits."""

    def __init__(self, stream: Any, start: bytes) -> None:
        self._stream, self._order = stream, ">" if start[:2] == b"MM" else "<"
        [self._first] = struct.unpack_from(f"{self._order}I", start, 4)

    def directories(self) -> Iterator[Directory]:
        """The directories of the main chain and the subdirectories of each, every one once."""
        todo, seen = [self._first], set[int]()
        while todo and len(seen) < MOST_DIRECTORIES:
            place = todo.pop(0)
            if place == 0 or place in seen:
                continue
            seen.add(place)
            directory, following = self._directory(place)
            todo += [*self.values(directory, _SUBDIRECTORIES)[:MOST_DIRECTORIES], following]
            yield directory

    def _directory(self, place: int) -> tuple[Directory, int]:
        self._stream.seek(place)
        [count] = struct.unpack(f"{self._order}H", self._read(2))
        count = min(count, MOST_ENTRIES)
        content = self._read(12 * count + 4).ljust(12 * count + 4, b"\0")
        directory = {}
        for number in range(count):
            at = 12 * number
            tag, kind, length, value = struct.unpack_from(f"{self._order}HHII", content, at)
            inline = _SIZES.get(kind, 8) * length <= 4
            directory[tag] = (kind, length, place + 10 + at if inline else value)
        [following] = struct.unpack_from(f"{self._order}I", content, 12 * count)
        return directory, following

    def values(self, directory: Directory, tag: int) -> list[int]:
        """The first integers of a field; empty if there is no such field."""
        kind, length, place = directory.get(tag, (0, 0, 0))
        letter = {3: "H", 4: "I", 13: "I"}.get(kind)
        if letter is None:
            return []
        length = min(length, MOST_DIRECTORIES)
        self._stream.seek(place)
        content = self._read(length * _SIZES[kind])
        return list(struct.unpack(f"{self._order}{length}{letter}", content))

    def first(self, directory: Directory, tag: int) -> int | None:
        """The first integer of a field, or None."""
        return next(iter(self.values(directory, tag)), None)

    def _read(self, size: int) -> bytes:
        return self._stream.read(size)


def _is_sensor(reader: _Reader, directories: list[Directory]) -> bool:
    """Whether one of the directories describes sensor data."""
    return any(
        _DNG_VERSION in each or reader.first(each, _PHOTOMETRIC) in _SENSOR for each in directories
    )


def _spans(reader: _Reader, directory: Directory) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of what may be a JPEG."""
    if _PANASONIC_JPEG in directory:
        _, length, place = directory[_PANASONIC_JPEG]
        yield place, length
    offset, size = (reader.first(directory, tag) for tag in (_JPEG_OFFSET, _JPEG_LENGTH))
    if offset and size:
        yield offset, size
    if reader.first(directory, _COMPRESSION) in (6, 7):
        strips = reader.values(directory, _OFFSETS), reader.values(directory, _LENGTHS)
        if len(strips[0]) == len(strips[1]) == 1:
            yield strips[0][0], strips[1][0]


def _largest(stream: Any, spans: list[tuple[int, int]], orientation: int) -> Preview | None:
    for place, length in sorted(spans, key=lambda span: -span[1]):
        stream.seek(place)
        content = stream.read(length)
        if _is_ordinary_jpeg(content):
            return Preview(content, orientation)
    return None


def _is_ordinary_jpeg(content: bytes) -> bool:
    """Whether it is a JPEG of a kind other than lossless, in which sensors' data is stored."""
    at = 2
    while content[:2] == b"\xff\xd8" and content[at : at + 1] == b"\xff" and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in (0xC0, 0xC1, 0xC2):
            return True
        if (0xC3 <= marker <= 0xCF and marker != 0xC4) or marker == 0xDA:
            return False
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False
