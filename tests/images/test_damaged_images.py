"""What cannot be read is told in one sentence; damage, bombs and giants do no harm."""

import inspect
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT, SHARED
from cutline.errors import ImageError
from cutline.images.formats import FORMATS
from cutline.images.load import View, open_image
from damage import SECONDS, drawn_pictures, icon_of, png_bomb, strange_files

VIEW = View(size=32)
MOST_MEGABYTES = 1000
_BOMB = png_bomb(30_000, 30_000)
EXAMPLES = ROOT / "examples"


# -------------------------------------------------------------------------- one sentence each


@pytest.fixture
def unreadable(tmp_path: Path) -> dict[str, Path]:
    """Files that nobody can caption, by what is wrong with them."""
    whole = drawn_pictures()[0][1]
    contents = {
        "empty": b"",
        "letter": b"Dear Sir,\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "half": whole[: len(whole) // 2],
        "bomb": _BOMB,
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "icon": icon_of(_BOMB),
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    return {name: tmp_path / f"{name}.jpg" for name in (*contents, "missing")} | {
        "folder": tmp_path
    }


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder, not a picture"),
        ("empty", "is empty (0 bytes)"),
        ("half", "is truncated: the file ends before the picture does"),
        ("letter", f"is not a picture in a supported format ({', '.join(FORMATS)})"),
        ("eps", f"is not a picture in a supported format ({', '.join(FORMATS)})"),
        (
            "icon",
            "is an icon (ICO), which is not supported: convert it to PNG first",
        ),
        ("heic", "is "),  # a sentence with or without pillow-heif: test_camera_formats.py
        (
            "bomb",
            "is too large: 900 megapixels (30,000 x 30,000); the limit for this kind",
        ),
    ],
)
def test_a_failure_is_one_sentence(unreadable: dict[str, Path], what: str, sentence: str) -> None:
    path = unreadable[what]

    with pytest.raises(ImageError) as caught:
        open_image(path, VIEW)

    assert str(caught.value).startswith(f"{path} {sentence}")
    assert "\n" not in str(caught.value)


def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "locked.jpg").touch(mode=0o000)

    with pytest.raises(ImageError, match=r"locked.jpg may not be read: permission denied"):
        open_image(tmp_path / "locked.jpg", VIEW)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")

    with pytest.raises(ImageError, match=r"pipe.jpg is not a file"):
        open_image(tmp_path / "pipe.jpg", VIEW)


def test_what_has_no_path_is_named_by_its_kind() -> None:
    unchecked = inspect.unwrap(open_image)  # the tests' type checker would be first

    for source, sentence in [
        (b"", "the file is empty"),
        (b"hello", "the file is not a picture"),
        (io.StringIO("hello"), "the file was opened as text"),
        (3, "the file is of <class 'int'>, not a path, bytes or an array"),
    ]:
        with pytest.raises(ImageError, match=sentence):
            unchecked(source, VIEW)


def test_an_interrupt_is_no_damage() -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_image(Interrupted(), VIEW)


# ------------------------------------------------------------------------------------- damage


def _originals() -> list[Path]:
    found = sorted(EXAMPLES.glob("**/*.jpg"))[:5]
    return found + sorted((SHARED / "data/flickr8k/originals").glob("*.jpg"))[:5]


def _read_in_a_process_of_its_own(folder: Path) -> list[dict[str, Any]]:
    """So that its memory can be measured, and a crash of a decoder be seen."""
    script = ROOT / "tests" / "damage.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-300:]}\n{done.stderr[-3000:]}"
    # libtiff writes lines of its own from C, which no Python can keep quiet; Python adds nothing
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _assert_all_answered(answers: list[dict[str, Any]], folder: Path, count: int) -> None:
    assert len(answers) == count
    for answer in answers:
        error = answer["error"]
        assert error == "" or error.startswith(f"{folder / answer['name']} "), answer
        assert error.isprintable() and len(error) < 500, answer
        assert answer["seconds"] < SECONDS, answer
        assert answer["peak_megabytes"] < MOST_MEGABYTES, answer


@pytest.mark.slow
def test_sixty_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    files = list(strange_files(tmp_path, 60, seed=1))

    answers = _read_in_a_process_of_its_own(tmp_path)

    _assert_all_answered(answers, tmp_path, len(files))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2])
def test_a_thousand_damaged_files_are_read_or_refused(tmp_path: Path, seed: int) -> None:
    files = list(strange_files(tmp_path, 999, seed, _originals()))

    answers = _read_in_a_process_of_its_own(tmp_path)

    _assert_all_answered(answers, tmp_path, len(files))
    refused = sum(bool(answer["error"]) for answer in answers)
    assert 300 < refused < 900, "damage that always or never shows tests nothing"


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    first = [path.read_bytes() for path in strange_files(tmp_path / "a", 80, 3) if path.is_file()]
    again = [path.read_bytes() for path in strange_files(tmp_path / "b", 80, 3) if path.is_file()]

    assert first == again


# ------------------------------------------------------------------------------------- giants


