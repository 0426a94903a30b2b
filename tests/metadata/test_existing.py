"""The texts that pictures and their sidecars carry already, and that cutline did not write."""

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest
from PIL import Image

from albums import draw
from cutline.metadata.existing import find_text, find_texts_again
from cutline.metadata.provenance import Mark, hash_text
from cutline.metadata.writer import write
from cutline.metadata.xmp import put_text
from cutline.types import ExistingText

needs_exiftool = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")


def describe(path: Path, text: str) -> Path:
    """A picture with an EXIF description."""
    exif = Image.Exif()
    exif[270] = text
    Image.new("RGB", (64, 48), "green").save(path, exif=exif)
    return path


@needs_exiftool
@pytest.mark.parametrize(
    ("tag", "field"),
    [
        ("XMP-iptcCore:AltTextAccessibility", "alt text"),
        ("XMP-dc:Description", "description"),
        ("IPTC:Caption-Abstract", "IPTC caption"),
        ("IFD0:ImageDescription", "EXIF description"),
    ],
)
def test_a_text_is_found_in_every_field(tmp_path, tag, field):
    picture = draw(tmp_path / "a.jpg")
    command = ["exiftool", "-q", "-overwrite_original", f"-{tag}=Oma im Garten", str(picture)]
    subprocess.run(command, check=True)

    assert find_text(picture) == ExistingText("Oma im Garten", field, picture)


@pytest.mark.parametrize("junk", ["OLYMPUS DIGITAL CAMERA         ", "IMG_1.jpg", "img_1", " "])
def test_what_cameras_write_and_the_name_of_the_file_are_no_texts(tmp_path, junk):
    assert find_text(describe(tmp_path / "IMG_1.jpg", junk)) is None


def test_a_persons_sidecar_comes_before_the_picture_and_an_alt_text_before_all(tmp_path):
    picture = describe(tmp_path / "a.jpg", "in the picture")
    sidecar = tmp_path / "a.jpg.xmp"
    both = put_text(None, "in the sidecar", None, "de")
    sidecar.write_bytes(both.replace(b"in the sidecar", b"alt", 4).replace(b"alt", b"text", 2))

    assert find_text(picture) == ExistingText("alt", "alt text", sidecar)
    sidecar.write_bytes(b"no XMP")
    assert find_text(picture) == ExistingText("in the picture", "EXIF description", picture)


def test_a_text_of_cutlines_is_none_even_as_a_copy_in_the_picture(tmp_path):
    picture = describe(tmp_path / "a.jpg", "a dog")  # as a program copies it from the sidecar
    mark = Mark(hash_text("a dog"))
    (tmp_path / "a.jpg.xmp").write_bytes(put_text(None, "a dog", mark, "en"))

    assert find_text(picture) is None


def test_a_changed_sidecar_is_read_again(tmp_path):
    picture = draw(tmp_path / "a.jpg")
    find = find_texts_again()

    assert find(picture) is None
    (tmp_path / "a.jpg.xmp").write_bytes(put_text(None, "Oma", None, "de"))
    assert find(picture) == find_text(picture) != None  # noqa: E711


def test_caption_takes_the_persons_texts_and_says_so(run, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    describe(Path("a.jpg"), "Oma\nim Garten")
    draw(Path("b.jpg"))
    existing = {"field": "EXIF description", "file": "a.jpg"}
    command = ("caption", "a.jpg", "b.jpg", "--model", tiny, "--prefer-existing")

    _, out, _ = run(*command, "--json")
    first, second = map(json.loads, out.splitlines())
    assert first == {"path": "a.jpg", "caption": "Oma\nim Garten", "existing": existing}
    assert "words" in second
    assert "existing" not in json.loads(run(*command[:2], *command[3:-1], "--json")[1])

    for _ in range(2):  # the text is no correction, which would stay for ever
        _, _, err = run(*command, "--out", "captions.jsonl")
        assert "2 captions (1 of them the pictures' own texts)" in err
    lines = [json.loads(each) for each in Path("captions.jsonl").read_text().splitlines()]
    assert [each for each in lines if each["path"] == "a.jpg"] == [first]
    run("caption", "a.jpg", "b.jpg", "--model", tiny, "--out", "captions.jsonl")
    assert "Oma" not in Path("captions.jsonl").read_text()


def test_an_existing_text_is_written_elsewhere_as_a_persons(tmp_path):
    picture = draw(tmp_path / "a.jpg")
    existing = {"field": "description", "file": "a.jpg.xmp"}
    row = {"path": str(picture), "caption": "Oma", "existing": existing}

    [event] = write([row], form="xmp", journal=tmp_path / "undo.jsonl", apply=True)

    assert event.action == "written"
    assert b"cutline:TextHash" not in (tmp_path / "a.jpg.xmp").read_bytes()


def test_alt_takes_the_persons_texts_unless_told_otherwise(run, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    describe(Path("a.jpg"), 'Oma & "Opa"\nim Garten')
    describe(Path("b.jpg"), "image")  # a placeholder
    page = Path("page.html")
    page.write_text('<html lang="de"><img src="a.jpg"><img src="b.jpg">')
    command = (
        "alt",
        page,
        "--model",
        tiny,
        "--any-picture",
        "--min-confidence",
        0,
        "--hedge",
        "? ",
    )

    code, out, err = run(*command)
    assert code == 0
    assert '+<html lang="de"><img src="a.jpg" alt="Oma &#38; &#34;Opa&#34; im Garten">' in out
    assert '<img src="b.jpg" alt="? ' in out
    assert "1 text that the pictures had already" in err
    first = json.loads(run(*command, "--json")[1].splitlines()[0])
    assert (first["state"], first["why"]) == ("filled", "the EXIF description of a.jpg")
    assert "Oma" not in run(*command, "--ignore-existing")[1]
