"""What is written is no input, and no file that somebody else made."""

import json
import os
from pathlib import Path
from shutil import which

import pytest
from PIL import Image

from albums import content_of, draw_album, line, lines_of, write_lines
from cutline.errors import DataError
from cutline.inference.journal import journal_path
from cutline.io.atomic import write_text_file
from cutline.io.outputs import is_made_by_cutline, require_output, require_page_output
from cutline.metadata.writer import write
from cutline.reports.attention import save_drawing
from cutline.reports.html import render_page

needs_exiftool = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
CAPTIONS = [{"image_id": 1, "caption": "a dog runs"}, {"image_id": 2, "caption": "a cat sits"}]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with an album, its captions, a photograph, notes, and pairs to be scored."""
    monkeypatch.chdir(tmp_path)
    draw_album(Path("album"))
    write_lines(Path("captions.jsonl"), lines_of(Path("album")))
    Image.new("RGB", (9, 9), "red").save("photo.jpg")
    for name in ("notes.csv", "notes.html", "notes.json", "notes.jsonl", "notes.onnx"):
        Path(name).write_text("mine,own\n")
    Path("results.json").write_text(json.dumps(CAPTIONS))
    Path("references.json").write_text(json.dumps({"1": ["a dog runs"], "2": ["a cat"]}))
    return tmp_path


SCORE = ("score", "results.json", "--references", "references.json", "--only", "BLEU", "--draws", 0)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    "command",
    [
        ("gaze", "photo.jpg", "-o", "photo.jpg"),
        ("gaze", "photo.jpg", "-o", "link.jpg"),
        ("report", "captions.jsonl", "-o", "photo.jpg"),
        ("report", "captions.jsonl", "-o", "captions.jsonl"),
        (*SCORE, "--per-image", "results.json"),
        (*SCORE, "--per-image", "references.json"),
        ("evaluate", "--data", "album", "--out", "album/jpg.jpg"),
        ("evaluate", "--data", "album", "--sheet", "album/jpg.jpg"),
        ("inspect", "--data", "album", "--out", "album"),
        ("caption", "list.csv", "--out", "list.csv"),
        ("export", "model", "-o", "model/weights.safetensors"),
    ],
)
def test_an_input_is_never_written_over(run, here, command, overwrite):
    os.link("photo.jpg", "link.jpg")
    Path("list.csv").write_text("path,caption,confidence,log_prob,error\n")
    Path("album/worst.jpg").write_bytes(Path("photo.jpg").read_bytes())
    Path("model").mkdir()
    Path("model/weights.safetensors").write_text("weights")
    before = content_of(here)

    code, _, err = run(*command, *overwrite)

    assert (code, err.count("cutline: ")) == (1, 1)
    assert "is an input" in err or "is the name of a picture" in err
    assert content_of(here) == before


@pytest.mark.parametrize(
    "command",
    [
        ("gaze", "album/jpg.jpg", "-o", "photo.jpg"),
        ("report", "captions.jsonl", "-o", "notes.html"),
        (*SCORE, "--per-image", "notes.jsonl"),
        ("evaluate", "--data", "album", "--out", "notes.json"),
        ("evaluate", "--data", "album", "--sheet", "photo.jpg"),
        ("inspect", "--data", "album", "--out", "."),
        ("caption", "album", "--out", "notes.csv"),
        ("caption", "album", "--write", "xmp"),
        ("caption", "album", "--write", "html", "--out", "new.jsonl"),
        ("data", "show", "album", "-o", "notes.html"),
        ("export", "album", "-o", "notes.onnx"),
    ],
)
def test_a_file_that_cutline_did_not_make_is_refused(run, here, command):
    Path("report.html").write_text("<p>mine")
    before = content_of(here)

    code, _, err = run(*command)

    assert (code, err.count("cutline: ")) == (1, 1)
    assert "exists, and is not known to be cutline's" in err
    assert "--overwrite" in err
    assert content_of(here) == before


def test_what_cutline_made_is_made_anew_unasked_and_what_is_not_when_asked(run, here):
    for command, out in (
        (("report", "captions.jsonl", "-o", "page.html"), "page.html"),
        ((*SCORE, "--per-image", "each.jsonl"), "each.jsonl"),
    ):
        assert run(*command)[0] == 0
        first = Path(out).stat().st_ino
        assert run(*command)[0] == 0
        assert Path(out).stat().st_ino != first

    assert run("report", "captions.jsonl", "-o", "notes.html", "--overwrite")[0] == 0
    assert is_made_by_cutline(Path("notes.html"))


def test_pages_drawings_and_models_are_known_by_what_is_in_them(here):
    write_text_file(render_page("page.html", "title"), Path("page"))
    save_drawing(Image.new("RGB", (9, 9)), Path("drawn.png"))
    save_drawing(Image.new("RGB", (9, 9)), Path("drawn.jpg"))
    Path("results").write_text(json.dumps(CAPTIONS, indent=0))
    from cutline.inference.captioner import PACKAGED

    mine = ("page", "drawn.png", "drawn.jpg", "results")
    assert all(is_made_by_cutline(Path(name)) for name in mine)
    assert is_made_by_cutline(PACKAGED)
    others = ["photo.jpg", "notes.csv", "notes.html", "notes.onnx", "album", "captions.jsonl"]
    assert not any(is_made_by_cutline(Path(name)) for name in others)


def test_a_file_of_captions_is_known_by_its_journal(here):
    journal_path(Path("captions.jsonl")).touch()

    own = journal_path(Path("captions.jsonl")).is_file()
    require_output(Path("captions.jsonl"), [Path("photo.jpg")], own=own)

    with pytest.raises(DataError, match="is an input"):
        require_output(Path("captions.jsonl"), [Path("captions.jsonl")], own=True, overwrite=True)
    with pytest.raises(DataError, match="use photo.html"):
        require_page_output(Path("photo.jpg"), overwrite=True)


def test_a_link_and_a_folder_are_refused_before_any_work(run, here):
    Path("nothing.jpg").symlink_to("nowhere")

    for out, why in (("nothing.jpg", "it is a link"), ("album", "it is a folder")):
        code, _, err = run("gaze", "album/jpg.jpg", "-o", out, "--overwrite", "--model", "none")
        assert (code, f"{out} cannot be written: {why}" in err) == (1, True)


# ------------------------------------------------------------------------------- links, hard links


def act(pictures, here: Path, *, form: str = "txt", **more) -> list[str]:
    lines = [line(path, "a dog") for path in pictures]
    events = write(lines, form=form, journal=here / "c.undo.jsonl", apply=True, **more)
    return [
        f"{event.action}: {event.sentence}" if event.sentence else event.action for event in events
    ]


def test_a_link_out_of_the_named_folder_is_left_alone_and_that_is_said(here):
    Path("home").mkdir()
    Path("home/dog.txt").write_text("")
    Path("photo.jpg").rename("album/dog.jpg")
    Path("album/dog.txt").symlink_to("../home/dog.txt")

    [told] = act([Path("album/dog.jpg")], here)
    assert told.startswith("left out: album/dog.jpg: a link leads out of its folder, to ")
    assert Path("home/dog.txt").read_text() == ""

    assert act([Path("album/dog.jpg")], here, within=[Path("home")]) == ["written"]
    assert Path("home/dog.txt").read_text() == "a dog\n"
    assert Path("album/dog.txt").is_symlink()


@needs_exiftool
def test_no_picture_is_embedded_into_through_a_link_or_parted_from_its_other_names(here):
    Path("home").mkdir()
    Path("photo.jpg").rename("home/photo.jpg")
    Path("album/link.jpg").symlink_to("../home/photo.jpg")
    Path("album/twin.jpg").hardlink_to("album/jpg.jpg")
    before = content_of(here)

    out, twin = act([Path("album/link.jpg"), Path("album/twin.jpg")], here, form="embed")

    assert out.startswith("left out: album/link.jpg: a link leads out of its folder, to ")
    assert twin.startswith("failed: album/twin.jpg stays as it is: it has 2 names (hard links)")
    assert Path("album/twin.jpg").samefile("album/jpg.jpg")
    assert content_of(here) == before


def test_a_file_with_hard_links_is_refused_and_keeps_them(here):
    Path("album/jpg.txt").write_text("")
    Path("other.txt").hardlink_to("album/jpg.txt")

    [told] = act([Path("album/jpg.jpg")], here)

    assert told.startswith("failed: ")
    assert "it has 2 names (hard links)" in told
    assert Path("other.txt").samefile("album/jpg.txt")
    assert Path("other.txt").read_text() == ""
