"""ExifTool, the real one: captions go into four formats and come back, pixels as they were."""

import os
import signal
import subprocess
import sys
import time
from shutil import which

import pytest

from albums import SUFFIXES, TEXTS, draw, pixels_of
from cutline.errors import WritingError
from cutline.metadata.exiftool import FIELDS, ExifTool, find_exiftool, kind_of
from cutline.metadata.provenance import ALT, DESCRIPTION, Mark, hash_text
from cutline.metadata.xmp import read_embedded

pytestmark = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")


FORMATS = {"PNG": ("png",), "IPT": ("jpg", "tif")}
"""Where fields are that not every format has."""


@pytest.fixture(scope="module")
def exiftool():
    with ExifTool(find_exiftool()) as running:
        yield running


def mark(text: str) -> Mark:
    return Mark(hash_text(text), "model", "f00d", "0.1.0", 0.5, "2026-11-23T10:12:00Z")


def tags(exiftool: ExifTool, path, *names: str) -> list[str]:
    return exiftool._ask("-s3", *names, str(path)).splitlines()


def tag(exiftool: ExifTool, path, *changes: str) -> None:
    """As somebody does on the command line; all in one process, whose start costs most."""
    assert exiftool._ask("-q", "-overwrite_original", *changes, str(path)) == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_text_comes_back_as_it_was_and_pixels_stay(exiftool, suffix, tmp_path):
    path = draw(tmp_path / f"a.{suffix}", seed=2)
    before, content = pixels_of(path), path.read_bytes()

    for text in TEXTS:
        content = exiftool.write(content, suffix, text, mark(text), "de")
        found = exiftool.read(content, suffix)

        said = {"x-default": text, "de": text}
        assert (found.texts[DESCRIPTION], found.texts[ALT]) == (said, said)
        assert found.human == ""
        assert found.texts.get("IPTC caption") == ({"x-default": text} if suffix == "jpg" else None)

    path.write_bytes(content)
    assert all((a == b).all() for a, b in zip(before, pixels_of(path), strict=True))


def test_a_jpegs_compressed_pixels_and_other_tags_are_the_same_bytes(exiftool, tmp_path):
    path = draw(tmp_path / "a.jpg")
    tag(
        exiftool, path, "-Artist=Jürgen", "-XMP:Rating=4", "-XMP-dc:Subject=Hündin", "-Comment=kept"
    )
    before = path.read_bytes()

    after = exiftool.write(before, "jpg", "a dog", mark("a dog"), "en")

    path.write_bytes(after)
    scan = b"\xff\xda"
    assert after[after.rindex(scan) :] == before[before.rindex(scan) :]
    said = tags(exiftool, path, "-Artist", "-Rating", "-Subject", "-Comment")
    assert said == ["Jürgen", "4", "Hündin", "kept"]
    said = tags(exiftool, path, "-XMP-cutline:Model", "-XMP-cutline:Confidence")
    assert said == ["model", "0.5000"]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name in FIELDS for suffix in FORMATS.get(name[:3], ("jpg", "png", "tif"))],
)
def test_a_human_text_is_found_wherever_it_stands(exiftool, name, suffix, tmp_path):
    path = draw(tmp_path / f"a.{suffix}")
    tag(exiftool, path, f"-{name}=Oma")

    human = f"the {FIELDS[name]} says 'Oma'"
    assert exiftool.read(path.read_bytes(), suffix).human == read_embedded(path).human == human


@pytest.mark.parametrize("name", ["XMP-dc:Description-de", "XMP-iptcCore:AltTextAccessibility-de"])
def test_a_human_text_is_found_in_any_language(exiftool, name, tmp_path):
    path = draw(tmp_path / "a.jpg")
    tag(exiftool, path, f"-{name}=Oma")

    assert "says 'Oma'" in exiftool.read(path.read_bytes(), "jpg").human


def test_texts_in_another_charset_are_not_touched(exiftool, tmp_path):
    path = draw(tmp_path / "a.jpg")
    tag(exiftool, path, "-charset", "iptc=Latin", "-IPTC:City=Köln")

    path.write_bytes(exiftool.write(path.read_bytes(), "jpg", "a dög", mark("a dög"), "en"))

    assert tags(exiftool, path, "-IPTC:City") == ["Köln"]
    assert tags(exiftool, path, "-IPTC:Caption-Abstract", "-XMP-dc:Description") == ["a dög"]


def test_the_content_says_what_a_picture_is_and_raw_files_are_refused(tmp_path):
    tiff = draw(tmp_path / "a.tif").read_bytes()

    assert kind_of(draw(tmp_path / "a.png").read_bytes(), ".jpg") == "png"
    assert kind_of(tiff, ".TIFF") == "tif"
    for content, suffix in ((tiff, ".nef"), (b"GIF89a", ".gif"), (b"%PDF", ".jpg")):
        with pytest.raises(WritingError, match="is not a JPEG, PNG, WebP or TIFF file"):
            kind_of(content, suffix)


def test_damage_is_answered_and_the_next_picture_goes_on(exiftool, tmp_path):
    content = draw(tmp_path / "a.jpg").read_bytes()

    for damaged in (content[:200], b"\xff\xd8\xff" + b"x" * 50):
        with pytest.raises(WritingError, match="is damaged|cannot be written"):
            exiftool.write(damaged, "jpg", "a dog", mark("a dog"), "en")

    assert exiftool.write(content, "jpg", "a dog", mark("a dog"), "en") != content


def test_an_argument_of_several_lines_would_be_several_and_is_none(exiftool, tmp_path):
    content = draw(tmp_path / "a.jpg").read_bytes()

    for language in ("en\n-if\n1", "en\r-if"):
        with pytest.raises(WritingError, match="an argument for ExifTool has several lines"):
            exiftool.write(content, "jpg", "a dog", mark("a dog"), language)


@pytest.mark.skipif(sys.platform == "win32", reason="a script that stands for a program")
def test_a_program_that_dies_or_hangs_costs_one_picture(tmp_path):
    script = tmp_path / "exiftool"
    times = tmp_path / "times"
    script.write_text(
        f'#!/bin/sh\necho >> "{times}"\n'
        f'case $(wc -l < "{times}") in 1) exit 1;; 2) exec sleep 60;; esac\n'
        f'exec "{find_exiftool()}" "$@"\n'
    )
    script.chmod(0o755)
    content = draw(tmp_path / "a.png").read_bytes()

    with ExifTool(str(script), patience=1.0) as exiftool:
        for _ in ("it dies", "it hangs"):
            with pytest.raises(WritingError, match="ExifTool stopped without an answer"):
                exiftool.read(content, "png")
    with ExifTool(str(script)) as exiftool:
        assert exiftool.read(content, "png").texts == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_it_ends_when_cutline_is_killed():
    code = (
        "from cutline.metadata.exiftool import *\nimport time\n"
        "with ExifTool(find_exiftool()) as e:\n"
        "    e._ask('-ver'); print(e._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())

    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()

    deadline = time.monotonic() + 20
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _runs(child)


def _runs(process: int) -> bool:
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True)
    return bool(told.stdout.strip()) and not told.stdout.startswith("Z")
