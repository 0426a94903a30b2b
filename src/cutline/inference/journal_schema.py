"""The tables of a captioning journal, and checks that a journal file is one of cutline's.

A journal may come with somebody else's folder. SQLite executes views and triggers in a file,
follows links, and deletes the files that a hot journal names, so only files with exactly cutline's
schema are opened.
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
"""Suffixes of the files that SQLite opens."""
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""Ends a `-journal` that names a file for SQLite to delete."""


def files_of(path: Path) -> list[Path]:
    """A journal and the files that SQLite keeps beside it."""
    return [path.with_name(path.name + suffix) for suffix in SIDE_FILES]


def connect(path: Path, *, timeout: float, **options: Any) -> sqlite3.Connection:
    """Open or create a journal.

    Raises `DataError` for a file that is not one of cutline's, and `sqlite3.Error`.
    """
    require_own_files(path)
    base = sqlite3.connect(path, timeout=timeout, **options)
    try:
        base.execute("PRAGMA trusted_schema = OFF")
        _require_own_tables(base, path)
    except BaseException as error:
        base.close()
        if isinstance(error, UnicodeDecodeError):  # the message quotes what is in the file
            raise sqlite3.DatabaseError("malformed database schema") from None
        raise
    return base


def describe_foreign(path: Path) -> str:
    """A sentence about a journal that is not cutline's."""
    return (
        f"{path} was not written by cutline: delete it; all pictures will then be captioned again"
    )


def require_own_files(path: Path) -> None:
    """Raise `DataError` for links, pipes, and rollback journals that name other files.

    The rollback journal of a database in one file names no other (super-journals, `pager.c`).
    """
    for each in files_of(path):
        try:
            if not stat.S_ISREG(each.lstat().st_mode):
                raise DataError(f"{each} cannot be written: it is a link or not a regular file")
            with each.open("rb") as file:
                file.seek(-min(len(SUPER_JOURNAL), file.seek(0, os.SEEK_END)), os.SEEK_END)
                if file.read() == SUPER_JOURNAL:
                    raise DataError(f"{each} was not made by cutline: delete it")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError(f"{each} cannot be read: {error.strerror}") from None


def _require_own_tables(base: sqlite3.Connection, path: Path) -> None:
    """Raise `DataError` for other tables, triggers and views, which would be run."""
    names = ", ".join(f"CAST({name} AS BLOB)" for name in ("type", "name", "sql"))  # any bytes
    kept = f"SELECT {names} FROM sqlite_master ORDER BY name"
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(TABLES)
        wanted = ours.execute(kept).fetchall()
    if any(row not in wanted for row in base.execute(kept)):
        raise DataError(describe_foreign(path))
