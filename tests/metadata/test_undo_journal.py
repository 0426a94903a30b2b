"""Changes are taken back to the last byte, whatever happened in between."""

import os
import subprocess
import sys

import pytest

from cutline.errors import WritingError
from cutline.metadata.undo_journal import UndoJournal, Undone, journal_beside, undo


@pytest.fixture
def journal(tmp_path):
    opened = UndoJournal(journal_beside(tmp_path / "captions.jsonl"))
    yield opened
    opened.close()


def replace(journal: UndoJournal, path, content: bytes) -> None:
    seen = path.read_bytes() if path.exists() else None
    journal.replace(path, content, seen=seen, picture=path)


def actions(journal: UndoJournal, *, apply: bool = True) -> list[str]:
    journal.close()
    return [event.action for event in undo(journal.path, apply=apply)]


OLD = bytes(range(256)) * 100


@pytest.mark.parametrize(
    "new",
    [OLD + b"end", b"start" + OLD, OLD[:500] + b"middle" + OLD[500:], OLD[:500] + OLD[900:], b"",
     OLD[:1] + OLD, b"nothing alike"],
)  # fmt: skip
def test_a_file_comes_back_with_bytes_rights_and_time(journal, tmp_path, new):
    path = tmp_path / "a.jpg"
    path.write_bytes(OLD)
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_000_000_000))

    replace(journal, path, new)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (new, 0o640)
    assert path.stat().st_mtime_ns > 1_000_000_000  # backups have to see that it changed

    assert actions(journal) == ["restored"]
    assert path.read_bytes() == OLD
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime_ns) == (0o640, 1_000_000_000)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_the_journal_keeps_only_what_differs(journal, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(os.urandom(1_000_000))

    replace(journal, path, path.read_bytes()[:20] + b"a caption" + path.read_bytes()[20:])

    assert (tmp_path / "captions.undo.blobs").stat().st_size < 20


def test_several_changes_go_back_one_by_one_the_newest_first(journal, tmp_path):
    path = tmp_path / "a.txt"
    for content in (b"one", b"two", b"three"):
        replace(journal, path, content)

    assert actions(journal, apply=False) == ["would restore"] * 2 + ["would delete"]
    assert path.read_bytes() == b"three"
    assert actions(journal) == ["restored"] * 2 + ["deleted"]
    assert not path.exists()


def test_an_interrupted_undo_goes_on(journal, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"zero")
    for content in (b"one", b"two", b"three"):
        replace(journal, path, content)
    journal.close()
    events = undo(journal.path, apply=True)

    next(events)
    events.close()

    assert path.read_bytes() == b"two"
    assert actions(journal) == ["restored"] * 2
    assert path.read_bytes() == b"zero"


def test_a_file_that_somebody_changed_since_is_kept_and_the_rest_go_back(journal, tmp_path):
    changed, gone, other = (tmp_path / name for name in ("changed", "gone", "other"))
    for path in (changed, gone, other):
        path.write_bytes(b"before")
        replace(journal, path, b"after")
    changed.write_bytes(b"by a human")
    gone.unlink()
    journal.close()

    events = list(undo(journal.path, apply=True))

    assert events == [
        Undone(other, "restored"),
        Undone(gone, "kept", f"{gone} does not exist any more"),
        Undone(changed, "kept", f"{changed} was changed after cutline wrote it"),
    ]
    assert changed.read_bytes() == b"by a human"
    assert actions(journal) == ["kept", "kept"]


def test_killed_between_line_and_file_nothing_is_unknown(journal, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"before")
    replace(journal, path, b"after")
    path.write_bytes(b"before")  # as if the kill had come before the file was replaced
    (tmp_path / ".cutline-0123456789abcdef.part").write_bytes(b"aft")
    with journal.path.open("ab") as file:
        file.write(b'{"number": 2, "targ')
    journal.close()

    again = UndoJournal(journal.path)
    replace(again, path, b"after")
    again.close()

    assert actions(journal) == ["restored", "unchanged"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]
    assert path.read_bytes() == b"before"


def test_an_album_may_move_with_its_journal(journal, tmp_path):
    album = tmp_path / "album"
    album.mkdir()
    (album / "a.jpg").write_bytes(b"before")
    replace(journal, album / "a.jpg", b"after")
    journal.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (album, journal.path, journal.path.with_suffix(".blobs")):
        path.rename(moved / path.name)

    list(undo(moved / journal.path.name, apply=True))

    assert (moved / "album" / "a.jpg").read_bytes() == b"before"


def test_a_read_only_file_and_one_that_changed_meanwhile_are_not_replaced(journal, tmp_path):
    path, other = tmp_path / "a.jpg", tmp_path / "b.jpg"
    path.write_bytes(b"before")
    other.write_bytes(b"before")
    path.chmod(0o444)

    with pytest.raises(WritingError, match="is read-only"):
        replace(journal, path, b"after")
    for seen in (b"else", None):  # None: it was not there, and now it is
        with pytest.raises(WritingError, match="was changed by another program"):
            journal.replace(other, b"after", seen=seen, picture=other)
    journal.close()

    assert path.read_bytes() == other.read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="locks that do not keep oneself out are POSIX")
