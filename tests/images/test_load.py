"""Planted pictures: each kind of file must show the colours that were drawn into it."""

import io
import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from conftest import ROOT
from cutline.errors import ImageError, ModelError
from cutline.images.load import View, open_image
from cutline.inference.captioner import load

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3
SQUARE = View(size=32)
EXAMPLES = ROOT / "examples"
TURNED_BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that writes this orientation has stored an upright picture."""


@pytest.fixture
def quarters() -> Image.Image:
    """Red and green above, blue and white below; wider than high."""
    picture = Image.new("RGB", (96, 64), WHITE)
    picture.paste(RED, (0, 0, 48, 32))
    picture.paste(GREEN, (48, 0, 96, 32))
    picture.paste(BLUE, (0, 32, 48, 64))
    return picture


def saved(picture: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def middles(pixels: np.ndarray) -> np.ndarray:
    """The colours in the middles of the four quarters."""
    near, far = len(pixels) // 4, 3 * len(pixels) // 4
    return pixels[[near, near, far, far], [near, far, near, far]].astype(int)


def assert_shows_quarters(pixels: np.ndarray, tolerance: int = 6) -> None:
    off = np.abs(middles(pixels) - [RED, GREEN, BLUE, WHITE])
    assert off.max() <= tolerance, middles(pixels)


def assert_is_all(source: Any, colour: tuple[int, ...], tolerance: int = 2) -> None:
    pixels = open_image(source, SQUARE).astype(int)
    assert np.abs(pixels - colour).max() <= tolerance, pixels[16, 16]


# ------------------------------------------------------------------------------------ the view


def test_a_picture_of_the_right_size_keeps_its_decoded_pixels(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.jpg", quality=90)

    pixels = open_image(tmp_path / "noise.jpg", View(size=224))

    with Image.open(tmp_path / "noise.jpg") as decoded:
        assert np.array_equal(pixels, np.asarray(decoded))
    assert pixels.flags.writeable and pixels.flags.c_contiguous


def test_squash_shows_the_whole_picture(quarters: Image.Image) -> None:
    pixels = open_image(quarters, View(size=40, fit="squash"))

    assert pixels.shape == (40, 40, 3)
    assert_shows_quarters(pixels)


def test_crop_shows_the_middle_as_resize_then_crop_does() -> None:
    rough = np.random.default_rng(1).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(rough).resize((480, 256), Image.Resampling.BICUBIC)

    pixels = open_image(picture, View(size=112, fit="crop"))

    small = picture.resize((240, 128), Image.Resampling.BILINEAR).crop((64, 8, 176, 120))
    assert np.abs(pixels.astype(int) - np.asarray(small)).mean() < 1.5


def test_crop_of_a_line_needs_no_giant_in_between() -> None:
    line = np.zeros((1, 60_000, 3), np.uint8)
    line[:, 30_000:] = 255

    pixels = open_image(line, View(size=32, fit="crop"))

    assert pixels.shape == (32, 32, 3)


def test_a_view_travels_as_json() -> None:
    view = View(size=96, fit="crop")

    assert view.as_dict() == {"size": 96, "fit": "crop"}
    assert View.from_dict(view.as_dict()) == view
    assert View.from_dict({}) == View(224, "squash")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fit": "crp"}, "a view cannot fit by 'crp'; did you mean 'crop'?"),
        ({"fit": "pad"}, "a view cannot fit by 'pad'; there are 'crop', 'squash'"),
        ({"siez": 9}, "a view has no field 'siez'; did you mean 'size'?"),
        ({"size": 0}, "a view has a size from 1 to 1024 pixels, not 0"),
    ],
)
def test_an_unknown_view_is_told_with_the_nearest(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        View.from_dict(options)

    assert str(caught.value) == sentence


# ---------------------------------------------------------------------------- which way is up


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_orientation_comes_out_upright(
    quarters: Image.Image, name: str, orientation: int
) -> None:
    turn = TURNED_BACK[orientation]
    stored = quarters if turn is None else quarters.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if name in ("JPEG", "WEBP") else {}

    pixels = open_image(saved(stored, name, exif=exif, **options), SQUARE)

    assert_shows_quarters(pixels, tolerance=12)


@pytest.mark.parametrize("damage", [b"\xff" * 60, b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff"])
def test_corrupt_exif_is_ignored_without_a_word(quarters: Image.Image, damage: bytes) -> None:
    whole = saved(quarters, "JPEG", quality=95)
    segment = b"Exif\0\0" + damage
    marked = whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]

    assert_shows_quarters(open_image(marked, SQUARE))  # a warning would be an error here


def test_warning_filters_are_as_before_when_threads_have_read(quarters: Image.Image) -> None:
    picture, before = saved(quarters, "JPEG"), list(warnings.filters)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: open_image(picture, SQUARE), range(64)))

    assert list(warnings.filters) == before


# ------------------------------------------------------------------------------ kinds of files


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"])
def test_common_formats_show_the_same(quarters: Image.Image, name: str) -> None:
    assert_shows_quarters(open_image(saved(quarters, name), SQUARE), tolerance=12)


@pytest.mark.parametrize("name", ["WEBP", "AVIF", "JPEG2000"])
def test_newer_formats_show_the_same_where_pillow_has_them(
    quarters: Image.Image, name: str
) -> None:
    known = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}[name]
    if known not in features.get_supported():
        pytest.skip(f"this Pillow has no {name}")

    assert_shows_quarters(open_image(saved(quarters, name, quality=95), SQUARE), tolerance=12)


def test_a_progressive_jpeg_and_a_camera_pair_show_the_same(quarters: Image.Image) -> None:
    pair = saved(quarters, "MPO", save_all=True, append_images=[quarters.rotate(180)])

    assert_shows_quarters(open_image(saved(quarters, "JPEG", progressive=True), SQUARE), 12)
    assert_shows_quarters(open_image(pair, SQUARE), 12)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_seen(quarters: Image.Image, name: str) -> None:
    others = [quarters.rotate(180), Image.new("RGB", (96, 64), BLACK)]

    pixels = open_image(saved(quarters, name, save_all=True, append_images=others), SQUARE)

    assert_shows_quarters(pixels, tolerance=25)  # WebP blurs colours at quality 80


def test_cmyk_red_is_red() -> None:
    red = Image.new("CMYK", (40, 40), (0, 255, 255, 0))

    assert_is_all(saved(red, "TIFF"), RED)
    assert_is_all(saved(red, "JPEG", quality=95), RED, tolerance=6)  # Adobe's inverted CMYK


def test_lab_and_ycbcr_red_are_red() -> None:
    lab = Image.new("LAB", (40, 40), (138, 209, 198))  # L 54 %, a 81, b 70: sRGB's red
    ycbcr = Image.new("RGB", (40, 40), RED).convert("YCbCr")

    assert_is_all(saved(lab, "TIFF"), RED, tolerance=8)
    assert_is_all(saved(ycbcr, "TIFF", compression="jpeg"), RED)


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_cut(name: str) -> None:
    steps = np.linspace(0, 65535, 256).astype(np.uint16)
    picture = Image.fromarray(np.tile(steps, (256, 1)))

    pixels = open_image(saved(picture, name), View(size=256))

    assert np.array_equal(pixels[100, :, 0], np.arange(256))
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


def test_sixteen_bits_in_other_dress_are_scaled_too() -> None:
    middle = np.full((40, 40), 32896, np.uint16)
    big_endian = b"P5\n40 40\n65535\n" + middle.astype(">u2").tobytes()
    whole_numbers = Image.fromarray(middle.astype(np.int32))

    assert_is_all(big_endian, (128,) * 3, 0)
    assert_is_all(saved(whole_numbers, "TIFF"), (128,) * 3, 0)


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floats_in_a_tiff_are_read_in_the_range_that_holds_them(top: int) -> None:
    values = np.tile(np.linspace(0, top, 32, dtype=np.float32), (32, 1))
    values[5, 5] = np.nan

    pixels = open_image(saved(Image.fromarray(values), "TIFF"), SQUARE)

    assert np.abs(pixels[20, :, 0] - np.linspace(0, 255, 32)).max() <= 0.51
    assert tuple(pixels[5, 5]) == BLACK


def test_what_is_transparent_is_white() -> None:
    clear, half = Image.new("RGBA", (40, 40), (255, 0, 0, 0)), Image.new("LA", (40, 40), (0, 128))
    palette = Image.new("P", (40, 40), 7)
    palette.putpalette(list(range(255)) * 3)

    assert_is_all(saved(clear, "PNG"), WHITE, 0)
    assert_is_all(saved(half, "PNG"), (127,) * 3, 0)
    assert_is_all(saved(palette, "PNG", transparency=7), WHITE, 0)
    assert_is_all(saved(palette, "PNG", transparency=bytes([255] * 7 + [0])), WHITE, 0)
    assert_is_all(saved(palette, "GIF", transparency=7), WHITE, 0)
    assert_is_all(saved(Image.new("RGB", (40, 40), RED), "PNG", transparency=RED), WHITE, 0)


def test_grey_palette_and_one_bit_keep_their_colours(quarters: Image.Image) -> None:
    assert_is_all(saved(Image.new("L", (9, 9), 77), "JPEG"), (77,) * 3)
    assert_is_all(saved(Image.new("1", (9, 9), 1), "PNG"), WHITE)
    assert_is_all(saved(Image.new("1", (9, 9), 0), "TIFF", compression="group4"), BLACK)
    assert_shows_quarters(open_image(saved(quarters.quantize(4), "PNG"), SQUARE))


# ------------------------------------------------------------------------------------- sources


def test_every_source_of_the_same_picture_gives_the_same(
    quarters: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "four quarters é.png"
    quarters.save(path)
    expected = open_image(path, SQUARE)

    with path.open("rb") as file:
        assert np.array_equal(open_image(file, SQUARE), expected)
    with os.fdopen(os.dup(os.open(path, os.O_RDONLY)), "rb", buffering=0) as file:
        assert np.array_equal(open_image(file, SQUARE), expected)
    for source in (str(path), path.read_bytes(), bytearray(path.read_bytes()), quarters):
        assert np.array_equal(open_image(source, SQUARE), expected)
    assert np.array_equal(open_image(np.asarray(quarters), SQUARE), expected)


@pytest.mark.parametrize(
    ("array", "colour"),
    [
        (np.full((8, 9), 50, np.uint8), (50,) * 3),
        (np.full((8, 9, 1), 50, np.uint8), (50,) * 3),
        (np.full((8, 9, 3), 50, np.uint8)[:, ::-1], (50,) * 3),
        (np.full((8, 9, 4), (255, 0, 0, 51), np.uint8), (255, 204, 204)),
        (np.ones((8, 9), bool), WHITE),
        (np.full((8, 9, 3), 257 * 50, ">u2"), (50,) * 3),
        (np.full((8, 9), 0.2, np.float64), (51,) * 3),
        (np.full((8, 9, 3), (1, 0, 0), np.float16), RED),
    ],
)
def test_arrays_of_pixels_are_pictures(array: np.ndarray, colour: tuple[int, ...]) -> None:
    assert_is_all(array, colour, 0)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((0, 5, 3), np.uint8), "the array has no pixels: its shape is (0 x 5 x 3)"),
        (np.zeros((4, 4, 2), np.uint8), "the array has the shape (4 x 4 x 2), not (height,"),
        (np.zeros(4, np.uint8), "the array has the shape (4), not (height, width"),
        (np.zeros((4, 4), np.int64), "the array holds int64, not uint8, uint16, bool or floats"),
        (np.full((4, 4), 1.5), "the array holds floats outside 0 to 1"),
        (np.full((4, 4), np.nan), "the array holds floats outside 0 to 1"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(ImageError) as caught:
        open_image(array, SQUARE)

    assert str(caught.value).startswith(sentence)


def test_a_giant_in_bands_looks_as_it_does_at_once() -> None:
    rough = np.random.default_rng(2).integers(0, 256, (6, 7), dtype=np.uint8)
    giant = Image.fromarray(rough).resize((5_300, 5_000), Image.Resampling.BILINEAR)

    pixels = open_image(giant, View(size=64))

    whole = giant.resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(pixels[:, :, 1].astype(int) - np.asarray(whole)).max() <= 3


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_a_large_jpeg_decoded_at_a_fraction_looks_as_it_does_at_once(fit: str) -> None:
    """Within 1 of 255 in the mean, and 16 at most."""
    example = Image.open(sorted(EXAMPLES.glob("*.jpg"))[0]).convert("RGB")
    large = example.resize((2_400, 1_800), Image.Resampling.BICUBIC)

    small = open_image(_as_jpeg(large), View(224, fit)).astype(int)

    whole = open_image(np.asarray(Image.open(io.BytesIO(_as_jpeg(large)))), View(224, fit))
    assert np.abs(small - whole).mean() < 1
    assert np.abs(small - whole).max() <= 16


def _as_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.mark.slow
def test_captions_are_the_same_by_the_fast_and_by_the_plain_path(shared: Path) -> None:
    """120 photographs: the same words as decoded whole. Where they are four times as large, JPEG is
    decoded smaller, and the words change about as often as under noise of one in 255 (two
    counts among 120 differ by up to 0.1 by chance)."""
    captioner = load()
    view = View.from_dict(captioner.card["view"])
    photographs = sorted((shared / "data/flickr8k/originals").glob("*.jpg"))
    assert len(photographs) == 120
    pictures = [Image.open(photograph).convert("RGB") for photograph in photographs]
    large = [_as_jpeg(p.resize((p.width * 4, p.height * 4))) for p in pictures]

    def written(sources: list) -> list[str]:
        return [caption.text for caption in captioner.caption(sources)]

    plain = [np.asarray(Image.open(io.BytesIO(file))) for file in large]
    small = [open_image(whole, view).astype(int) for whole in plain]
    noise = np.random.default_rng(0).integers(-1, 2, small[0].shape)
    noisy = [np.clip(square + noise, 0, 255).astype(np.uint8) for square in small]

    assert written(photographs) == written([np.asarray(picture) for picture in pictures])
    expected = written(plain)
    assert _agreement(written(large), expected) >= _agreement(written(noisy), expected) - 0.1


def _agreement(some: list[str], others: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(some, others, strict=True)]))
