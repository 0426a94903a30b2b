"""Camera raw files: finds the JPEG preview that cameras embed.

Most raw formats are TIFF files (TIFF 6.0; DNG 1.7; ISO 12234-2, TIFF/EP) whose directories point at
a reduced JPEG as well as at the sensor's data. Panasonic's RW2 and Fujifilm's RAF differ slightly;
Olympus' ORF has its preview in the maker note, and Canon's CR3 is an ISO base media file
(ISO/IEC 14496-12) with the preview in a box of its own; both as ExifTool documents them. Only
offsets and lengths are read here; the preview is decoded as any other JPEG, with its limits.
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
_OLYMPUS = (b"IIRO", b"IIRS", b"MMOR")
_EXIF, _MAKER_NOTE, _CAMERA_SETTINGS = 34665, 37500, 0x2020
_NOTES = ((b"OLYMPUS\0", 12), (b"OM SYSTEM\0", 16), (b"OLYMP\0", 8))
"""How a maker note of Olympus begins, and the offset of its directory."""
_OLYMPUS_JPEG = ((0x101, 0x102), (0x1036, 0x1037))
"""Offset and length of the preview in the camera settings, in the maker note of older cameras."""
_CANON = b"ftypcrx "
_CANON_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
_CANON_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_MOST_BOXES = 64

Directory = dict[int, tuple[int, int, int]]
"""Tag → (field type, number of values, offset of the first value)."""


class Preview(NamedTuple):
    """The largest embedded JPEG, and the raw file's EXIF orientation."""

    content: bytes
    orientation: int


def is_raw(start: bytes) -> bool:
    """Whether a file may be a raw file by its first 16 bytes; many of those are TIFF files."""
    tiff = start[:4] in (b"II*\0", b"MM\0*", _PANASONIC, *_OLYMPUS)
    return tiff or start == _FUJI or start[4:12] == _CANON


def find_preview(stream: Any) -> Preview | None:
    """The preview in a raw file; None for any other file, and for one without a preview."""
    stream.seek(0)
    start = stream.read(16)
    if start == _FUJI:
        stream.seek(84)  # offset and length of the preview
        return _largest(stream, [struct.unpack(">II", stream.read(8).ljust(8, b"\0"))], 1)
    try:
        if start[4:12] == _CANON:
            return _find_in_cr3(stream)
        reader = _Reader(stream, start)
        directories = list(reader.directories())
        if start[:4] in _OLYMPUS:
            spans = list(_spans_in_maker_note(stream, reader, directories))
            return _largest(stream, spans, reader.orientation(directories))
        if not (start[:4] == _PANASONIC or start[8:10] == b"CR" or _is_sensor(reader, directories)):
            return None
        spans = [span for each in directories for span in _spans(reader, each)]
        return _largest(stream, spans, reader.orientation(directories))
    except (struct.error, OverflowError):
        return None


