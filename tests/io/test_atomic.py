"""The one writer: nothing goes through a link, nothing half is left, nobody's file is taken."""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from PIL import Image

from albums import content_of, draw_album, line, lines_of, write_lines
from cutline.alttext.edit import Change, apply, fill
from cutline.datasets.catalog import _move
from cutline.datasets.coco import write_coco
from cutline.datasets.download import RemoteFile, fetch
from cutline.datasets.shapes import Shapes
from cutline.datasets.unzip import unpack
from cutline.errors import CutlineError, DataError, FetchError
from cutline.io.atomic import (
    PartialFile,
    RefusedError,
    atomic_write,
    new_folder,
    open_to_append,
    read_file,
    remove_partial_files,
    try_lock,
    write_text_file,
)
from cutline.metadata.undo_journal import undo
from cutline.metadata.writer import write
from cutline.reports.attention import save_drawing
from cutline.reports.html import render_page
from cutline.training.history import History
from cutline.types import Caption

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks, owners and signals are POSIX")
needs_exiftool = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
PARTS = (".dog.jpg.part", ".captions.jsonl.part", ".cutline-0.part")
LEFT = ".cutline-0123456789abcdef.part"


@pytest.fixture
def precious(tmp_path) -> Path:
    path = tmp_path / "home" / "precious"
    path.parent.mkdir()
    path.write_text("precious")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_a_file(out: Path) -> None:
    with atomic_write(out) as file:
        file.write(b"new")


def write_a_drawing(out: Path) -> None:
    save_drawing(Image.new("RGB", (8, 8)), out)


def write_a_page(out: Path) -> None:
    write_text_file(render_page("page.html", "title"), out)


@pytest.mark.parametrize("writer", [write_a_file, write_a_page, write_a_drawing])
@pytest.mark.parametrize("to", ["precious", "nothing"])
def test_an_output_that_is_a_link_is_refused_and_what_it_leads_to_stays(writer, to, here, precious):
    out = here / "out.png"
    out.symlink_to(precious.with_name(to))

    with pytest.raises((CutlineError, OSError), match="it is a link"):
        writer(out)

    assert precious.read_text() == "precious"
    assert names(precious.parent) == ["precious"]
    assert (out.is_symlink(), names(here)) == (True, ["out.png"])


def test_a_folder_a_pipe_and_a_read_only_file_are_refused(here):
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("mine").write_text("mine")
    Path("mine").chmod(0o444)

    for name, why in (("pipe", "not a regular file"), ("folder", "folder"), ("mine", "read-only")):
        with pytest.raises(RefusedError, match=why):
            write_a_file(Path(name))

    assert Path("mine").read_text() == "mine"
    assert names(here) == ["folder", "mine", "pipe"]


@pytest.mark.parametrize("become", ["link", "other", "gone"])
def test_what_is_renamed_onto_is_what_was_looked_at(become, here, precious):
    out = here / "out"
    out.write_text("before")
    with PartialFile(out) as part:
        part.file.write(b"new")
        out.unlink()
        if become == "link":
            out.symlink_to(precious)
        elif become == "other":
            out.write_text("other")

        with pytest.raises(RefusedError, match="another file has taken its place"):
            part.replace_target()

    assert precious.read_text() == "precious"
    assert names(here) == (["out"] if become != "gone" else [])


def test_a_name_is_new_every_time_and_the_file_keeps_its_rights(here):
    seen = set()
    Path("out").touch()
    Path("out").chmod(0o640)
    for _ in range(5):
        with atomic_write(Path("out")) as file:
            file.write(b"new")
            seen |= {name for name in os.listdir() if name != "out"}  # noqa: PTH208

    assert len(seen) == 5
    assert Path("out").stat().st_mode & 0o777 == 0o640
    assert names(here) == ["out"]


def test_whoever_fails_while_writing_leaves_the_file_as_it_was(here):
    Path("out").write_text("before")

    with pytest.raises(ZeroDivisionError), atomic_write(Path("out")) as file:
        file.write(b"half")
        raise ZeroDivisionError

    assert (Path("out").read_text(), names(here)) == ("before", ["out"])


