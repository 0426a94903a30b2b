"""The XMP packet of a WebP file: read and replaced, without touching other chunks.

ExifTool writes WebP only in later versions than those of Debian and Ubuntu. A WebP file is RIFF:
chunks of a name, a length and that many bytes, padded to an even number. Metadata needs the
extended format, whose first chunk, `VP8X`, says what follows (RFC 9649, section 2.7).
"""

import struct
from collections.abc import Iterator

from cutline.errors import WritingError

_HAS_ALPHA, _HAS_XMP = 0x10, 0x04
_SIDE = 0x3FFF
"""Width and height have 14 bits."""


def read_packet_of(content: bytes) -> bytes | None:
    """The packet of a WebP file; None without one. Raises `WritingError` for a damaged file."""
    return dict(reversed(list(_chunks(content)))).get(b"XMP ")


def with_packet(content: bytes, packet: bytes) -> bytes:
    """The WebP file with this packet instead of its own."""
    chunks = list(_chunks(content))
    (first, head), *_ = chunks
    if first != b"VP8X":
        head = _extended(first, head)
        chunks.insert(0, (b"VP8X", head))
    chunks[0] = (b"VP8X", bytes([head[0] | _HAS_XMP]) + head[1:])
    place = next((i for i, (name, _) in enumerate(chunks) if name == b"XMP "), len(chunks))
    kept = [chunk for chunk in chunks if chunk[0] != b"XMP "]
    kept.insert(place, (b"XMP ", packet))
    body = b"WEBP" + b"".join(map(_pack, kept))
    return b"RIFF" + struct.pack("<I", len(body)) + body + content[_end(content) :]


def _end(content: bytes) -> int:
    """The end of the RIFF data; some files have more after it, which stays."""
    return 8 + int(struct.unpack_from("<I", content, 4)[0])


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP" or _end(content) > len(content):
        raise WritingError("is truncated or not a WebP file")
    place, end = 12, _end(content)
    while place + 8 <= end:
        name, size = struct.unpack_from("<4sI", content, place)
        if place + 8 + size > end:
            raise WritingError("is damaged: a chunk is longer than the file")
        yield name, content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    if place == 12:
        raise WritingError("is damaged: it has no picture")


def _pack(chunk: tuple[bytes, bytes]) -> bytes:
    name, data = chunk
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _extended(name: bytes, data: bytes) -> bytes:
    """The `VP8X` chunk for a file without one: size and transparency."""
    if name == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) >= 10:
        width, height = (side & _SIDE for side in struct.unpack_from("<HH", data, 6))
        flags = 0
    elif name == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
        (bits,) = struct.unpack_from("<I", data, 1)
        width, height = (bits & _SIDE) + 1, (bits >> 14 & _SIDE) + 1
        flags = _HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        raise WritingError("is damaged: its first chunk is not a picture")
    return struct.pack("<I", flags) + b"".join(
        (side - 1).to_bytes(3, "little") for side in (width, height)
    )
