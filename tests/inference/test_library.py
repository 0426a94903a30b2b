"""Whole libraries: stopped, killed, full, pulled out, and every caption still there once."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cutline.errors import CutlineError, DataError
from cutline.inference.captioner import Captioner, load
from cutline.inference.library import (
    WATCH_EVERY,
    CaptionOptions,
    Finished,
    PictureDone,
    Scanned,
    caption_library,
    watch,
)
from cutline.inference.network import Network
from cutline.metadata.undo_journal import undo
from cutline.metadata.writer import read_captions, write
from cutline.reports.captions import write_report
from cutline.text.style import UNCONSTRAINED

PICTURES = 30


@pytest.fixture
def album(tmp_path) -> Path:
    """Pictures that are all different, some in a folder below."""
    folder = tmp_path / "album"
    (folder / "below").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        place = folder / "below" if number % 3 == 0 else folder
        Image.fromarray(pixels).resize((40, 30)).save(place / f"{number:02}.png")
    return folder


@pytest.fixture
def captioner(tiny) -> Captioner:
    return load(tiny)


@pytest.fixture
def go(captioner, album, tmp_path):
    """Caption the album into a file; the events."""

    def go(*wanted: CaptionOptions, **options: object) -> list[object]:
        out = tmp_path / "captions.jsonl"
        return list(
            caption_library(captioner, [str(album)], out, *wanted, recursive=True, **options)
        )

    return go


class Counting(Network):
    """The engine of another captioner, and how many pictures it was shown."""

    def __init__(self, captioner: Captioner) -> None:
        self._engine, self.shown = captioner.engine, 0
        self.vocabulary, self.view = self._engine.vocabulary, self._engine.view
        self.card = self._engine.card

    def write(self, pixels, style=UNCONSTRAINED):
        self.shown += len(pixels)
        return self._engine.write(pixels, style)


def read(out: Path) -> list[dict[str, object]]:
    """The lines of a file, without the hour at which each was written."""
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    return [{name: told for name, told in line.items() if name != "date"} for line in lines]


def answered(events: list[object]) -> list[PictureDone]:
    return [event for event in events if isinstance(event, PictureDone)]


def captioned(events: list[object]) -> list[str]:
    return [event.path for event in answered(events) if event.caption]


def test_every_picture_has_its_line_in_the_order_of_the_folders(go, captioner, album, tmp_path):
    events = go()

    lines = read(tmp_path / "captions.jsonl")
    paths = sorted(album.rglob("*.png"), key=lambda p: (p.parent.name != "album", p.name))
    ordered = [*sorted(album.glob("*.png")), *sorted((album / "below").glob("*.png"))]
    assert [line["path"] for line in lines] == list(map(str, ordered)) == list(map(str, paths))
    assert [line["caption"] for line in lines] == [captioner.caption(p).text for p in ordered]
    assert events[-1] == Finished(captioned=PICTURES)
    assert [event.done for event in answered(events)] == list(range(1, PICTURES + 1))
    assert set(lines[0]["model"]) == {"name", "fingerprint", "view", "cutline"}


def test_the_same_again_looks_at_no_picture_and_changes_nothing(go, tmp_path):
    go()
    before = (tmp_path / "captions.jsonl").read_bytes()

    events = go()

    assert answered(events) == []
    assert Scanned(PICTURES, PICTURES) in events
    assert (tmp_path / "captions.jsonl").read_bytes() == before


def test_what_has_changed_or_is_new_is_captioned_and_what_is_gone_has_no_line(go, album, tmp_path):
    go()
    Image.new("RGB", (40, 30), "red").save(album / "01.png")
    Image.new("RGB", (40, 30), "blue").save(album / "new.png")
    (album / "02.png").unlink()

    events = go()

    assert {Path(e.path).name for e in answered(events)} == {"01.png", "new.png"}
    names = [Path(str(line["path"])).name for line in read(tmp_path / "captions.jsonl")]
    assert len(names) == PICTURES
    assert "02.png" not in names


def test_a_picture_that_was_only_touched_or_renamed_is_not_captioned_again(go, album, captioner):
    go()
    os.utime(album / "01.png")
    (album / "02.png").rename(album / "renamed.png")

    events = go()

    assert [event.caption for event in answered(events)] == [None, None]
    assert events[-1] == Finished(captioned=PICTURES)


@pytest.mark.skipif(not shutil.which("exiftool"), reason="ExifTool is not installed")
def test_pictures_into_which_their_captions_were_put_are_not_captioned_again(go, album, tmp_path):
    go()
    out, undoable = tmp_path / "captions.jsonl", tmp_path / "captions.undo.jsonl"
    one, two, changed = read_captions(out)[:3]
    Image.new("RGB", (40, 30), "red").save(changed.path)

    list(write([one, two, changed], form="embed", journal=undoable, apply=True, known_to=out))

    assert captioned(go()) == [changed.path]
    list(undo(undoable, apply=True))
    assert captioned(go()) == [changed.path]  # red alone was never captioned


def test_another_wish_is_another_answer_and_the_first_is_kept(go):
    go()

    more, again = go(CaptionOptions(best=2)), go()

    assert len(answered(more)) == PICTURES
    assert answered(again) == []


def test_equal_pictures_are_captioned_once(captioner, album, tmp_path):
    for name in ("a.png", "z.png"):
        shutil.copy(album / "01.png", album / name)
    counting = Counting(captioner)
    out = tmp_path / "captions.jsonl"

    events = list(caption_library(Captioner(counting), [str(album)], out))

    captions = {Path(str(line["path"])).name: line["caption"] for line in read(out)}
    assert counting.shown == 20
    assert captions["a.png"] == captions["z.png"] == captions["01.png"]
    assert answered(events)[-1].done == 22


def test_a_damaged_picture_has_its_reason_and_is_tried_again_only_when_asked(go, album, tmp_path):
    whole = (album / "01.png").read_bytes()
    for name in ("01.png", "copy.png"):
        (album / name).write_bytes(whole[:50])

    first, second, third = go(), go(), go(retry_failed=True)
    (album / "01.png").write_bytes(whole)
    mended = go()

    assert first[-1] == Finished(captioned=PICTURES - 1, failed=2)
    wrong = [line for line in read(tmp_path / "captions.jsonl") if "error" in line]
    assert [Path(str(line["path"])).name for line in wrong] == ["copy.png"]
    assert str(wrong[0]["error"]).startswith(str(album / "copy.png"))
    assert answered(second) == []
    assert len(answered(third)) == 2
    assert mended[-1] == Finished(captioned=PICTURES, failed=1)


def test_what_could_not_be_read_is_tried_again_without_asking(captioner, album, tmp_path):
    out, gone = tmp_path / "captions.jsonl", album / "gone.png"
    paths = [str(album / "01.png"), str(gone)]

    first = list(caption_library(captioner, paths, out))
    shutil.copy(album / "02.png", gone)
    second = list(caption_library(captioner, paths, out))

    assert first[-1] == Finished(captioned=1, failed=1)
    assert f"{gone} does not exist" in out.read_text() or second[-1] == Finished(captioned=2)
    assert [Path(event.path).name for event in answered(second)] == ["gone.png"]


def test_who_stops_listening_has_a_file_of_what_is_done(captioner, album, tmp_path):
    out = tmp_path / "captions.jsonl"
    events = caption_library(captioner, [str(album)], out)
    list(islice((e for e in events if isinstance(e, PictureDone)), 5))
    events.close()

    done = len(read(out))
    rest = list(caption_library(captioner, [str(album)], out))

    assert 5 <= done < 20
    assert len(answered(rest)) == 20 - done
    assert len(read(out)) == 20


def test_a_folder_that_vanishes_is_one_sentence_and_what_was_done_is_kept(
    captioner, album, tmp_path
):
    out, away = tmp_path / "captions.jsonl", tmp_path / "pulled"
    for number in range(100):  # more than are decoded ahead
        Image.new("RGB", (40, 30), (number, 2 * number, 0)).save(album / f"more{number}.png")
    paths = [str(album)]

    def pull() -> None:
        for event in caption_library(captioner, paths, out):
            if isinstance(event, PictureDone) and event.done == 3:
                album.rename(away)

    with pytest.raises(DataError, match=r"album can no longer be read .*the same call resumes"):
        pull()
    before = len([line for line in read(out) if "caption" in line])
    away.rename(album)
    rest = list(caption_library(captioner, paths, out))

    assert 3 <= before < 120
    assert len(answered(rest)) == 120 - before
    assert rest[-1] == Finished(captioned=120)


@pytest.mark.slow
def test_a_folder_among_others_that_vanishes_is_one_sentence_and_the_rest_goes_on(
    captioner, album, tmp_path
):
    out, away = tmp_path / "captions.jsonl", tmp_path / "pulled"
    for number in range(100):  # more than are decoded ahead
        Image.new("RGB", (40, 30), (number, 2 * number, 0)).save(album / f"below/more{number}.png")

    problems = []
    for event in caption_library(captioner, [album], out, recursive=True):
        if isinstance(event, PictureDone) and event.done == 25:
            (album / "below").rename(away)
        problems += [event.problem] if isinstance(event, PictureDone) and event.problem else []
    failed = read(out)
    away.rename(album / "below")
    rest = list(caption_library(captioner, [album], out, recursive=True))

    told = f"{album / 'below'} can no longer be read (No such file or directory)"
    assert problems.count(told) > 50  # the others were opened ahead
    assert sum("error" in line for line in failed) == len(problems) < 106
    assert sum("caption" in line for line in failed) == 130 - len(problems)
    assert len(answered(rest)) == len(problems)
    assert rest[-1] == Finished(captioned=130)


def test_names_may_be_text_or_paths_one_or_many(captioner, album, tmp_path):
    out = tmp_path / "captions.jsonl"

    one = list(caption_library(captioner, str(album), str(out)))
    many = list(caption_library(captioner, [album, str(album / "below")], out))
    list(write_report(str(out), str(tmp_path / "page.html")))

    assert one[-1] == Finished(captioned=20)
    assert many[-1] == Finished(captioned=30)
    assert len(read_captions(str(out))) == 30
    assert (tmp_path / "page.html").exists()


def test_a_place_that_is_gone_or_moved_keeps_its_captions_and_equal_pictures_are_known(
    go, captioner, album, tmp_path
):
    go()
    before = read(tmp_path / "captions.jsonl")

    moved = album.rename(tmp_path / "moved")
    gone = go()
    kept = read(tmp_path / "captions.jsonl")
    again = list(caption_library(captioner, moved, tmp_path / "captions.jsonl", recursive=True))

    assert gone[-1] == Finished(captioned=PICTURES, failed=1)
    assert [each.problem for each in answered(gone)] == [f"{album} does not exist"]
    assert [line for line in kept if "caption" in line] == before
    assert again[-1] == Finished(captioned=PICTURES)
    assert all(each.caption is None and not each.problem for each in answered(again))


def as_somebody(*command: object) -> subprocess.CompletedProcess[str]:
    """A command without the right to read and write everything, which root has."""
    less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if os.geteuid() != 0:
        less = []
    elif subprocess.run([*less, "true"], capture_output=True).returncode:
        pytest.skip("root cannot be without its rights here (needs setpriv)")
    called = [sys.executable, "-m", "cutline", *map(str, command)]
    return subprocess.run([*less, *called], capture_output=True, text=True, timeout=120)


needs_setpriv = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything"
)


@pytest.mark.slow
@needs_setpriv
def test_a_folder_that_may_not_be_entered_is_one_sentence_and_its_captions_stay(
    tiny, album, tmp_path
):
    out, locked = tmp_path / "captions.jsonl", album / "below"
    (album / "last").mkdir()
    Image.new("RGB", (40, 30), "red").save(album / "last" / "red.png")
    Image.new("RGB", (40, 30), "blue").save(locked / "blue.png")
    command = ("caption", "--model", tiny, album, "-r", "--out", out)
    first = as_somebody(*command)
    before = read(out)
    Image.new("RGB", (40, 30), "green").save(album / "last" / "green.png")
    locked.chmod(0)
    try:
        while_locked = as_somebody(*command), as_somebody(*command)
        meanwhile = read(out)
    finally:
        locked.chmod(0o755)
    after = as_somebody(*command)

    said = {"path": str(locked), "error": f"{locked} cannot be read: Permission denied"}
    assert [each.returncode for each in (first, *while_locked, after)] == [0, 1, 1, 0]
    assert all(each.stderr.count(said["error"]) == 1 for each in while_locked)
    assert "captions, 1 failed" in while_locked[1].stderr
    assert said in meanwhile
    assert all(line in meanwhile for line in before)
    assert len(meanwhile) == len(before) + 2
    assert [line for line in read(out) if "green" not in line["path"]] == before


@pytest.mark.slow
@needs_setpriv
def test_a_picture_and_a_place_without_permission_are_told(tiny, album, tmp_path):
    (album / "01.png").chmod(0)
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o555)

    some = as_somebody("caption", "--model", tiny, album, "--out", tmp_path / "captions.csv")
    none = as_somebody("caption", "--model", tiny, album, "--out", kept / "captions.csv")

    assert some.returncode == none.returncode == 1
    assert "01.png cannot be read: Permission denied" in some.stderr
    assert "19 captions, 1 failed" in some.stderr
    assert none.stderr.endswith("cannot be opened: it or its folder is not writable\n")


def test_a_place_that_is_not_there_is_told(captioner, album, tmp_path):
    with pytest.raises(DataError, match=r"captions.csv cannot be written: there is no folder .*no"):
        next(caption_library(captioner, [str(album)], tmp_path / "no" / "captions.csv"))


def test_pipes_and_links_in_circles_stop_nothing(captioner, album, tmp_path):
    os.mkfifo(album / "00pipe.png")
    (album / "00loop.png").symlink_to("00loop.png")
    (album / "around").symlink_to(".")
    out = tmp_path / "captions.jsonl"

    events = list(caption_library(captioner, [str(album)], out, recursive=True))

    told = {Path(each.path).name: each.problem for each in answered(events) if each.problem}
    assert set(told) == {"00pipe.png", "00loop.png"}
    assert told["00pipe.png"] == f"{album / '00pipe.png'} is not a file"
    assert events[-1] == Finished(captioned=PICTURES, failed=2)


def test_hidden_folders_and_those_of_thumbnails_are_passed_over(captioner, album, tmp_path):
    for name in (".git", ".thumbnails", "@eaDir"):
        shutil.copytree(album / "below", album / name / "more")

    events = list(caption_library(captioner, album, tmp_path / "captions.jsonl", recursive=True))
    named = list(caption_library(captioner, album / ".git/more", str(tmp_path / "named.jsonl")))

    assert events[-1] == Finished(captioned=PICTURES)
    assert named[-1] == Finished(captioned=10)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_disk_that_fills_later_leaves_the_captions_of_before(
    suffix, captioner, album, small_disk
):
    disk = small_disk("256k")
    out, ballast = disk / f"captions{suffix}", disk / "ballast"
    list(caption_library(captioner, [str(album / "below")], out))
    before = out.read_bytes()
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(512 * 1024))
    with pytest.raises(DataError, match=r"(full|No space left).* kept"):
        list(caption_library(captioner, [str(album)], out, recursive=True))
    full = out.read_bytes()
    ballast.unlink()
    events = list(caption_library(captioner, [str(album)], out, recursive=True))

    assert full == before
    assert events[0] == Scanned(PICTURES)
    assert len(answered(events)) == PICTURES - 10
    assert events[-1] == Finished(captioned=PICTURES)
    assert list(disk.glob(".*.part")) == []


def test_a_full_disk_is_one_sentence_and_it_goes_on_when_there_is_room(
    captioner, album, small_disk
):
    disk = small_disk("48k")
    out = disk / "captions.jsonl"
    wanted = CaptionOptions(best=2)
    with pytest.raises(DataError, match=r"(full|No space left).* kept"):
        list(caption_library(captioner, [str(album)], out, wanted, recursive=True))
    small_disk("4m")
    events = list(caption_library(captioner, [str(album)], out, wanted, recursive=True))

    assert events[-1] == Finished(captioned=PICTURES)
    assert len(read(out)) == PICTURES
    assert list(disk.glob(".*.part")) == []


@pytest.mark.slow
@pytest.mark.parametrize("moments", [6])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(moments, tiny, album, tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    run_until(tiny, album, whole)

    chance = random.Random(0)
    for _ in range(moments):
        run_until(tiny, album, killed, seconds=chance.uniform(0.2, 0.9))
    run_until(tiny, album, killed)

    assert read(killed) == read(whole)


def run_until(model, folder: Path, out: Path, *, seconds: float | None = None) -> None:
    """The command in a process of its own, killed after so many seconds if any are given."""
    command = [sys.executable, "-m", "cutline", "caption", str(folder), "-r", "--out", str(out)]
    which = ["--model", str(model)] if model else []
    process = subprocess.Popen([*command, *which], stderr=subprocess.DEVNULL)
    if seconds is None:
        assert process.wait(timeout=600) == 0
        return
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_table_has_a_row_a_picture(captioner, album, tmp_path):
    (album / "bad.png").write_bytes(b"no picture")
    out = tmp_path / "captions.csv"

    list(caption_library(captioner, [str(album)], out))

    rows = list(csv.DictReader(out.read_text("utf-8-sig").splitlines()))
    assert len(rows) == 21
    assert rows[0]["caption"] == captioner.caption(rows[0]["path"]).text
    assert "bad.png" in rows[-1]["error"]
    assert rows[-1]["caption"] == ""


def test_a_parquet_file_has_the_same(captioner, album, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    out = tmp_path / "captions.parquet"

    list(caption_library(captioner, [str(album)], out))

    table = parquet.read_table(out).to_pylist()
    assert table[0]["caption"] == captioner.caption(table[0]["path"]).text
    assert len(table) == 20


def test_other_kinds_of_files_are_refused_before_any_work(captioner, album, tmp_path):
    with pytest.raises(DataError, match=r"captions.txt: captions are written as .jsonl, .csv"):
        next(caption_library(captioner, [str(album)], tmp_path / "captions.txt"))


def test_a_caption_that_is_too_unsure_is_left_out_and_said_to_be(go, tmp_path):
    sure = [float(str(line["confidence"])) for line in go() and read(tmp_path / "captions.jsonl")]
    bound = sorted(sure)[10] + 1e-6

    events = go(CaptionOptions(min_confidence=bound))

    left = [line for line in read(tmp_path / "captions.jsonl") if line["caption"] is None]
    assert events[-1].unsure == len(left) == sum(each < bound for each in sure)
    assert all("is less than" in str(line["left_out"]) for line in left)
    assert answered(events) == []


def test_what_is_not_a_photograph_has_its_line_and_is_looked_at_once(tmp_path):
    page = Image.new("RGB", (400, 300), "white")
    for row in range(20):
        ImageDraw.Draw(page).text((10, 14 * row), "def main(): return 42  # code", fill="black")
    page.save(tmp_path / "code.png")
    out = tmp_path / "captions.jsonl"

    first, again = (list(caption_library(load(), tmp_path / "code.png", out)) for _ in range(2))

    [line] = read(out)
    assert (line["caption"], line["left_out"]) == (None, "not a photograph")
    assert first[-1] == again[-1] == Finished(unsure=1)
    assert (len(answered(first)), answered(again)) == (1, [])


def test_names_of_any_bytes_have_their_line(captioner, album, tmp_path):
    odd = os.fsencode(album) + b"/caf\xe9.png"
    shutil.copy(album / "01.png", odd)
    out = tmp_path / "captions.jsonl"

    list(caption_library(captioner, [str(album)], out))

    assert odd in [os.fsencode(str(line["path"])) for line in read(out)]


def test_two_at_once_are_told(captioner, album, tmp_path):
    out = tmp_path / "captions.jsonl"
    first = caption_library(captioner, [str(album)], out)
    next(first)

    with pytest.raises(DataError, match="another cutline process is using"):
        next(caption_library(captioner, [str(album)], out))
    first.close()


def test_a_journal_that_is_none_is_told(captioner, album, tmp_path):
    (tmp_path / ".captions.jsonl.journal").write_text("no journal at all" * 100)

    with pytest.raises(DataError, match=r"journal is damaged"):
        next(caption_library(captioner, [str(album)], tmp_path / "captions.jsonl"))


def test_nothing_found_leaves_the_file_of_before(go, captioner, album, tmp_path):
    go()
    before = (tmp_path / "captions.jsonl").read_bytes()
    shutil.rmtree(album)
    album.mkdir()

    with pytest.raises(DataError, match="has no pictures in it"):
        go()

    assert (tmp_path / "captions.jsonl").read_bytes() == before


def test_a_list_of_nothing_leaves_the_file_of_before(run, tiny, album, tmp_path, monkeypatch):
    out = tmp_path / "captions.jsonl"
    command = ("caption", "-", "--out", out, "--model", tiny)
    monkeypatch.setattr("sys.stdin", StringIO(f"{album / '01.png'}\n{album / '01.png'}\n"))
    assert run(*command)[0] == 0
    before = out.read_bytes()

    monkeypatch.setattr("sys.stdin", StringIO(""))
    code, _, said = run(*command)

    assert (code, "no pictures are named" in said) == (1, True)
    assert out.read_bytes() == before


def test_a_picture_that_is_named_twice_counts_once(captioner, album, tmp_path):
    named = [str(album / "01.png"), str(album / "02.png"), str(album / "01.png")]
    first = list(caption_library(captioner, named, tmp_path / "captions.jsonl"))
    again = list(caption_library(captioner, named, tmp_path / "captions.jsonl"))

    assert [(event.done, event.total) for event in answered(first)] == [(1, 2), (2, 2)]
    assert Scanned(2, 2) in again


def test_without_pyarrow_no_picture_is_captioned_first(captioner, album, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    counting = Counting(captioner)

    with pytest.raises(CutlineError, match="Parquet needs pyarrow"):
        list(caption_library(Captioner(counting), str(album), tmp_path / "captions.parquet"))

    assert counting.shown == 0


def test_an_empty_folder_is_watched_until_something_appears(captioner, album, tmp_path):
    folder, out = tmp_path / "inbox", tmp_path / "captions.jsonl"
    folder.mkdir()
    events = watch(captioner, [str(folder)], out, every=0.05)
    assert next(events) == Scanned(0, 0)

    (album / "01.png").rename(folder / "01.png")
    os.utime(folder / "01.png", (0, 0))  # it came long ago

    assert next(event for event in events if isinstance(event, Finished)).captioned == 1
    (folder / "01.png").unlink()
    assert next(event for event in events if event == Scanned(0, 0))
    events.close()


def test_what_appears_is_captioned(captioner, album, tmp_path):
    out = tmp_path / "captions.jsonl"
    time.sleep(0.06)
    events = watch(captioner, [str(album)], out, every=0.05)
    first = next(event for event in events if isinstance(event, Finished))

    shutil.copy(album / "01.png", album / "appears.png")
    Image.new("RGB", (30, 30), "green").save(album / "green.png")
    later = [first]
    while later[-1].captioned < 22:
        later.append(next(event for event in events if isinstance(event, Finished)))
    events.close()

    assert first == Finished(captioned=20)
    assert {"appears.png", "green.png"} <= {Path(str(line["path"])).name for line in read(out)}


def test_on_the_command_line_a_library_is_captioned_and_bad_files_told(run, tiny, album, tmp_path):
    (album / "bad.png").write_bytes(b"no picture")
    out = tmp_path / "captions.jsonl"
    command = ("caption", "--model", tiny, album, "-r", "--out", out)

    code, told, said = run(*command)
    again, _, said_again = run(*command)

    assert (code, told) == (1, "")
    assert "bad.png" in said
    assert f"{out}: 30 captions, 1 failed (--retry-failed tries again)" in said
    assert again == 1
    assert "31 of 31 pictures done already" in said_again


def test_on_the_command_line_an_unsure_caption_is_left_away(run, tiny, album):
    code, out, said = run("caption", "--model", tiny, "--min-confidence", 1, album / "01.png")

    assert (code, out) == (0, "")
    assert "has no caption: its confidence of" in said


@pytest.mark.slow
def test_watching_says_a_thing_once(tiny, album, tmp_path):
    (album / "00link.png").symlink_to("nowhere.png")
    command = [sys.executable, "-m", "cutline", "caption"]
    named = [str(album), "--watch", "--model", str(tiny), "--out", str(tmp_path / "captions.csv")]
    process = subprocess.Popen([*command, *named], stderr=subprocess.PIPE, text=True)
    before = [process.stderr.readline() for _ in range(2)] if process.stderr else []
    time.sleep(3 * WATCH_EVERY)  # some rounds more
    process.send_signal(signal.SIGINT)
    said = "".join(before) + process.communicate(timeout=60)[1]

    assert said.count("does not exist") == 1
    assert said.count("20 captions, 1 failed") == 1
    assert "done already" not in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(["--watch"], "need --out"), (["-", "--watch", "--out", "c.jsonl"], "from standard input")],
)
def test_watching_needs_a_file_and_folders(run, tiny, album, options, sentence):
    code, _, said = run("caption", "--model", tiny, album, *options)

    assert (code, sentence in said) == (2, True)


@pytest.mark.slow
def test_two_thousand_photographs_killed_at_twenty_moments(tiny, shared, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in sorted((shared / "data" / "flickr8k" / "images").glob("*.jpg"))[:2_000]:
        (folder / path.name).symlink_to(path)
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    began = time.monotonic()
    run_until(tiny, folder, whole)
    seconds = time.monotonic() - began

    chance = random.Random(0)
    for _ in range(20):
        run_until(tiny, folder, killed, seconds=chance.uniform(seconds / 20, seconds / 6))
    run_until(tiny, folder, killed)

    assert len(read(killed)) == 2_000
    assert read(killed) == read(whole)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(tiny, tmp_path):
    used = {}
    for count in (500, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            pixels = np.frombuffer(number.to_bytes(4, "big") * 27, np.uint8).reshape(6, 6, 3)
            Image.fromarray(pixels).save(folder / f"{number}.png")
        command = ["caption", str(folder), "--model", str(tiny), "--out", str(tmp_path / "o.jsonl")]
        watched = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        command = [sys.executable, "-c", watched, sys.executable, "-m", "cutline", *command]
        used[count] = int(subprocess.run(command, check=True, capture_output=True).stdout)

    assert used[10_000] < used[500] + 30_000  # kilobytes


def test_an_error_while_captioning_leaves_the_journal_usable(captioner, album, tmp_path):
    class Failing(Counting):
        def write(self, pixels, style=UNCONSTRAINED):
            if self.shown >= 8:
                raise CutlineError("the engine stopped")
            return super().write(pixels, style)

    out = tmp_path / "captions.jsonl"
    with pytest.raises(CutlineError, match="the engine stopped"):
        list(caption_library(Captioner(Failing(captioner)), [str(album)], out))

    rest = list(caption_library(captioner, [str(album)], out))

    assert 0 < len(answered(rest)) < 20
    assert rest[-1] == Finished(captioned=20)


class Meddling(Counting):
    """While it looks, somebody changes a picture."""

    def __init__(self, captioner: Captioner, meddle: Callable[[], object]) -> None:
        super().__init__(captioner)
        self._meddle = meddle

    def write(self, pixels, style=UNCONSTRAINED):
        self._meddle()
        return super().write(pixels, style)


def test_a_picture_that_changes_while_it_is_captioned_is_captioned_next_time(
    captioner, album, tmp_path, go
):
    changing, old = album / "01.png", (album / "01.png").read_bytes()

    def change() -> None:
        Image.new("RGB", (40, 30), "red").save(changing)

    out = tmp_path / "captions.jsonl"
    meddling = Captioner(Meddling(captioner, change))
    events = list(caption_library(meddling, [str(album)], out, recursive=True))

    told = [event.problem for event in answered(events) if event.path == str(changing)]
    assert told == [f"{changing} changed while it was captioned: run this again"]
    assert [line["path"] for line in read(out) if "error" in line] == [str(changing)]

    go()
    found = {str(line["path"]): line["caption"] for line in read(out)}
    assert found[str(changing)] == captioner.caption(changing).text

    changing.write_bytes(old)  # the old content has no answer that was the new one's
    go()
    found = {str(line["path"]): line["caption"] for line in read(out)}
    assert found[str(changing)] == captioner.caption(changing).text


def test_with_a_clock_that_was_put_back_nothing_is_left_out_or_taken_for_known(
    go, captioner, album, tmp_path
):
    out, early, late = tmp_path / "captions.jsonl", album / "01.png", album / "02.png"
    for path in album.rglob("*.png"):
        moment = time.time() + (7200 if path == late else -60)
        os.utime(path, (moment, moment))
    go(settled=WATCH_EVERY)
    assert len(read(out)) == PICTURES

    size = early.stat().st_size
    early.write_bytes(late.read_bytes()[:size].ljust(size, b"\0"))  # another one, of this size
    os.utime(early, (time.time() - 7200, time.time() - 7200))  # and older than the one before
    events = go(settled=WATCH_EVERY)

    assert [event.path for event in answered(events)] == [str(early)]
