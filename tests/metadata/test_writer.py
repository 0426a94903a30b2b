"""Captions go where other software reads them, never over a human's text, and come back out."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
from PIL import Image

from albums import (
    SUFFIXES,
    TEXTS,
    content_of,
    draw,
    draw_album,
    line,
    lines_of,
    pixels_of,
    write_lines,
)
from cutline.errors import WritingError
from cutline.metadata.provenance import Mark, hash_text
from cutline.metadata.undo_journal import undo
from cutline.metadata.writer import read_captions, write
from cutline.metadata.xmp import put_text, read_packet

needs_exiftool = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
FORMS = ["txt", "xmp", pytest.param("embed", marks=needs_exiftool)]


@pytest.fixture
def album(tmp_path) -> Path:
    return draw_album(tmp_path / "album")


def wrote(
    album: Path, lines=None, *, form: str = "xmp", apply: bool = True, **options
) -> list[str]:
    """The actions, and those of the sentences that there are."""
    lines = lines_of(album) if lines is None else lines
    journal = album.parent / "captions.undo.jsonl"
    events = write(lines, form=form, journal=journal, apply=apply, **options)
    return [f"{e.action}: {e.sentence}" if e.sentence else e.action for e in events]


def undone(album: Path) -> list[str]:
    return [e.action for e in undo(album.parent / "captions.undo.jsonl", apply=True)]


@pytest.mark.parametrize("form", FORMS)
def test_without_apply_nothing_is_touched(album, form):
    before = content_of(album.parent)

    assert wrote(album, form=form, apply=False) == ["would write"] * 4
    assert content_of(album.parent) == before


@pytest.mark.parametrize("form", FORMS)
def test_written_unchanged_written_anew_and_undone_to_the_byte(album, form):
    before = content_of(album.parent)

    assert wrote(album, form=form) == ["written"] * 4
    assert wrote(album, form=form) == ["unchanged"] * 4
    assert wrote(album, lines_of(album, "a cat"), form=form) == ["written"] * 4
    created = "restored" if form == "embed" else "deleted"
    assert undone(album) == ["restored"] * 4 + [created] * 4
    assert content_of(album.parent) == before


@pytest.mark.parametrize("form", FORMS)
def test_faults_are_answered_one_by_one_and_the_rest_go_on(album, form):
    lines = lines_of(album)
    (album / "png.png").unlink()  # vanished
    target = {"txt": "tif.txt", "xmp": "tif.tif.xmp", "embed": "tif.tif"}[form]
    (album / target).touch() if form == "txt" else None
    if form == "xmp":
        (album / target).write_bytes(put_text(None, "a cat", Mark(hash_text("a cat")), "en"))
    (album / target).chmod(0o444)  # read-only

    dry = wrote(album, lines, form=form, apply=False)
    jpg, png, tif, webp = wrote(album, lines, form=form)

    assert dry == ["would write", png, tif, "would write"]
    assert (jpg, webp) == ("written", "written")
    assert png == f"failed: {album / 'png.png'} does not exist"
    assert tif == f"failed: {album / target} is read-only"


def test_a_target_that_cannot_be_written_costs_one_picture(album):
    (album / "jpg.jpg.xmp").mkdir()

    jpg, *others = wrote(album)

    assert jpg.startswith(f"failed: {album / 'jpg.jpg.xmp'} cannot be written: ")
    assert others == ["written"] * 3


# -------------------------------------------------------------------------------- human texts


def test_a_text_file_that_no_journal_knows_is_a_humans(album):
    (album / "jpg.txt").write_text("Oma")
    (album / "png.txt").write_text(" \n")

    first, *others = wrote(album, form="txt")

    assert first == f"kept: {album / 'jpg.txt'}: its text is not known to be cutline's"
    assert others == ["written"] * 3
    (album / "png.txt").write_text("a dog, edited")
    assert wrote(album, lines_of(album, "a cat"), form="txt")[1].startswith("kept: ")
    assert (album / "png.txt").read_text() == "a dog, edited"


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_sidecar_that_a_human_edited_is_kept_and_undo_keeps_it_too(album, form):
    wrote(album)
    for name in ("jpg.jpg.xmp", "png.png.xmp"):
        content = (album / name).read_text(encoding="utf8")
        (album / name).write_text(content.replace("a dog", "Rex", 1), encoding="utf8")

    first, second, *_ = wrote(album, lines_of(album, "a cat"), form=form)

    assert first == f"kept: {album / 'jpg.jpg.xmp'}: the description says 'Rex'"
    assert second.startswith("kept: ")
    assert "Rex" in (album / "jpg.jpg.xmp").read_text(encoding="utf8")
    assert undone(album).count("kept") == 2


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_humans_text_in_the_picture_is_kept_in_either_form(album, form):
    exif = Image.Exif()
    exif[270] = "Oma im Garten"
    Image.new("RGB", (8, 8)).save(album / "jpg.jpg", exif=exif)
    exif[270] = "OLYMPUS DIGITAL CAMERA         "
    Image.new("RGB", (8, 8)).save(album / "webp.webp", exif=exif)

    jpg, *_, webp = wrote(album, form=form)

    assert jpg == f"kept: {album / 'jpg.jpg'}: the EXIF description says 'Oma im Garten'"
    assert webp == "written"


@needs_exiftool
def test_an_embedded_text_that_a_human_edited_is_kept(album):
    wrote(album, form="embed")
    edit = "-XMP-iptcCore:AltTextAccessibility=Rex"
    command = ["exiftool", "-q", "-overwrite_original", edit, str(album / "jpg.jpg")]
    subprocess.run(command, check=True)

    jpg, *others = wrote(album, lines_of(album, "a cat"), form="embed")

    assert jpg == f"kept: {album / 'jpg.jpg'}: the alt text says 'Rex'"
    assert others == ["written"] * 3


# ---------------------------------------------------------------------------- hostile captions


@pytest.mark.parametrize("form", FORMS)
def test_what_a_strangers_line_says_of_its_model_is_text_and_nothing_else(album, form):
    planted = album / "planted"
    perl, odd = f"x\n-if\nsystem('touch {planted}') or 1", "\r\x00\ud800\u2028<y>"
    lines = [
        {**line(album / f"{suffix}.{suffix}", "a dog"), "model": {"name": name}, "date": name}
        for suffix, name in zip(SUFFIXES, (perl, odd, odd, perl), strict=True)
    ]

    assert wrote(album, lines, form=form) == ["written"] * 4
    assert wrote(album, lines, form=form) == ["unchanged"] * 4
    assert not planted.exists()


# ------------------------------------------------------------------------------ files and names


def test_sidecars_have_either_name_and_one_that_is_there_is_taken(album):
    packet = put_text(None, "a cat", Mark(hash_text("a cat")), "en")
    (album / "jpg.xmp").write_bytes(packet)
    (album / "png.png.xmp").write_bytes(packet)

    wrote(album, lines_of(album)[:3], sidecars="full")
    wrote(album, lines_of(album)[1:], sidecars="stem")

    sidecars = sorted(path.name for path in album.glob("*.xmp"))
    assert sidecars == ["jpg.xmp", "png.png.xmp", "tif.tif.xmp", "webp.xmp"]
    assert all(read_packet(p.read_bytes()).holds("a dog", "en") for p in album.glob("*.xmp"))


def test_a_name_that_two_pictures_share_is_no_name_for_either(album):
    draw(album / "jpg.png")
    lines = [line(album / "jpg.jpg", "a dog"), line(album / "jpg.png", "a cat")]

    assert all("would stand for both" in told for told in wrote(album, lines, form="txt"))
    assert all("jpg.xmp would stand for" in t for t in wrote(album, lines, sidecars="stem"))
    (album / "jpg.xmp").write_bytes(put_text(None, "a", Mark(hash_text("a")), "en"))
    assert wrote(album, lines) == ["written", "written"]
    assert read_packet((album / "jpg.xmp").read_bytes()).holds("a", "en")


@pytest.mark.skipif(sys.platform == "win32", reason="names that only POSIX has")
@pytest.mark.parametrize("form", FORMS)
def test_names_may_be_any_bytes(album, form):
    names = [
        b"-dash.jpg",
        b"two\nlines.jpg",
        b"not \xff utf8.jpg",
        "ü 🐕 'q'.jpg".encode(),
        b"#x.jpg",
    ]
    paths = [Path(os.fsdecode(bytes(album) + b"/" + name)) for name in names]
    for path in paths:
        draw(album / "jpg.jpg").rename(path)
    captions = write_lines(album.parent / "captions.jsonl", [line(p, "a dog") for p in paths])
    before = content_of(album)

    assert wrote(album, read_captions(captions), form=form) == ["written"] * 5
    assert undone(album) == ["restored" if form == "embed" else "deleted"] * 5
    assert content_of(album) == before


@needs_exiftool
def test_a_link_stays_one_and_its_picture_gets_the_caption(album):
    (album / "link.jpg").symlink_to(album / "jpg.jpg")

    assert wrote(album, [line(album / "link.jpg", "a dog")], form="embed") == ["written"]

    assert (album / "link.jpg").is_symlink()
    assert b"a dog" in (album / "jpg.jpg").read_bytes()


@needs_exiftool
def test_a_wrong_suffix_does_no_harm_and_other_formats_are_refused(album):
    draw(album / "x.png").rename(album / "really-png.jpg")
    Image.new("RGB", (8, 8)).save(album / "a.gif")
    (album / "empty.jpg").touch()
    before = pixels_of(album / "really-png.jpg")
    names = ("really-png.jpg", "a.gif", "empty.jpg")

    png, gif, empty = wrote(album, [line(album / n, "a dog") for n in names], form="embed")

    assert png == "written"
    assert (before[0] == pixels_of(album / "really-png.jpg")[0]).all()
    assert "is not a JPEG, PNG, WebP or TIFF file" in gif
    assert empty == f"failed: {album / 'empty.jpg'} is empty (0 bytes)"


# ----------------------------------------------------------------------------- lines and options


def test_captions_that_are_unsure_or_missing_are_left_out(album):
    lines = [
        line(album / "jpg.jpg", "a dog", confidence=0.4),
        {"path": str(album / "png.png"), "error": "png.png is damaged"},
        {"path": str(album / "tif.tif"), "caption": "a cat"},
        {"path": str(album / "webp.webp"), "caption": None, "left_out": "it is not sure"},
    ]

    low, damaged, unknown, unsure = wrote(album, lines, min_confidence=0.5)

    assert low.endswith("the confidence is 0.40, less than 0.50")
    assert damaged == "left out: png.png is damaged"
    assert unknown.endswith("the confidence is unknown, less than 0.50")
    assert unsure == f"left out: {album / 'webp.webp'} has no caption: it is not sure"
    assert wrote(album, lines) == ["written", damaged, "written", unsure]


@pytest.mark.parametrize("caption", ["", "  ", "a \x00 dog", "a \ud800 dog"])
def test_a_caption_that_no_format_holds_fails_alone(album, caption):
    first, second = wrote(album, [line(album / "jpg.jpg", caption), line(album / "png.png", "a")])

    assert first.startswith(f"failed: {album / 'jpg.jpg'}.xmp has a")
    assert second == "written"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"form": "xpm"}, "did you mean 'xmp'"), ({"sidecars": "fulll"}, "did you mean 'full'"),
     ({"language": "a b"}, "'a b' is not a language tag")],
)  # fmt: skip
def test_options_that_do_not_exist_are_answered_with_the_nearest(album, options, sentence):
    with pytest.raises(WritingError, match=sentence):
        wrote(album, **options)


# ------------------------------------------------------------------------------- the round trip


@pytest.fixture
def many(tmp_path) -> Path:
    """500 pictures of four formats; some have EXIF, XMP and IPTC from ExifTool, some a human's."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(500):
        draw(folder / f"{number:03}.{SUFFIXES[number % 4]}", number)
    tagged = taggable(folder)
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", "-Artist=Jürgen", "-XMP:Rating=3",
         "-XMP-dc:Subject=Hündin", "-IPTC:City=Köln", "-m", *tagged[::3]], check=True,
    )  # fmt: skip
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", "-XMP-dc:Description=Oma", *tagged[::25]],
        check=True,
    )
    return folder


