"""Makes damaged and strange picture files, the same ones for the same seed, and reads them.

`strange_files(folder, count, seed)` writes them; `python tests/damage.py FOLDER` reads each with
`open_image` and prints one line of JSON for each, under a watchdog that ends a read of 10 s.
"""

import faulthandler
import io
import json
import re
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, features

SECONDS = 10
Picture = tuple[str, bytes]  # the ending of the name, and what is in the file
Damage = Callable[[Random, Picture, Sequence[Picture]], Picture]


def strange_files(
    folder: Path, count: int, seed: int, originals: Sequence[Path] = ()
) -> Iterator[Path]:
    """Write `count` files into `folder`: first the planted oddities, then real pictures damaged."""
    random = Random(seed)
    real = [*drawn_pictures(), *((path.suffix, path.read_bytes()) for path in originals)]
    odd = oddities()
    for number in range(count):
        if number < len(odd):
            kind, (ending, content) = "odd", odd[number]
        else:
            damage = random.choice(DAMAGES)
            kind, picture = damage.__name__, random.choice(real)
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                picture = damage(random, picture, real)
            ending, content = picture
        path = folder / f"{number:04d}-{kind}{ending}"
        path.write_bytes(content)
        yield path
    (folder / "folder.jpg").mkdir()
    yield folder / "folder.jpg"


# ------------------------------------------------------------------------------- real pictures


@cache
def drawn_pictures() -> list[Picture]:
    """One small drawing in every format and mode that Pillow can write and we read."""
    drawing = _drawing()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "a maker", 72.0
    profile = b"\0\0\2\x0cnot a real profile" * 12
    frames = {"save_all": True, "append_images": [drawing.rotate(90), drawing.rotate(180)]}
    deep = Image.fromarray(np.arange(97 * 61, dtype=np.uint16).reshape(61, 97) * 11)
    pictures = [
        _saved(drawing, "JPEG", ".jpg", exif=exif, icc_profile=profile),
        _saved(drawing, "JPEG", ".jpg", progressive=True, comment="hello"),
        _saved(drawing.convert("L"), "JPEG", ".jpg", restart_marker_rows=1),
        _saved(drawing.convert("CMYK"), "JPEG", ".jpeg"),
        _saved(drawing, "MPO", ".mpo", **frames),
        _saved(drawing, "PNG", ".png", exif=exif, icc_profile=profile),
        _saved(drawing.quantize(9), "PNG", ".png", transparency=2),
        _saved(drawing.convert("RGBA"), "PNG", ".png", **frames),
        _saved(deep, "PNG", ".png"),
        _saved(drawing.convert("1"), "PNG", ".png"),
        _saved(drawing.quantize(9), "GIF", ".gif", **frames),
        _saved(drawing, "BMP", ".bmp"),
        _saved(drawing.quantize(9), "BMP", ".bmp"),
        _saved(drawing, "PPM", ".ppm"),
        (".ppm", b"P3\n2 2\n255\n" + b"255 0 0 0 255 0 0 0 255 1 2 3\n"),
    ]
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        pictures.append(_saved(drawing, "TIFF", ".tif", compression=compression, exif=exif))
    pictures.append(_saved(drawing.convert("1"), "TIFF", ".tif", compression="group4"))
    pictures.append(_saved(drawing.convert("F"), "TIFF", ".tiff"))
    pictures.append(_saved(deep, "TIFF", ".tiff", big_tiff=True))
    if "webp" in features.get_supported():
        pictures.append(_saved(drawing, "WEBP", ".webp", exif=exif))
        pictures.append(_saved(drawing.convert("RGBA"), "WEBP", ".webp", lossless=True, **frames))
    if "jpg_2000" in features.get_supported():
        pictures.append(_saved(drawing, "JPEG2000", ".jp2"))
        pictures.append(_saved(drawing.convert("LA"), "JPEG2000", ".jp2", tile_size=(32, 32)))
    if "avif" in features.get_supported():
        pictures.append(_saved(drawing, "AVIF", ".avif", speed=10))
    return pictures


def _drawing() -> Image.Image:
    drawing = Image.linear_gradient("L").resize((97, 61)).convert("RGB")
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((10, 5, 60, 50), fill="red", outline="blue", width=3)
    pen.line((0, 60, 96, 0), fill="green", width=4)
    return drawing


def _saved(picture: Image.Image, name: str, ending: str, **options: object) -> Picture:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return ending, file.getvalue()


# ------------------------------------------------------------------------------------- damages