class _Reader:
    """Reads the directories of a TIFF file within limits; offsets count from `base`."""

    def __init__(self, stream: Any, start: bytes, base: int = 0) -> None:
        self._stream, self.order = stream, ">" if start[:2] == b"MM" else "<"
        self._start, self._base = start, base

    def directories(self, first: int | None = None) -> Iterator[Directory]:
        """The directories of a chain and the subdirectories of each, every one once.

        `first` is the offset of the first one; None for that in the header.
        """
        if first is None:
            [first] = struct.unpack_from(f"{self.order}I", self._start, 4)
        todo, seen = [first], set[int]()
        while todo and len(seen) < MOST_DIRECTORIES:
            place = todo.pop(0)
            if place == 0 or place in seen:
                continue
            seen.add(place)
            directory, following = self._directory(place)
            todo += [*self.values(directory, _SUBDIRECTORIES)[:MOST_DIRECTORIES], following]
            yield directory

    def orientation(self, directories: list[Directory]) -> int:
        """The orientation that the first directory gives, or 1."""
        return (directories and self.first(directories[0], _ORIENTATION)) or 1

    def _directory(self, place: int) -> tuple[Directory, int]:
        self._stream.seek(self._base + place)
        [count] = struct.unpack(f"{self.order}H", self._read(2))
        count = min(count, MOST_ENTRIES)
        content = self._read(12 * count + 4).ljust(12 * count + 4, b"\0")
        directory = {}
        for number in range(count):
            at = 12 * number
            tag, kind, length, value = struct.unpack_from(f"{self.order}HHII", content, at)
            inline = _SIZES.get(kind, 8) * length <= 4
            directory[tag] = (kind, length, place + 10 + at if inline else value)
        [following] = struct.unpack_from(f"{self.order}I", content, 12 * count)
        return directory, following

    def values(self, directory: Directory, tag: int) -> list[int]:
        """The first integers of a field; empty if there is no such field."""
        kind, length, place = directory.get(tag, (0, 0, 0))
        letter = {3: "H", 4: "I", 13: "I"}.get(kind)
        if letter is None:
            return []
        length = min(length, MOST_DIRECTORIES)
        self._stream.seek(self._base + place)
        content = self._read(length * _SIZES[kind])
        return list(struct.unpack(f"{self.order}{length}{letter}", content))

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


def _spans_in_maker_note(
    stream: Any, reader: _Reader, directories: list[Directory]
) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the previews that a maker note of Olympus names."""
    chain = [reader.first(each, _EXIF) for each in directories]
    for exif in (each for place in chain if place for each in reader.directories(place)):
        _, _, note = exif.get(_MAKER_NOTE, (0, 0, 0))
        stream.seek(note)
        start = stream.read(16)
        place = next((place for beginning, place in _NOTES if start.startswith(beginning)), None)
        if place is None:
            continue
        base = 0 if place == 8 else note
        inner = _Reader(stream, start[place - 4 : place - 2], base)
        inner.order = inner.order if base else reader.order
        for directory in inner.directories(note + place - base):
            kind, _, settings = directory.get(_CAMERA_SETTINGS, (0, 0, 0))
            if kind != 7:  # its offset, not the directory itself
                settings = inner.first(directory, _CAMERA_SETTINGS) or 0
            for each in (directory, *(inner.directories(settings) if settings else ())):
                for tags in _OLYMPUS_JPEG:
                    offset, size = (inner.first(each, tag) for tag in tags)
                    if offset and size:
                        yield base + offset, size


def _find_in_cr3(stream: Any) -> Preview | None:
    spans, orientation = list[tuple[int, int]](), 1
    for kind, place, end in _boxes(stream, 0, stream.seek(0, 2)):
        if kind == _CANON_PREVIEW:
            for inner, start, _ in _boxes(stream, place + 8, end):
                if inner == b"PRVW":
                    stream.seek(start + 12)
                    spans.append((start + 16, struct.unpack(">I", stream.read(4))[0]))
        elif kind == b"moov":
            metadata = (each for each in _boxes(stream, place, end) if each[0] == _CANON_METADATA)
            for inner, start, _ in (
                box for _, *inside in metadata for box in _boxes(stream, *inside)
            ):
                if inner == b"CMT1":
                    stream.seek(start)
                    reader = _Reader(stream, stream.read(16), start)
                    orientation = reader.orientation(list(reader.directories()))
    return _largest(stream, spans, orientation)


def _boxes(stream: Any, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The type of each box, or its UUID, and where its content starts and ends."""
    for _ in range(_MOST_BOXES):
        stream.seek(place)
        header = stream.read(32).ljust(32, b"\0")
        size, kind = struct.unpack_from(">I4s", header)
        start = 8
        if size == 1:
            [size] = struct.unpack_from(">Q", header, 8)
            start = 16
        if kind == b"uuid":
            kind, start = header[start : start + 16], start + 16
        if size < start or place + size > end:
            return
        yield kind, place + start, place + size
        place += size


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