def taggable(folder: Path) -> list[Path]:
    """ExifTool 12.57 writes no WebP."""
    return [path for path in sorted(folder.iterdir()) if path.suffix != ".webp"]


def text_of(number: int) -> str:
    return f"{TEXTS[number % len(TEXTS)]} {number}"


@pytest.mark.slow
@needs_exiftool
def test_500_pictures_of_four_formats_come_back_as_they_were(many):
    paths = sorted(many.iterdir())
    before, pixels = content_of(many), [pixels_of(path) for path in paths]
    lines = [line(path, text_of(number)) for number, path in enumerate(paths)]
    latin = set(taggable(many)[::3])  # their IPTC is not in UTF-8, and is left alone

    actions = wrote(many, lines, form="embed")

    kept = {n for n, told in enumerate(actions) if told.startswith("kept: ")}
    assert len(kept) == 15
    assert {told for n, told in enumerate(actions) if n not in kept} == {"written"}
    told = subprocess.run(
        ["exiftool", "-j", "-G1", "-XMP-dc:Description*", "-XMP-iptcCore:AltTextAccessibility*",
         "-IPTC:Caption-Abstract", *paths], capture_output=True, check=True,
    ).stdout  # fmt: skip
    for number, (path, said) in enumerate(zip(paths, json.loads(told, parse_int=str), strict=True)):
        wanted = "Oma" if number in kept else text_of(number)
        assert said.pop("SourceFile") == str(path)
        assert set(said.values()) == {wanted}
        has_iptc = path.suffix == ".jpg" and path not in latin
        assert len(said) == (1 if number in kept else 5 if has_iptc else 4)
        assert all((a == b).all() for a, b in zip(pixels[number], pixels_of(path), strict=True)), (
            path
        )
    assert undone(many) == ["restored"] * 485
    assert content_of(many) == before


@pytest.mark.slow
@needs_exiftool
def test_killed_again_and_again_it_goes_on_and_undo_restores_the_bytes(many):
    before = content_of(many)
    lines = [line(path, text_of(n)) for n, path in enumerate(sorted(many.iterdir()))]
    captions = write_lines(many.parent / "captions.jsonl", lines)
    command = [sys.executable, "-m", "cutline", "write", captions, "--as", "embed", "--apply"]

    for printed in (7, 60, 150):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        for _ in range(printed):
            process.stdout.readline()
        process.kill()
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.count("written\t") + done.stdout.count("unchanged\t") == 485
    assert set(undone(many)) <= {"restored", "unchanged"}
    assert content_of(many) == before
