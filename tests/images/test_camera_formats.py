"""HEIC, camera raw files and truncated JPEGs: real HEIC files, and TIFFs as cameras write them."""

import io
import logging
import struct
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from cutline.errors import ImageError
from cutline.images.find import find_pictures
from cutline.images.formats import describe_skipped, is_picture
from cutline.images.load import View, open_image, pixels_held, upright_size

VIEW = View()
CAT = ROOT / "examples" / "cat.jpg"
CFA, LINEAR_RAW = 32803, 34892


def jpeg_of(picture: Image.Image) -> bytes:
    picture.save(file := io.BytesIO(), "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def cat() -> Image.Image:
    return Image.open(CAT).convert("RGB").resize((600, 400))


@pytest.fixture(scope="module")
def seen(cat: Image.Image) -> np.ndarray:
    return open_image(jpeg_of(cat), VIEW).astype(int)


def heic_of(picture: Image.Image, **more: object) -> bytes:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(picture).save(file := io.BytesIO(), quality=90, **more)
    return file.getvalue()


def directory(order: str, place: int, fields: dict[int, tuple[str, int]], following: int) -> bytes:
    """A TIFF directory whose values all fit into their entries."""
    entries = b"".join(
        struct.pack(
            f"{order}HHI", tag, {"H": 3, "I": 4}[kind], 1
        ) + struct.pack(f"{order}{kind}", value).ljust(4, b"\0")
        for tag, (kind, value) in sorted(fields.items())
    )  # fmt: skip
    return struct.pack(f"{order}H", len(fields)) + entries + struct.pack(f"{order}I", following)


def raw_of(
    preview: bytes, *, order: str = "<", orientation: int = 1, kind: str = "nef", thumbnail=b""
) -> bytes:
    """A raw file with a thumbnail, sensor data and a preview.

    The preview is in a subdirectory (NEF, DNG), in the first directory (CR2) or the next (PEF).
    """
    sensor = b"\xff\xd8\xff\xc3\0\x04\0\0" + bytes(len(preview) + 1000)  # a lossless JPEG
    first, second, third, data = 16, 216, 416, 616
    where = {"thumbnail": data, "preview": data + len(thumbnail)}
    where["sensor"] = where["preview"] + len(preview)
    by_offset = {513: ("I", where["preview"]), 514: ("I", len(preview))}
    by_strip = {259: ("H", 7), 273: ("I", where["preview"]), 279: ("I", len(preview))}
    raw = {262: ("H", CFA), 259: ("H", 7), 273: ("I", where["sensor"]), 279: ("I", len(sensor))}
    head = {256: ("I", 160), 257: ("I", 120), 274: ("H", orientation)}
    small = {513: ("I", where["thumbnail"]), 514: ("I", len(thumbnail))} if thumbnail else {}
    if kind == "cr2":
        del raw[262]  # CR2 does not say so
        parts = [head | by_strip, small, raw]
        chain = [second, third, 0]
    elif kind == "dng":
        parts = [head | small | {330: ("I", second), 50706: ("I", 1)}, by_strip, raw]
        chain = [0, third, 0]
    elif kind == "nef":
        parts, chain = [head | small | {330: ("I", second)}, by_offset, raw], [0, third, 0]
    else:
        parts, chain = [head | small, by_offset, raw], [second, third, 0]
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", first)
    content = magic + (b"CR\x02\0" if kind == "cr2" else b"").ljust(8, b"\0")
    for place, fields, following in zip((first, second, third), parts, chain, strict=True):
        content = content.ljust(place, b"\0") + directory(order, place, fields, following)
    return content.ljust(data, b"\0") + thumbnail + preview + sensor


# -------------------------------------------------------------------------------------------- HEIC


def test_heic_looks_as_the_jpeg_does(cat: Image.Image, seen: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "cat.heic").write_bytes(content := heic_of(cat))

    assert np.abs(open_image(tmp_path / "cat.heic", VIEW) - seen).mean() < 2
    assert pixels_held(content) == 600 * 400
    assert upright_size(content) == (600, 400)


def test_heic_is_upright_once(cat: Image.Image, seen: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    content = heic_of(cat.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes())

    assert np.abs(open_image(content, VIEW) - seen).mean() < 2
    assert upright_size(content) == (600, 400)


def test_a_damaged_heic_is_one_sentence(cat: Image.Image) -> None:
    content = heic_of(cat)
    at = content.index(b"ispe") + 8
    lying = content[:at] + struct.pack(">II", 10, 10) + content[at + 8 :]
    giant = content[:at] + struct.pack(">II", 30_000, 30_000) + content[at + 8 :]

    for bad, sentence in [
        (content[: len(content) // 2], "truncated|damaged"),
        (content[:24], "damaged"),
        (lying, "damaged"),
        (giant, "is too large: 900 megapixels|damaged"),
    ]:
        with pytest.raises(ImageError, match=sentence):
            open_image(bad, VIEW)


def test_without_pillow_heif_a_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    with pytest.raises(ImageError, match=r"is a HEIC file: pip install 'cutline\[heif\]'"):
        open_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", VIEW)


# --------------------------------------------------------------------------------------------- raw


def orf_of(preview: bytes, *, order: str = "<", orientation: int = 1, old: bool = False) -> bytes:
    """An ORF file; its preview is named in the maker note, or in the camera settings there."""
    note, base, data = 300, 0 if old else 300, 600
    magic = b"IIRO" if order == "<" else b"MMOR"
    content = magic + struct.pack(f"{order}I", 8)
    head = {274: ("H", orientation), 34665: ("I", 100)}
    content = (content + directory(order, 8, head, 0)).ljust(100, b"\0")
    exif = directory(order, 100, {37500: ("I", note)}, 0)
    kind_and_count = struct.pack(f"{order}HI", 7, 200)
    content = (content + exif[:4] + kind_and_count + exif[10:]).ljust(note, b"\0")
    where = {"I": data - base, "length": len(preview)}
    if old:
        tags = {0x1036: ("I", where["I"]), 0x1037: ("I", where["length"])}
        content += b"OLYMP\0\1\0" + directory(order, 0, tags, 0)
    else:
        begin = b"OLYMPUS\0" + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 3)
        content += begin + directory(order, 0, {0x2020: ("I", 100)}, 0)
        tags = {0x101: ("I", where["I"]), 0x102: ("I", where["length"])}
        content = content.ljust(note + 100, b"\0") + directory(order, 0, tags, 0)
    return content.ljust(data, b"\0") + preview


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def cr3_of(preview: bytes, *, order: str = "<", orientation: int = 1) -> bytes:
    """A CR3 file: metadata in the movie box, then the preview, then sensor data."""
    tiff = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    tiff += directory(order, 8, {274: ("H", orientation)}, 0)
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    moov = box(b"moov", box(b"uuid", canon, box(b"CNCV", bytes(30)), box(b"CMT1", tiff)))
    uuid = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")
    fields = struct.pack(">IHHHHI", 0, 1, 600, 400, 1, len(preview))
    shown = box(b"uuid", uuid, struct.pack(">II", 0, 1), box(b"PRVW", fields, preview))
    ftyp = box(b"ftyp", b"crx ", struct.pack(">I", 1), b"crx isom")
    sensor = struct.pack(">I4sQ", 1, b"mdat", 16 + 5000) + bytes(5000)
    return ftyp + moov + shown + sensor


MAKERS = {
    "orf": orf_of,
    "old.orf": partial(orf_of, old=True),
    "cr3": cr3_of,
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_preview_in_a_box_or_a_maker_note_is_found_and_turned(
    cat: Image.Image, seen: np.ndarray, kind: str, order: str, tmp_path: Path
) -> None:
    make = partial(MAKERS[kind], order=order)
    upright = open_image(make(preview := jpeg_of(cat)), VIEW)
    turned = make(jpeg_of(cat.transpose(Image.Transpose.ROTATE_90)), orientation=6)

    assert (upright == seen).all()
    assert np.abs(open_image(turned, VIEW) - seen).mean() < 3
    for cut in range(0, 700, 39):  # no end of a file is more than a sentence
        with suppress(ImageError):
            open_image(make(preview)[: cut + 1], VIEW)
    if which("exiftool"):  # another reader finds the same preview
        (tmp_path / f"a.{kind}").write_bytes(make(preview))
        command = ["exiftool", "-b", "-PreviewImage", tmp_path / f"a.{kind}"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == preview


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["cr2", "nef", "dng", "pef"])
def test_a_raw_file_is_its_largest_preview(
    kind: str, order: str, cat: Image.Image, seen: np.ndarray
) -> None:
    thumbnail = jpeg_of(Image.new("RGB", (160, 120), "red"))

    content = raw_of(jpeg_of(cat), kind=kind, order=order, thumbnail=thumbnail)

    assert (open_image(content, VIEW) == seen).all()
    assert upright_size(content) == (600, 400)
    assert pixels_held(content) == 0


def test_a_preview_is_turned_as_the_raw_file_says(cat: Image.Image, seen: np.ndarray) -> None:
    turned = cat.transpose(Image.Transpose.ROTATE_90)

    content = raw_of(jpeg_of(turned), orientation=6)

    assert np.abs(open_image(content, VIEW) - seen).mean() < 2
    assert upright_size(content) == (600, 400)


def test_a_preview_that_says_how_to_turn_it_is_turned_once(
    cat: Image.Image, seen: np.ndarray
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = cat.transpose(Image.Transpose.ROTATE_90)
    turned.save(file := io.BytesIO(), "JPEG", quality=95, exif=exif.tobytes())

    content = raw_of(file.getvalue(), orientation=6)

    assert np.abs(open_image(content, VIEW) - seen).mean() < 2


def test_raf_and_rw2_have_a_preview(cat: Image.Image, seen: np.ndarray) -> None:
    preview = jpeg_of(cat)
    fuji = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 200, len(preview))
    panasonic = b"IIU\0" + struct.pack("<IHHHII", 8, 1, 46, 7, len(preview), 100)

    assert (open_image(fuji.ljust(200, b"\0") + preview, VIEW) == seen).all()
    assert (open_image(panasonic.ljust(100, b"\0") + preview, VIEW) == seen).all()


def test_a_plain_tiff_with_a_thumbnail_is_read_as_before(cat: Image.Image) -> None:
    cat.save(file := io.BytesIO(), "TIFF", compression="jpeg")

    assert open_image(file.getvalue(), VIEW).shape == (224, 224, 3)
    assert pixels_held(file.getvalue()) == 600 * 400


def test_a_bomb_in_a_preview_is_refused() -> None:
    bomb = bytearray(jpeg_of(Image.new("RGB", (8, 8))))
    at = bomb.index(b"\xff\xc0") + 5
    bomb[at : at + 4] = struct.pack(">HH", 60_000, 60_000)

    with pytest.raises(ImageError, match="is too large: 3,600 megapixels"):
        open_image(raw_of(bytes(bomb)), VIEW)


def test_directories_in_a_circle_end() -> None:
    content = bytearray(raw_of(b"no JPEG", kind="pef"))
    content[416 + 2 + 12 * 4 : 416 + 2 + 12 * 4 + 4] = struct.pack("<I", 16)

    with pytest.raises(ImageError):
        open_image(bytes(content), VIEW)


@pytest.mark.parametrize("start", [b"II*\0", b"MM\0*", b"IIU\0", b"FUJIFILMCCD-RAW "])
def test_any_bytes_are_read_or_refused(start: bytes) -> None:
    random = np.random.default_rng(0)
    whole = raw_of(jpeg_of(Image.new("RGB", (64, 64))), order=">" if start[:1] == b"M" else "<")
    for _ in range(200):
        bad = bytearray(start + whole[len(start) :])
        for at in random.integers(4, 616, 8):
            bad[at] = random.integers(256)
        try:
            assert open_image(bytes(bad), VIEW).shape == (224, 224, 3)
        except ImageError as error:
            assert len(str(error).splitlines()) == 1


# --------------------------------------------------------------------------------------- truncated


def test_a_jpeg_without_its_last_bytes_is_read_with_a_warning(caplog, tmp_path: Path) -> None:
    whole, path = CAT.read_bytes(), tmp_path / "cat.jpg"
    path.write_bytes(whole[:-20])

    with caplog.at_level(logging.WARNING, "cutline"):
        pixels = open_image(path, VIEW)

    assert np.abs(pixels.astype(int) - open_image(whole, VIEW)).mean() < 1
    [record] = caplog.records
    assert record.getMessage().startswith(f"{path} is truncated: ")
    with pytest.raises(ImageError, match="is truncated"):
        open_image(whole[: len(whole) // 2], VIEW)


# --------------------------------------------------------------------------------------- in folders


def test_the_names_of_jpegs_and_raw_files_are_known() -> None:
    for name in ("a.jfif", "a.jpe", "a.MPO", "a.CR2", "a.nef", "a.dng", "a.arw", "a.raf"):
        assert is_picture(name)


def test_what_a_folder_skips_is_counted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for name in ("a.heic", "b.HEIC", "c.psd", "d.txt", ".e.heic", "f.jpg"):
        (tmp_path / name).touch()
    skipped = Counter[str]()

    found = list(find_pictures([str(tmp_path)], recursive=False, skipped=skipped))

    assert [(Path(path).name, problem) for path, problem in found] == [("f.jpg", None)]
    assert describe_skipped(skipped) == (
        "2 HEIC files skipped: pip install 'cutline[heif]'; "
        "1 PSD file skipped: the format is not supported"
    )


def test_the_command_line_counts_what_it_skips_and_warns_of_truncated_pictures(
    run, tiny, tmp_path: Path
) -> None:
    (tmp_path / "b.jpg").write_bytes(CAT.read_bytes()[:-20])
    (tmp_path / "c.psd").touch()
    sentence = "1 PSD file skipped: the format is not supported"

    out = tmp_path / "captions.jsonl"
    for more in ((), ("--out", out)):
        code, _, err = run("caption", tmp_path, "-m", tiny, "--any-picture", *more)

        assert (code, err.count(sentence)) == (0, 1)
        assert err.count(f"cutline: {tmp_path / 'b.jpg'} is truncated: ") == 1
