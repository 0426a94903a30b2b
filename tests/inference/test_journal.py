"""A journal of captioning that a stranger left: nothing of it is run, followed or believed."""

import json
import os
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from cutline.errors import DataError
from cutline.inference.journal import CaptionJournal, journal_path, reuse_answers
from cutline.inference.journal_schema import TABLES

VIEW = """
CREATE TABLE pictures (path);
CREATE VIEW answers AS WITH RECURSIVE more(content) AS (
    SELECT 1 UNION ALL SELECT content + 1 FROM more
) SELECT content, content AS asked, content AS answer FROM more;
"""
TRIGGER = f"""{TABLES}
CREATE TRIGGER bomb AFTER INSERT ON pictures BEGIN DELETE FROM answers; END;
"""
NOT_TEXT = f"""{TABLES}
CREATE TABLE other (column);
PRAGMA writable_schema = ON;
UPDATE sqlite_master SET sql = sql || ' -- ' || CAST(x'80' AS TEXT) WHERE name = 'other';
"""


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "album" / "captions.jsonl"


@pytest.fixture
def stranger(out):
    """Make a stranger's journal of some SQL."""
    out.parent.mkdir()

    def make(script: str, *rows: tuple[object, ...]) -> Path:
        with closing(sqlite3.connect(journal_path(out))) as base:
            base.executescript(script)
            for row in rows:
                base.execute("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            base.commit()
        return journal_path(out)

    return make


def list_again(out: Path, picture: Path) -> list[object]:
    with CaptionJournal.open(out, "asked") as journal:
        list(journal.register([(str(picture), None)], again=False, settled=0.0))
        return list(journal.rows())


@pytest.mark.parametrize("script", [VIEW, TRIGGER, NOT_TEXT, "CREATE TABLE pictures (path)"])
def test_other_tables_views_and_triggers_are_refused_and_none_is_run(script, stranger, out):
    stranger(script)

    with pytest.raises(DataError, match="was not written by cutline"):
        list_again(out, out.parent / "dog.png")


def test_a_number_after_which_there_is_none_is_refused(stranger, out):
    stranger(TABLES, (b"a", 2**63 - 1, 0, 0, 0, None, None, 0))

    with pytest.raises(DataError, match="was not written by cutline"):
        list_again(out, out.parent / "dog.png")


@pytest.mark.parametrize("problem", ["no JSON", "[" * 9_000, "3", 7])
def test_a_reason_that_is_none_is_refused(problem, stranger, out):
    picture = out.parent / "dog.png"
    picture.parent.mkdir(exist_ok=True)
    picture.write_bytes(b"a picture")
    status = picture.stat()
    row = (os.fsencode(picture), 1, 0, status.st_size, status.st_mtime_ns, None, problem, 0)
    stranger(TABLES, row)

    with pytest.raises(DataError, match="is damaged"):
        list_again(out, picture)


@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
def test_nothing_is_opened_through_a_link(end, stranger, out, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    journal = stranger(TABLES)
    if not end:
        journal.unlink()
    Path(f"{journal}{end}").symlink_to(precious)

    with pytest.raises(DataError, match="is a link"):
        list_again(out, out.parent / "dog.png")
    with pytest.raises(DataError), reuse_answers(out) as renew:
        renew(b"old", b"new")

    assert precious.read_bytes() == b"precious"


def test_a_pipe_is_not_waited_for(stranger, out):
    stranger(TABLES).unlink()
    os.mkfifo(journal_path(out))

    with pytest.raises(DataError, match="not a regular file"):
        list_again(out, out.parent / "dog.png")


def hot_journal(deleted: Path) -> bytes:
    """What SQLite takes for a change to be taken back, and for the last step of which it deletes a
    file (https://www.sqlite.org/fileformat2.html#the_rollback_journal, and `pager.c`)."""
    magic = bytes.fromhex("d9d505f920a163d7")
    head = magic + struct.pack(">IIIII", 0, 0, 1, 512, 512)
    name = os.fsencode(deleted)
    told = struct.pack(">I", 2**30 // 512 + 1) + name
    return head.ljust(512, b"\0") + told + struct.pack(">II", len(name), sum(name)) + magic


def test_no_file_is_deleted_because_a_journal_names_it(stranger, out, tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    beside = Path(f"{stranger(TABLES)}-journal")
    beside.write_bytes(hot_journal(precious))

    with pytest.raises(DataError, match="was not made by cutline"):
        list_again(out, out.parent / "dog.png")
    with pytest.raises(DataError), reuse_answers(out) as renew:
        renew(b"old", b"new")

    assert precious.read_bytes() == b"precious"


def test_the_journal_of_a_killed_run_is_still_taken_up(out):
    out.parent.mkdir()
    picture = out.parent / "dog.png"
    picture.write_bytes(b"a picture")
    list_again(out, picture)
    Path(f"{journal_path(out)}-journal").write_bytes(b"")  # as SQLite leaves it

    [line] = list_again(out, picture)

    assert line.path == str(picture)
    assert json.dumps(line.problem) == "null"
