"""Parts of a library: each picture in exactly one, joined again, and never a part too few."""

import json
import shutil
import sqlite3
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from albums import draw
from cutline.errors import DataError
from cutline.inference.captioner import load
from cutline.inference.journal import journal_path
from cutline.inference.library import PictureDone, caption_library
from cutline.inference.parts import Part, find_parts, merge_parts

THREE = [Part(number, 3) for number in (1, 2, 3)]


@pytest.fixture
def album(tmp_path) -> Path:
    """Twelve pictures, half of them in a folder below."""
    (tmp_path / "album" / "below").mkdir(parents=True)
    for number in range(12):
        folder = tmp_path / "album" / ("below" if number % 2 else "")
        draw(folder / f"{number:02}.png", number)
    return tmp_path / "album"


@pytest.fixture
def caption(tiny, album, tmp_path):
    """Caption one part of the album into its file, or all of it."""
    captioner = load(tiny)

    def caption(part: Part | None, *, most: int = 100) -> Path:
        out = tmp_path / "captions.jsonl"
        file = part.file_of(out) if part else out
        events = caption_library(captioner, [album], file, recursive=True, part=part)
        answers = (event for event in events if isinstance(event, PictureDone))
        for _, _ in zip(range(most), answers, strict=False):
            pass
        events.close()
        return out

    return caption


def rows(path: Path) -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["path"]: {k: v for k, v in row.items() if k != "date"} for row in lines}


def paths_of(part: Part, found: list[str], root: str) -> list[str]:
    return [path for path, _ in part.select([(path, None) for path in found], [root])]


@pytest.mark.parametrize("of", [1, 2, 7])
def test_parts_are_disjoint_complete_and_about_equal(of):
    names = [f"trip {number // 50}/IMG_{number % 50}.jpg" for number in range(2_000)]

    parts = [paths_of(Part(number, of), names, "photos") for number in range(1, of + 1)]

    assert sorted(chain.from_iterable(parts)) == sorted(names)
    assert all(0.8 * 2_000 / of < len(part) < 1.2 * 2_000 / of for part in parts)


def test_machines_that_mount_the_folder_elsewhere_agree(album, tmp_path):
    elsewhere = tmp_path / "mnt" / "photos"
    shutil.copytree(album, elsewhere)
    found = [str(path.relative_to(album)) for path in album.rglob("*.png")]

    for part in THREE:
        here = paths_of(part, [f"{album}/{name}" for name in found], str(album))
        there = paths_of(part, [f"{elsewhere}/{name}" for name in found], f"{elsewhere}/")
        assert [path[len(str(album)) :] for path in here] == [
            path[len(str(elsewhere)) :] for path in there
        ]


def test_merged_parts_are_what_one_machine_writes(caption, album, tmp_path, run):
    (album / "bad.png").write_bytes(b"no picture")
    alone = rows(shutil.move(caption(None), tmp_path / "alone.jsonl"))

    for part in THREE:
        out = caption(part)
    code, _, err = run("merge", out)

    assert (code, err) == (0, f"{out}: 13 pictures of 3 parts\n")
    assert rows(out) == alone
    assert run("merge", out)[0] == 1  # never over another file
    assert run("merge", out, "--overwrite")[0] == 0


def test_parts_that_are_missing_stopped_or_running_are_named(caption, run):
    out = caption(Part(1, 4))
    caption(Part(2, 4), most=1)
    caption(Part(3, 4))
    with closing(sqlite3.connect(journal_path(Part(3, 4).file_of(out)))) as running:
        running.execute("BEGIN EXCLUSIVE")
        code, _, err = run("merge", out)

    assert code == 1 and not out.exists()
    assert err.startswith(f"cutline: {out} is not written: part 2/4 was stopped with ")
    assert "; part 3/4 is still running; part 4/4 was never begun. " in err
    for part in (Part(2, 4), Part(4, 4)):
        caption(part)
    assert run("merge", out)[0] == 0
    assert len(rows(out)) == 12


def test_a_part_without_its_journal_or_its_file_is_named(caption):
    for part in THREE:
        out = caption(part)
    journal_path(THREE[0].file_of(out)).unlink()
    THREE[1].file_of(out).unlink()

    with pytest.raises(DataError, match=r"part 1/3 has no \.captions.*beside it; part 2/3 was sto"):
        merge_parts(out, find_parts(out))


def test_a_picture_in_two_parts_is_refused(caption):
    for part in THREE:
        out = caption(part)
    one, other = (part.file_of(out) for part in THREE[:2])
    other.write_text(other.read_text() + one.read_text().splitlines()[0] + "\n")

    with pytest.raises(DataError, match="part-2-of-3.jsonl, line .*png is in another part, too"):
        merge_parts(out, THREE)


def test_parts_of_two_runs_are_not_mixed(caption):
    caption(Part(1, 4))
    out = caption(Part(1, 3))

    with pytest.raises(DataError, match="there are parts of 3 and 4 beside"):
        find_parts(out)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/3", "1/1000000", "a/b"])
def test_what_is_not_a_part_is_wrong_usage(text, run):
    code, _, err = run("caption", ".", "--out", "a.jsonl", "--part", text)

    assert code == 2 and "is not a part: 3/8 is the third of eight" in err


def test_a_part_needs_a_file(run):
    assert run("caption", ".", "--part", "1/2")[0] == 2