def test_a_journal_takes_one_process_at_a_time_and_knows_what_others_wrote(journal, tmp_path):
    path, late = tmp_path / "a.jpg", UndoJournal(journal.path)
    replace(journal, path, b"one")

    with pytest.raises(WritingError, match="another cutline process is using"):
        replace(late, path, b"two")
    with pytest.raises(WritingError, match="another cutline process is using"):
        list(undo(journal.path, apply=True))
    journal.close()
    replace(late, path, b"two")
    late.close()

    assert actions(journal) == ["restored", "deleted"]
    assert list(tmp_path.iterdir()) == []


def test_a_journal_in_which_nothing_came_to_stand_is_gone(journal):
    journal.claim()
    journal.close()

    assert not journal.path.exists()


def test_a_journal_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(WritingError, match="captions.undo.jsonl cannot be written: No such file"):
        UndoJournal(tmp_path / "none" / "captions.undo.jsonl").claim()


def test_damaged_blobs_restore_nothing_wrong(journal, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"before")
    replace(journal, path, b"after")
    (tmp_path / "captions.undo.blobs").write_bytes(b"")
    journal.close()

    [event] = undo(journal.path, apply=True)

    assert event.action == "failed"
    assert "captions.undo.blobs is damaged" in event.sentence
    assert path.read_bytes() == b"after"


def test_no_journal_or_another_file_is_one_sentence(tmp_path):
    other = tmp_path / "captions.jsonl"
    other.write_text('{"path": "a.jpg", "caption": "a dog"}\n')

    with pytest.raises(WritingError, match="there is no journal .* make one with --apply$"):
        list(undo(tmp_path / "none.jsonl"))
    (tmp_path / "mine.undo.jsonl").touch()
    with pytest.raises(WritingError, match="make one with --apply; there is mine.undo.jsonl$"):
        list(undo(str(tmp_path / "captions.undo.jsonl")))
    with pytest.raises(WritingError, match="line 1: .*this is not an undo journal"):
        list(undo(other))


def test_a_name_that_no_file_can_have_is_one_sentence(journal, tmp_path):
    replace(journal, tmp_path / "a.txt", b"a dog")
    lines = journal.path.read_text()
    assert '"a.txt"' in lines
    journal.path.write_text(lines.replace('"a.txt"', '"\\ud800.txt"'))

    with pytest.raises(WritingError, match="line 1: this is not an undo journal"):
        list(undo(journal.path))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_on_a_full_disk_files_and_journal_stay_whole(tmp_path):
    (tmp_path / "large").write_bytes(b"before")
    (tmp_path / "small").write_bytes(b"before")
    code = """
import resource, sys
from pathlib import Path
from cutline.metadata.undo_journal import UndoJournal
journal = UndoJournal(Path("captions.undo.jsonl"))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for name, size in (("large", 9000), ("small", 2000)):
    try:
        journal.replace(Path(name), b"x" * size, seen=b"before", picture=Path(name))
        print("written")
    except OSError as error:
        print(type(error).__name__)
"""

    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()

    assert told == ["OSError", "written"]
    assert (tmp_path / "large").read_bytes() == b"before"
    assert not list(tmp_path.glob(".*.part"))
    assert [e.action for e in undo(tmp_path / "captions.undo.jsonl", apply=True)] == ["restored"]
