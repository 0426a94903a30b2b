"""The tables of a captioning journal, and whether a file that is called so is one of cutline's.

A journal may come with a stranger's folder. SQLite runs what a file says (views, triggers), follows
links, and deletes what a hot journal names: so nothing is opened but what cutline writes itself.
"""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

from cutline.errors import DataError

TABLES = """
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS pictures (
    path BLOB PRIMARY KEY, listing INTEGER, place INTEGER, size INTEGER, changed INTEGER,
    content BLOB, problem TEXT, passing INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_place ON pictures (listing, place);
CREATE TABLE IF NOT EXISTS answers (
    content BLOB, asked TEXT, answer TEXT, PRIMARY KEY (content, asked)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written (
    path BLOB, text BLOB, round INTEGER, PRIMARY KEY (path, text)
) WITHOUT ROWID;
COMMIT;
"""
SIDE_FILES = ("", "-journal", "-wal", "-shm")
"""What SQLite opens beside a file, whatever is there."""
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""At the end of a `-journal`, after the name of a file that SQLite would delete."""


def connect(path: Path, *, timeout: float, **options: Any) -> sqlite3.Connection:
    """A journal, or a file that is to become one.

    Raises `DataError` for one that is not cutline's, `sqlite3.Error` where SQLite does.
    """
    insist_on_own_files(path)
    base = sqlite3.connect(path, timeout=timeout, **options)
    try:
        base.execute("PRAGMA trusted_schema = OFF")
        _insist_on_own_tables(base, path)
    except BaseException:
        base.close()
        raise
    return base


def tell_strange(path: Path) -> str:
    """A sentence about a journal that is not cutline's."""
    return f"{path} was not written by cutline; without it all pictures are captioned anew"


def insist_on_own_files(path: Path) -> None:
    """No link is followed, no pipe waited for, and nothing deleted because a file says so.

    The rollback journal of a database that is one file names no other (`pager.c`, super-journals).
    """
    for each in (path.with_name(path.name + end) for end in SIDE_FILES):
        try:
            if not stat.S_ISREG(each.lstat().st_mode):
                raise DataError(
                    f"{each} cannot be written: it is a link or not a regular file, which cutline "
                    "does not write to"
                )
            with each.open("rb") as file:
                file.seek(-min(len(SUPER_JOURNAL), file.seek(0, os.SEEK_END)), os.SEEK_END)
                if file.read() == SUPER_JOURNAL:
                    raise DataError(f"{each} was not made by cutline: delete it")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{each} cannot be read: {error.strerror}") from None


def _insist_on_own_tables(base: sqlite3.Connection, path: Path) -> None:
    """No other tables, no triggers, no views: those would be run."""
    kept = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(TABLES)
        wanted = ours.execute(kept).fetchall()
    if any(row not in wanted for row in base.execute(kept)):
        raise DataError(tell_strange(path))