def cut_off(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    ending, content = picture
    return ending, content[: random.randrange(len(content) + 1)]


def flip_in_header(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    return _flipped(random, picture, 64)


def flip_in_body(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    return _flipped(random, picture, len(picture[1]))


def _flipped(random: Random, picture: Picture, most: int) -> Picture:
    content = bytearray(picture[1])
    for _ in range(random.choice((1, 2, 8, 40)) if content else 0):
        content[random.randrange(min(most, len(content)))] = random.choice((0, 1, 127, 128, 255))
    return picture[0], bytes(content)


def zero_run(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    ending, content = picture
    start, length = random.randrange(len(content) + 1), random.randrange(1, 400)
    return ending, content[:start] + bytes(length) + content[start + length :]


def left_out(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    ending, content = picture
    start = random.randrange(len(content) + 1)
    return ending, content[:start] + content[start + random.randrange(1, 200) :]


def splice(random: Random, picture: Picture, others: Sequence[Picture]) -> Picture:
    ending, content = picture
    other = random.choice(others)[1]
    place, start = random.randrange(len(content) + 1), random.randrange(len(other))
    return ending, content[:place] + other[start:] + content[place:]


def nested(random: Random, picture: Picture, others: Sequence[Picture]) -> Picture:
    ending, content = picture
    other = random.choice(others)[1]
    place = random.randrange(min(len(content), 300) + 1)
    return ending, content[:place] + other + content[place + len(other) :]


def wrong_ending(random: Random, picture: Picture, others: Sequence[Picture]) -> Picture:
    return random.choice(others)[0], picture[1]


def broken_exif(random: Random, picture: Picture, _: Sequence[Picture]) -> Picture:
    """Flip bytes right behind whatever looks like EXIF or a TIFF directory."""
    content = bytearray(picture[1])
    places = [found.start() for found in re.finditer(rb"Exif|eXIf|EXIF|II\*\0|MM\0\*", content)]
    for place in places or [0]:
        for _ in range(12):
            at = place + random.randrange(4, 90)
            if at < len(content):
                content[at] = random.randrange(256)
    return picture[0], bytes(content)


def absurd_size(random: Random, picture: Picture, others: Sequence[Picture]) -> Picture:
    """Declare another width and height, with checksums that hold."""
    ending, content = picture
    sides = (0, 1, 3, 96, 5_000, 16_383, 30_000, 65_535, 2**31 - 1, 2**32 - 1)
    width, height = random.choice(sides), random.choice(sides)
    for magic, declare in _DECLARE.items():
        if content.startswith(magic):
            return ending, declare(content, width, height)
    return cut_off(random, picture, others)


def _declare_png(content: bytes, width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def _declare_jpeg(content: bytes, width: int, height: int) -> bytes:
    found = re.search(rb"\xff[\xc0\xc1\xc2]\0[\x0b\x11\x14]\x08", content)
    if not found:
        return content
    sides = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    return content[: found.end()] + sides + content[found.end() + 4 :]


def _declare_gif(content: bytes, width: int, height: int) -> bytes:
    return content[:6] + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + content[10:]


def _declare_bmp(content: bytes, width: int, height: int) -> bytes:
    return content[:18] + struct.pack("<II", width, height) + content[26:]


def _declare_tiff(content: bytes, width: int, height: int) -> bytes:
    for tag, side in ((256, width), (257, height), (278, height)):
        for kind, size in ((3, "<HHIHH"), (4, "<HHII")):
            start = struct.pack("<HHI", tag, kind, 1)
            place = content.find(start)
            if place >= 0:
                values = (side & 0xFFFF, 0) if kind == 3 else (side,)
                entry = struct.pack(size, tag, kind, 1, *values)
                content = content[:place] + entry + content[place + 12 :]
    return content


def _declare_webp(content: bytes, width: int, height: int) -> bytes:
    sides = struct.pack("<I", width)[:3] + struct.pack("<I", height)[:3]
    return content[:24] + sides + content[30:]


def _declare_ppm(content: bytes, width: int, height: int) -> bytes:
    return content[:3] + b"%d %d" % (width, height) + content[content.find(b"\n", 3) :]


def _declare_avif(content: bytes, width: int, height: int) -> bytes:
    place = content.find(b"ispe") + 8
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


def _declare_jpeg2000(content: bytes, width: int, height: int) -> bytes:
    place = content.find(b"\xff\x51") + 6
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


_DECLARE: dict[bytes, Callable[[bytes, int, int], bytes]] = {
    b"\x89PNG": _declare_png,
    b"\xff\xd8": _declare_jpeg,
    b"GIF8": _declare_gif,
    b"BM": _declare_bmp,
    b"II": _declare_tiff,
    b"RIFF": _declare_webp,
    b"P": _declare_ppm,
    b"\0\0\0\x0cjP": _declare_jpeg2000,
    b"\0\0\0": _declare_avif,
}

DAMAGES: tuple[Damage, ...] = (
    *(cut_off, cut_off, flip_in_header, flip_in_header, flip_in_body, flip_in_body, zero_run),
    *(left_out, splice, nested, wrong_ending, broken_exif, broken_exif, absurd_size, absurd_size),
)


# ------------------------------------------------------------------------------------ oddities


@cache
def oddities() -> list[Picture]:
    """What is no picture, or one that is meant to do harm."""
    return [
        (".jpg", b""),
        (".jpg", b"\xff"),
        (".png", b"\x89PNG\r\n\x1a\n"),
        (".jpg", b"This is a letter, not a photograph.\n" * 20),
        (".png", b"<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        (".jpg", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'></svg>"),
        (".eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"),
        (".pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"),
        (".jpg", b"PK\x03\x04" + bytes(100)),
        (".heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)),
        (".heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(64)),
        (".ppm", b"P"),
        (".ppm", b"P6\n30000 30000\n255\n"),
        (".pgm", b"P2\n1700 1700\n255\n" + b"1 " * 1000),
        (".jpg", b"\xff\xd8" + b"\xff" * 100_000),
        (".jpg", b"\xff\xd8" + b"\xff\x00" * 100_000),
        (".gif", b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6) + b";"),
        (".png", png_bomb(30_000, 30_000)),
        (".png", png_bomb(9_000, 9_000)),
        (".jpg", icon_of(png_bomb(13_000, 13_000))),
        (".png", _png_with(b"zTXt", b"note\0\0" + zlib.compress(bytes(30_000_000), 9))),
        (".png", _png_with(b"iCCP", b"icc\0\0" + zlib.compress(bytes(30_000_000), 9))),
        (".png", _png_with(b"iTXt", b"n\0\1\0\0\0" + zlib.compress(bytes(30_000_000), 9))),
        (".png", _png_with(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 4000)),
        (".png", _png_with(b"tRNS", bytes(300))),
        (".jpg", _many_scans(400)),
        (".tif", _tiff_with_a_giant_tile()),
    ]


@cache
def png_bomb(width: int, height: int) -> bytes:
    """A valid white picture of one bit a pixel, in a few kilobytes."""
    squeeze = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    body = b"".join(squeeze.compress(row * 100) for _ in range(height // 100)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def icon_of(png: bytes) -> bytes:
    """An icon with one picture, which Pillow decodes while it opens it."""
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(png), 22)
    return b"\0\0\1\0\1\0" + entry + png


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _png_with(name: bytes, content: bytes) -> bytes:
    whole = _saved(_drawing(), "PNG", ".png")[1]
    return whole[:33] + _chunk(name, content) + whole[33:]


def _many_scans(times: int) -> bytes:
    """A progressive JPEG whose last scan is told again and again: each costs a whole pass."""
    whole = _saved(Image.new("RGB", (2000, 2000)), "JPEG", ".jpg", progressive=True)[1]
    last = whole.rfind(b"\xff\xc4", 0, whole.rfind(b"\xff\xda"))
    return whole[:-2] + whole[last:-2] * times + b"\xff\xd9"


def _tiff_with_a_giant_tile() -> bytes:
    tags = [(256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, 30_000), (323, 30_000), (324, 8 + 2 + 10 * 12 + 4), (325, 1000)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + zlib.compress(bytes(900_000))


# ------------------------------------------------------------------------------------- reading


def read_all(folder: Path) -> Iterator[dict[str, object]]:
    """What `open_image` says to each file; the process ends with a traceback after 10 s of one."""
    from cutline.errors import ImageError
    from cutline.images.load import View, open_image

    for path in sorted(folder.iterdir()):
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        start, answer = time.perf_counter(), ""
        try:
            pixels = open_image(path, View())
            assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        except ImageError as error:
            answer = str(error)
        faulthandler.cancel_dump_traceback_later()
        yield {
            "name": path.name,
            "error": answer,
            "seconds": round(time.perf_counter() - start, 3),
            "peak_megabytes": _peak_megabytes(),
        }


def _peak_megabytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss starts at the peak of the process that started this one
        [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    faulthandler.enable()
    for answer in read_all(Path(sys.argv[1])):
        print(json.dumps(answer), flush=True)
