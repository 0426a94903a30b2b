"""What cannot be read is told in one sentence; damage, bombs and giants do no harm."""

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import SHARED
from cutline.errors import ImageError
from cutline.images import FORMATS, View, open_image
from damage import SECONDS, drawn_pictures, icon_of, png_bomb, strange_files

VIEW = View(size=32)
MOST_MEGABYTES = 1000
_BOMB = png_bomb(30_000, 30_000)
EXAMPLES = Path(__file__).parents[1] / "examples"


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
        ("half", "is cut off: the file ends before the picture does"),
        ("letter", f"is not a picture that can be read here ({', '.join(FORMATS)})"),
        ("eps", f"is not a picture that can be read here ({', '.join(FORMATS)})"),
        (
            "icon",
            "is not a picture that can be read here but an icon (ICO): convert it to PNG first",
        ),
        ("heic", "is not a picture that Pillow reads but HEIC: convert it to JPEG first"),
        ("bomb", "is too large: 900 megapixels (30,000 x 30,000), and at most 100 of its kind "),
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
        (3, "the file is of <class 'int'>, and no path, bytes or array"),
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
    script = Path(__file__).with_name("damage.py")
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
