"""The commands that write captions for other software, and undo that."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from albums import content_of, draw, draw_album, lines_of, write_lines
from cutline.metadata.xmp import read_packet


@pytest.fixture
def album(tmp_path, monkeypatch) -> Path:
    """Four pictures of four formats, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return draw_album(Path("album"))


def test_without_exiftool_the_error_says_how_to_install_it(run, album, monkeypatch):
    captions = write_lines(album.parent / "captions.jsonl", lines_of(album))
    monkeypatch.setenv("PATH", "")

    code, _, err = run("write", captions, "--as", "embed")

    assert code == 1
    assert "apt install libimage-exiftool-perl" in err
    assert "--as xmp" in err


def test_write_and_undo_print_what_they_do(run, album):
    captions = write_lines(album.parent / "captions.jsonl", lines_of(album))
    before = content_of(album.parent)

    code, out, err = run("write", captions, "--as", "xmp")
    assert (code, out.count("would write\t")) == (0, 4)
    assert "this was a dry run" in err
    assert content_of(album.parent) == before

    (album / "jpg.jpg").unlink()
    code, out, err = run("write", captions, "--as", "xmp", "--apply", "--json")
    assert [json.loads(told)["action"] for told in out.splitlines()] == ["failed"] + ["written"] * 3
    assert (code, "3 written, 1 failed" in err) == (1, True)

    journal = album.parent / "captions.undo.jsonl"
    code, out, err = run("undo", journal)
    assert (code, out.count("would delete\t")) == (0, 3)
    code, out, _ = run("undo", journal, "--apply")
    assert (code, out.count("deleted\t")) == (0, 3)
    assert content_of(album.parent).keys() == before.keys() - {"album/jpg.jpg"}
    code, _, err = run("undo", journal)
    assert (code, "there is no journal" in err) == (1, True)


def test_caption_as_xmp_shows_and_then_writes_sidecars(run, tiny, album):
    command = ("caption", album, "--as", "xmp", "--model", tiny)
    before = content_of(album)

    code, out, err = run(*command)
    assert (code, out.count("would write\t"), content_of(album)) == (0, 4, before)
    assert "captions.jsonl: 4 captions" in err
    assert "4 would be written; this was a dry run: add --apply to change files" in err

    code, out, err = run(*command, "--apply")
    assert (code, out.count("\nwritten\t")) == (0, 3)
    assert "4 of 4 pictures done already" in err
    lines = [json.loads(told) for told in Path("captions.jsonl").read_text().splitlines()]
    for told in lines:
        assert read_packet(Path(f"{told['path']}.xmp").read_bytes()).holds(told["caption"], "en")

    assert run("undo", "--apply")[1].count("deleted\t") == 4
    assert content_of(album) == before


@pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
def test_pictures_without_captions_are_left_out_and_change_the_exit_code(run, tiny, album):
    (album / "png.png").write_bytes(b"nothing")
    command = ("caption", album, "--out", "all.jsonl", "--model", tiny, "--as")

    code, out, err = run(*command, "embed", "--apply", "--json")
    assert [json.loads(told)["action"] for told in out.splitlines()] == [
        "written", "left out", "written", "written",
    ]  # fmt: skip
    assert (code, "3 written, 1 left out" in err) == (1, True)
    assert Path("all.undo.jsonl").exists()

    _, out, err = run(*command, "txt", "--min-confidence", "1", "--apply")
    assert (out, "4 left out" in err) == ("", True)
    assert "has no caption: its confidence of" in err
    assert not list(album.glob("*.txt"))


def test_a_given_confidence_replaces_the_threshold_of_the_model(run, album):
    """With `--as`, the model's threshold holds unless `--min-confidence` is given, even as 0."""
    photo = Path(__file__).parents[2] / "examples" / "hikers.jpg"
    command = ("caption", photo, "--as", "xmp")

    _, out, err = run(*command)
    assert (out, "1 caption too unsure (--min-confidence 0 writes it too)" in err) == ("", True)
    assert "the confidence is" not in err

    assert run(*command, "--min-confidence", "0")[1].startswith("would write\t")


def test_keywords_are_shown_and_written(run, album):
    captions = write_lines(album.parent / "captions.jsonl", lines_of(album, "dogs on a beach"))

    _, out, _ = run("write", captions, "--as", "xmp", "--keywords", "--apply")

    assert out.count("dogs on a beach\tdog, beach\n") == 4
    packet = (album / "jpg.jpg.xmp").read_bytes()
    assert read_packet(packet).keywords.fields["subject"] == ("dog", "beach")


def test_caption_as_html_makes_a_page_of_all_pictures(run, tiny, album):
    code, _, err = run("caption", album, "--as", "html", "--model", tiny)

    page = Path("report.html").read_text()
    assert (code, "report.html: 0.1 MB" in err) == (0, True)
    assert all(name in page for name in ("jpg.jpg", "png.png", "tif.tif", "webp.webp"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--apply"], "--apply needs --as"),
        (["--as", "txt", "--watch", "--out", "a.jsonl"], "--watch can be combined with --as txt"),
        (["--as", "txt", "--keywords"], "--keywords can be combined with --as xmp or embed"),
        (["--keywords"], "--keywords needs --as xmp or embed"),
        (["--as", "txt", "--out", "a.csv"], "a file that records the model"),
    ],
)
def test_conflicting_options_are_reported_before_captioning(run, album, options, sentence):
    write_lines(Path("captions.jsonl"), lines_of(album, "by hand"))
    before = content_of(Path())

    code, _, err = run("caption", album, "--model", "none", *options)

    assert (code, sentence in err) == (2, True)
    assert content_of(Path()) == before


def test_a_missing_exiftool_is_reported_before_captioning(run, album, monkeypatch):
    monkeypatch.setenv("PATH", "")

    code, _, err = run("caption", album, "--as", "embed", "--model", "none")

    assert (code, "needs ExifTool" in err) == (1, True)
    assert [path.name for path in Path().iterdir()] == ["album"]


def test_watching_writes_sidecars_as_pictures_appear(tiny, album):
    command = [sys.executable, "-m", "cutline", "caption", "album", "--watch", "--as", "xmp"]
    command += ["--apply", "--any-picture", "--min-confidence", "0", "-m", str(tiny)]
    for picture in album.iterdir():
        os.utime(picture, (0, 0))
    process = subprocess.Popen(
        [*command, "-o", "captions.jsonl"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout

    first = [process.stdout.readline() for _ in range(4)]
    draw(new := album / "new.png", 3)
    later = process.stdout.readline()
    process.terminate()
    rest, _ = process.communicate(timeout=60)

    assert all(line.startswith("written\t") for line in first)
    assert later.startswith(f"written\t{new}.xmp\t") and rest == ""
    assert process.returncode == 143
    assert read_packet(Path(f"{new}.xmp").read_bytes()).texts