@posix
def test_what_a_killed_process_left_goes_and_a_strangers_file_stays(here, precious):
    code = """
import os, signal
from pathlib import Path
from cutline.io.atomic import new_folder, atomic_write
with atomic_write(Path("out")) as file, new_folder(Path("folder")) as inside:
    (inside / "some").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(names(here)) == 2
    for name in (".out.part", "out.tmp-1", ".cutline-mine.part"):
        Path(name).write_text("a stranger's")
    Path(".cutline-00000000000000aa.part").symlink_to(precious)
    strangers = {".out.part", "out.tmp-1", ".cutline-mine.part", ".cutline-00000000000000aa.part"}

    write_a_file(Path("out"))

    assert set(names(here)) == {"out", *strangers}
    assert precious.read_text() == "precious"


@posix
def test_what_another_process_is_writing_is_not_swept_away(here):
    with atomic_write(Path("out")) as file:
        file.write(b"new")
        remove_partial_files(here)

    assert names(here) == ["out"]


@posix
def test_one_process_at_a_time_and_the_lock_is_gone_afterwards(here, precious):
    with try_lock(Path("lock")) as one, try_lock(Path("lock")) as other:
        assert (one, other) == (True, False)
    assert names(here) == []

    Path("lock").symlink_to(precious)
    with pytest.raises(RefusedError), try_lock(Path("lock")):
        pass
    assert precious.read_text() == "precious"


@posix
def test_the_lock_of_a_killed_process_keeps_nobody_out(here):
    code = """
import os, signal
from pathlib import Path
from cutline.io.atomic import try_lock
with try_lock(Path("lock")):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert names(here) == ["lock"]

    with try_lock(Path("lock")) as alone:
        assert alone
    assert names(here) == []


def test_a_folder_is_there_whole_or_not_at_all(here):
    with pytest.raises(ZeroDivisionError), new_folder(Path("a/folder")) as inside:
        (inside / "some").touch()
        raise ZeroDivisionError
    assert names(here / "a") == []

    with new_folder(Path("a/folder")) as inside:
        (inside / "some").touch()
    assert names(here / "a" / "folder") == ["some"]


# ---------------------------------------------------------------------- every writer, planted links


@pytest.mark.parametrize("form", ["txt", "xmp"])
def test_links_planted_in_an_album_overwrite_nothing(form, here, precious):
    album = draw_album(here / "album")
    (album / "jpg.jpg").rename(album / "dog.jpg")
    for name in (*PARTS, ".dog.jpg.xmp.part", ".dog.txt.part"):
        (album / name).symlink_to(precious)

    events = list(write(lines_of(album), form=form, journal=here / "c.undo.jsonl", apply=True))
    assert {event.action for event in events} == {"written"}
    assert {each.action for each in undo(here / "c.undo.jsonl", apply=True)} == {"deleted"}

    assert precious.read_text() == "precious"


@needs_exiftool
def test_links_planted_for_exiftool_overwrite_nothing(here, precious):
    album = draw_album(here / "album")
    (album / "jpg.jpg").rename(album / "dog.jpg")
    before = content_of(album)
    for name in (*PARTS, "dog.jpg_exiftool_tmp", "dog.jpg_original"):
        (album / name).symlink_to(precious)

    lines = [line(album / name, "a dog") for name in before]
    events = list(write(lines, form="embed", journal=here / "c.undo.jsonl", apply=True))
    assert [event.action for event in events] == ["written"] * 4
    assert b"a dog" in (album / "dog.jpg").read_bytes()
    assert {each.action for each in undo(here / "c.undo.jsonl", apply=True)} == {"restored"}

    assert precious.read_text() == "precious"
    assert before.items() <= content_of(album).items()


@pytest.mark.parametrize("name", ["captions.undo.jsonl", "captions.undo.blobs"])
def test_a_journal_that_is_a_link_gets_no_line(run, name, here, precious):
    album = draw_album(here / "album")
    (album / "jpg.jpg.xmp").write_text("not xmp")
    write_lines(here / "captions.jsonl", lines_of(album))
    (album / "jpg.txt").touch()
    (here / name).symlink_to(precious)

    code, _, err = run("write", "captions.jsonl", "--as", "txt", "--apply")

    assert (code, "it is a link" in err or "is a link" in err) == (1, True)
    assert precious.read_text() == "precious"


def test_pages_of_a_site_are_not_written_through_links(here, precious):
    (here / "page.html").write_text("<img src=dog.png>")
    Image.new("RGB", (8, 8)).save(here / "dog.png")
    (here / ".page.html.part").symlink_to(precious)

    def say(pictures):
        for _ in pictures:
            yield Caption("a dog", (), -1.0, ())

    [change] = [e for e in fill([here / "page.html"], say) if isinstance(e, Change)]
    (here / "page.html").unlink()
    (here / "page.html").symlink_to(precious)
    with pytest.raises(DataError, match="has changed since"):
        apply(change)

    assert precious.read_text() == "precious"


def test_a_page_with_hard_links_is_refused(here):
    (here / "page.html").write_text("<img src=dog.png>")
    Image.new("RGB", (8, 8)).save(here / "dog.png")
    (here / "other.html").hardlink_to(here / "page.html")

    def say(pictures):
        for _ in pictures:
            yield Caption("a dog", (), -1.0, ())

    [change] = [e for e in fill([here / "page.html"], say) if isinstance(e, Change)]
    with pytest.raises(DataError, match="has 2 names"):
        apply(change)

    assert (here / "other.html").read_text() == "<img src=dog.png>"


