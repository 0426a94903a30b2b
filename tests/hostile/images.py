"""Pictures: damaged ones (`damage`), and files that cost far more than they weigh."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from damage import DAMAGES, drawn_pictures, oddities, png_bomb
from hostile.material import Material
from hostile.mutations import mutate_bytes

Picture = tuple[str, bytes]


def make_image(dice: Random, folder: Path, material: Material) -> Path:
    """One file: a picture damaged one to four times, an oddity, or (one in 500) a large bomb."""
    real = drawn_pictures()
    chance = dice.random()
    if chance < 0.002:
        ending, content = dice.choice(BOMBS)(dice)
    elif chance < 0.02:
        ending, content = dice.choice(oddities())
    else:
        picture = dice.choice(real)
        for _ in range(dice.choice((1, 1, 1, 1, 2, 4))):
            picture = dice.choice(DAMAGES)(dice, picture, real)
        ending, content = picture
        if chance < 0.15:
            content = mutate_bytes(dice, content)
    path = folder / f"picture{ending}"
    path.write_bytes(content)
    return path


def make_packet(dice: Random, folder: Path, material: Material) -> Path:
    """A picture with an XMP packet or beside a sidecar, and the captions that are to go there."""
    packet = dice.choice(PACKETS)
    for _ in range(dice.choice((0, 1, 1, 2))):
        packet = mutate_bytes(dice, packet)
    if dice.random() < 0.5:
        (folder / "dog.jpg.xmp").write_bytes(packet)
        packet = PACKETS[0]
    name, content = dice.choice(_holders(packet))
    if dice.random() < 0.5:
        content = mutate_bytes(dice, content)
    (folder / name).write_bytes(content)
    captions = folder / "captions.jsonl"
    captions.write_text(f'{{"path": "{name}", "caption": "a dog runs"}}\n')
    return captions


# ------------------------------------------------------------------------------------------ bombs


def _long_comment(dice: Random) -> Picture:
    return ".ppm", b"P6\n#" + b"x" * dice.choice((10**6, 10**8)) + b"\n2 2\n255\n" + bytes(12)


def _fill_bytes(dice: Random) -> Picture:
    return ".jpg", b"\xff\xd8" + b"\xff" * dice.choice((10**5, 2 * 10**7))


def _long_line(dice: Random) -> Picture:
    sides = [1, dice.choice((10**6, 99_999_999))]
    dice.shuffle(sides)
    return ".png", _png(*sides)


def _white_bomb(dice: Random) -> Picture:
    side = dice.choice((3_000, 9_400, 20_000))
    return ".png", png_bomb(side, side)


def _many_numbers(dice: Random) -> Picture:
    side = dice.choice((300, 3_000))
    return ".ppm", b"P3\n%d %d\n255\n" % (side, side) + b"1 " * (3 * side * side)


def _many_markers(dice: Random) -> Picture:
    return ".jpg", b"\xff\xd8" + b"\xff\xe1\0\x08Exif\0\0" * dice.choice((10**4, 10**6))


def _many_chunks(dice: Random) -> Picture:
    chunk = b"tEXta\0b"
    whole = struct.pack(">I", 3) + chunk + struct.pack(">I", zlib.crc32(chunk))
    plain = _png(8, 8)
    return ".png", plain[:33] + whole * dice.choice((10**4, 10**6)) + plain[33:]


def _many_frames(dice: Random) -> Picture:
    head = b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 1, 0) + b"\2\2\x4c\1\0"
    return ".gif", head + frame * dice.choice((10, 10**5)) + b";"


def _tall_tiff(dice: Random) -> Picture:
    rows = dice.choice((10**5, 10**8))
    tags = [(256, 1), (257, rows), (258, 1), (259, 1), (262, 1), (273, 8), (277, 1), (279, 16)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return ".tif", b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(10**6)


def _loop_of_directories(dice: Random) -> Picture:
    return ".tif", b"II*\0" + struct.pack("<IHI", 8, 0, 8) + bytes(100)


def _rle_bmp(dice: Random) -> Picture:
    side = dice.choice((5_000, 30_000))
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 1, 1, 256, 0)
    body = head + bytes(1024) + b"\xff\x01" * 10_000
    return ".bmp", b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + len(head) + 1024) + body


def _noise(dice: Random) -> Picture:
    return dice.choice((".jpg", ".webp", ".avif", ".tif")), dice.randbytes(10**6)


BOMBS: tuple[Callable[[Random], Picture], ...] = (
    _long_comment,
    _fill_bytes,
    _long_line,
    _white_bomb,
    _many_numbers,
    _many_markers,
    _many_chunks,
    _many_frames,
    _tall_tiff,
    _loop_of_directories,
    _rle_bmp,
    _noise,
)


@cache
def _png(width: int, height: int) -> bytes:
    row, squeeze = b"\0" + bytes((width + 7) // 8), zlib.compressobj(9)
    lot = max(1, 10**6 // len(row))
    body = b"".join(
        squeeze.compress(row * min(lot, height - start)) for start in range(0, height, lot)
    )
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", body + squeeze.flush()), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))
        for name, held in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# ---------------------------------------------------------------------------------------- packets

_HEAD = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
)
_TAIL = b'</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
_DESCRIPTION = (
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>'
    b'<rdf:Alt><rdf:li xml:lang="x-default">%s</rdf:li></rdf:Alt></dc:description>'
    b"</rdf:Description>\n"
)
_LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(10))
    + b"]>\n"
)
_OUTSIDE = b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n'

PACKETS = (
    _HEAD + _TAIL,
    _HEAD + _DESCRIPTION % b"" + _TAIL,
    _HEAD + _DESCRIPTION % b"somebody wrote this" + _TAIL,
    _LAUGHS + _HEAD + _DESCRIPTION % b"&k;" + _TAIL,
    _OUTSIDE + _HEAD + _DESCRIPTION % b"&e;" + _TAIL,
    b"<a>" * 50_000,
    _HEAD + b"<rdf:Description>" * 5_000 + _TAIL,
    (_HEAD + _DESCRIPTION % b"" + _TAIL).decode().encode("utf-16"),
)


def _holders(packet: bytes) -> list[Picture]:
    """A picture of each format with the packet in it."""
    drawn, held = Image.fromarray(np.zeros((8, 8, 3), np.uint8)), []
    for name, format in (("dog.jpg", "JPEG"), ("dog.png", "PNG"), ("dog.webp", "WEBP")):
        file = io.BytesIO()
        fitting = packet if format != "JPEG" or len(packet) < 60_000 else packet[:60_000]
        if format == "PNG":
            drawn.save(file, format)
            chunk = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + fitting
            whole = file.getvalue()
            packed = struct.pack(">I", len(chunk) - 4) + chunk
            packed += struct.pack(">I", zlib.crc32(chunk))
            held.append((name, whole[:33] + packed + whole[33:]))
            continue
        drawn.save(file, format, xmp=fitting)
        held.append((name, file.getvalue()))
    return held