GIANTS = {
    "jpeg200.jpg": ("RGB", (16_320, 12_240), {}),
    "progressive80.jpg": ("CMYK", (10_320, 7_740), {"progressive": True}),
    "alpha90.png": ("RGBA", (10_000, 9_000), {"compress_level": 1}),
    "palette90.gif": ("P", (10_000, 9_000), {}),
    "alpha50.tif": ("RGBA", (8_160, 6_120), {"compression": "tiff_lzw", "tiffinfo": {278: 6_120}}),
    "lossless40.webp": ("RGB", (7_300, 5_470), {"lossless": True, "method": 0, "quality": 0}),
    "fine16.jp2": ("RGB", (4_000, 4_000), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GIANTS)
def test_a_giant_takes_less_than_a_gigabyte_and_ten_seconds(name: str, tmp_path: Path) -> None:
    mode, size, options = GIANTS[name]
    Image.new(mode, size, 1).save(tmp_path / name, **options)

    [answer] = _read_in_a_process_of_its_own(tmp_path)

    assert answer["error"] == ""
    assert answer["seconds"] < SECONDS
    assert answer["peak_megabytes"] < MOST_MEGABYTES


# --------------------------------------------------------------- headers that come to no end

LONG = 100 * 10**6
"""Bytes of padding, of the 256 MB that are read at all."""


def _saved(name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, name, **options)
    return file.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def _tall_png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = {b"IHDR": head, b"IDAT": zlib.compress(bytes(1000)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts.items())


def _tiff_of_strips(count: int) -> bytes:
    tags = [(256, 1), (257, count), (258, 8), (259, 1), (262, 1), (273, 200), (278, 1), (279, 200)]
    entries = b"".join(
        struct.pack("<HHII", tag, 4, count if tag in (273, 279) else 1, value)
        for tag, value in tags
    )
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(94 + 4 * count)


def _bmp_that_stands_still(size: int) -> bytes:
    steps = b"\0\2\0\0" * (size // 4)  # "go on by 0 to the right and 0 down"
    sizes = struct.pack("<IiiHHIIiiII", 40, 2000, 2000, 1, 8, 1, len(steps), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(steps), 0, 0, 1078) + sizes + bytes(1024) + steps


ENDLESS: dict[str, Callable[[], bytes]] = {
    "comment.ppm": lambda: b"P6\n#" + b"x" * LONG + b"\n2 2\n255\n" + bytes(12),
    "comments.ppm": lambda: b"P3\n2 2\n255\n" + b"#\n" * (LONG // 2) + b"1 2 3 " * 4,
    "padded.jpg": lambda: b"\xff\xd8" + b"\xff" * (LONG // 5) + _saved("JPEG")[2:],
    "junk.jpg": lambda: b"\xff\xd8\xff\xe5\0\2" + b"x" * (LONG // 5) + _saved("JPEG")[2:],
    "segments.jpg": lambda: b"\xff\xd8" + b"\xff\xe5\0\2" * (LONG // 4) + _saved("JPEG")[2:],
    "exif.jpg": lambda: (
        b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 3_800 + _saved("JPEG")[2:]
    ),
    "chunks.png": lambda: _saved("PNG")[:33] + _chunk(b"teXt", b"") * (LONG // 12),
    "pieces.png": lambda: _saved("PNG")[:33] + _chunk(b"IDAT", b"") * (LONG // 12),
    "tall.png": lambda: _tall_png(1, 99_999_999),
    "comment.gif": lambda: b"GIF89a\2\0\2\0\0\0\0!\xfe" + (b"\xff" + b"c" * 255) * (LONG // 256),
    "comments.gif": lambda: b"GIF89a\2\0\2\0\0\0\0" + b"!\xfe\1c\0" * (LONG // 5),
    "strips.tif": lambda: _tiff_of_strips(24_000_000),
    "still.bmp": lambda: _bmp_that_stands_still(LONG),
    "boxes.jp2": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * (LONG // 8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
def test_a_header_without_end_takes_no_time_and_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ENDLESS[name]())

    [answer] = _read_in_a_process_of_its_own(tmp_path)

    assert "is damaged" in answer["error"] or "is too large" in answer["error"]
    assert answer["peak_megabytes"] < MOST_MEGABYTES


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"P6\n#" + b"x" * 40_000 + b"\n2 2\n255\n" + bytes(12), "header is too fragmented"),
        (b"\xff\xd8" + b"\xff" * 40_000 + _saved("JPEG")[2:], "header is too fragmented"),
        (_saved("PNG")[:33] + _chunk(b"teXt", b"") * 15_000, "header is too fragmented"),
        (b"P3\n2 2\n255\n" + b"#\n" * 1_001 + b"1 2 3 " * 4, "it has 1,001 comments"),
        (_tiff_of_strips(300_001), "it has a list of 300,001 numbers"),
        (_tall_png(1, 99_999_999), "300 megapixels"),
    ],
)
def test_a_header_beyond_any_use_is_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        open_image(content, VIEW)


def test_a_header_with_much_in_it_is_read() -> None:
    profile, note = bytes(500_000), b"a note " * 9_000
    photograph = _saved("JPEG", icc_profile=profile, comment=note, exif=b"Exif\0\0" + bytes(60_000))
    drawing = _saved("PNG")
    for content in (
        photograph,
        drawing[:33] + _chunk(b"teXt", b"a\0b") * 1_000 + drawing[33:],
        b"P6\n#" + b"x" * 20_000 + b"\n64 64\n255\n" + b"\xff\0\0" * 64 * 64,
    ):
        assert np.abs(open_image(content, VIEW).astype(int) - (255, 0, 0)).max() < 8