def test_an_archive_is_unpacked_through_no_link(here, precious):
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("inside/precious", "x")
        archive.writestr("b.txt", "y")
    (here / "out").mkdir()
    (here / "out" / "inside").symlink_to(precious.parent)
    with pytest.raises(FetchError, match="is a link that leaves the folder"):
        list(unpack(Path("a.zip"), here / "out"))
    (here / "out" / "inside").unlink()
    (here / "out" / "b.txt").symlink_to(precious)
    (here / "out" / ".b.txt.part").symlink_to(precious)
    with pytest.raises(FetchError, match="it is a link"):
        list(unpack(Path("a.zip"), here / "out"))

    assert (precious.read_text(), names(precious.parent)) == ("precious", ["precious"])


def test_what_is_fetched_is_appended_to_no_link(here, precious):
    (here / "source").write_bytes(b"x" * 100)
    precious.write_text("")  # of what is there, more would be asked for
    (here / "file.part").symlink_to(precious)

    with pytest.raises(FetchError, match="it is a link"):
        list(fetch(RemoteFile("file", (here / "source").as_uri(), 100), here, pause=0.0))

    assert precious.read_text() == ""


def test_what_was_fetched_takes_no_other_files_place(here):
    for folder, content in (("new", "theirs"), ("old", "mine")):
        (here / folder / "annotations").mkdir(parents=True)
        (here / folder / "annotations" / "a.json").write_text(content)

    with pytest.raises(FileExistsError, match="a different file of this name exists"):
        _move(here / "new", here / "old")

    assert (here / "old" / "annotations" / "a.json").read_text() == "mine"


def test_shapes_coco_and_a_history_go_through_no_link(here, precious):
    shapes = here / "shapes"
    shapes.mkdir()
    (shapes / f"seed0-32px-00000.{os.getpid()}.part").symlink_to(precious)
    examples = list(Shapes(shapes, count=3, size=32))
    stranger = here / ".coco.part"
    stranger.mkdir()
    (stranger / "mine").touch()
    write_coco(examples, here / "coco")
    (here / "history.jsonl").symlink_to(precious)
    with pytest.raises(OSError, match="it is a link"):
        History(here / "history.jsonl", 0)
    with pytest.raises(RefusedError):
        open_to_append(here / "history.jsonl")

    assert (precious.read_text(), (stranger / "mine").exists()) == ("precious", True)


def test_features_are_stored_through_no_link(here, precious):
    from cutline.images.load import View
    from cutline.models.encoders.mosaic import Mosaic
    from cutline.training.feature_store import FeatureStore, _key

    encoder, view = Mosaic(tiles=2).eval(), View(32)
    folder = here / _key(encoder, view, mirrored=False, precision="no")
    for name in ("regions.f16", "index.jsonl", "lock"):
        folder.mkdir(exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(precious)
        with pytest.raises(RefusedError, match="it is a link"):
            FeatureStore(here, encoder, view)
        (folder / name).unlink()

    assert precious.read_text() == "precious"


# ------------------------------------------------------------------------------------------ signals


SLOW = """
import sys, time
from cutline.cli.main import main
from cutline.cli import caption as captioning
from cutline.inference.captioner import Captioner
original = Captioner.caption_each
def slowly(self, *given, **more):
    for answer in original(self, *given, **more):
        print("ready", file=sys.stderr, flush=True)
        time.sleep(0.5)
        yield answer
Captioner.caption_each = slowly
main()
"""


@pytest.mark.slow
@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("out", [None, "captions.jsonl"])
def test_signals_leave_whole_lines_and_the_file_that_was_asked_for(number, out, here):
    for seed in range(12):
        pixels = np.random.default_rng(seed).integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(here / f"{seed}.png")
    command = [
        sys.executable,
        "-c",
        SLOW,
        "caption",
        ".",
        "--any-picture",
        *(["--out", out] if out else []),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        assert it.stderr and it.stdout
        while "ready" not in (line := it.stderr.readline()):
            assert line, "it ended"
        time.sleep(0.1)
        it.send_signal(number)
        said = it.stdout.read()
        told = it.stderr.read()

    assert it.returncode == 128 + number
    assert "Traceback" not in told
    if out:
        lines = Path(out).read_text().splitlines()
        assert 1 <= len(lines) < 12
        assert all(line.startswith("{") and line.endswith("}") for line in lines)
    else:
        assert 1 <= said.count("\n") < 12
        assert said.endswith("\n")
    assert not [name for name in content_of(here) if name.endswith(".part")]


def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "dog.jpg.xmp")

    with pytest.raises(RefusedError, match="it is not a regular file"):
        read_file(tmp_path / "dog.jpg.xmp")
