"""Parts of a library that machines caption independently of each other, and their merging.

`--part 3/8` takes the pictures whose path has the hash 3 of 8: parts are disjoint and together
complete, without any communication. Each part is a file of its own, with a journal of its own.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cutline.errors import DataError
from cutline.inference.corrections import path_key
from cutline.inference.journal import journal_path
from cutline.inference.journal_schema import connect
from cutline.io.atomic import atomic_write
from cutline.io.tables import WRITERS, read_rows

MOST = 100_000
"""The largest number of parts."""
LISTED = "SELECT path FROM pictures WHERE listing = (SELECT max(listing) FROM pictures)"


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number` (from 1) of `of` parts."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """The part that a text like `3/8` names. Raises `DataError`."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, of = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise DataError(f"{text!r} is not a part: 3/8 is the third of eight")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def file_of(self, out: Path) -> Path:
        """The file of this part: `captions.part-3-of-8.jsonl`."""
        return out.with_name(f"{out.stem}.part-{self.number}-of-{self.of}{out.suffix}")

    def select(
        self, found: Iterable[tuple[str, DataError | None]], roots: Sequence[str]
    ) -> Iterator[tuple[str, DataError | None]]:
        """The pictures of this part, and every problem that was met while searching the `roots`.

        A picture in a folder of `roots` is known by its path from there, so that machines that have
        mounted the folder at different places agree.
        """
        folders = [os.path.join(root, "") for root in roots if Path(root).is_dir()]  # noqa: PTH118
        for path, problem in found:
            folder = next(filter(path.startswith, folders), "")
            if problem or self._covers(path[len(folder) :]):
                yield path, problem

    def _covers(self, path: str) -> bool:
        return _digest(os.fsencode(path)) % self.of == self.number - 1


def find_parts(out: Path) -> list[Part]:
    """The parts of `out` that should lie beside it. Raises `DataError` if none, or two sets, do."""
    name = re.compile(
        rf"\.?{re.escape(out.stem)}\.part-([0-9]+)-of-([0-9]+){re.escape(out.suffix)}(\.journal)?"
    )
    try:
        found = [match for each in out.parent.iterdir() if (match := name.fullmatch(each.name))]
    except OSError as error:
        raise DataError(f"{out.parent} cannot be read: {error.strerror}") from None
    numbers = sorted({int(match[2]) for match in found})
    if not numbers:
        raise DataError(f"{Part(1, 8).file_of(out)}, or any other part, is not there")
    if len(numbers) > 1:
        both = " and ".join(map(str, numbers))
        raise DataError(f"there are parts of {both} beside {out}: remove those that are not meant")
    [of] = numbers
    if not 1 <= of <= MOST:
        raise DataError(f"{out}: {found[0][0]} is no part")
    return [Part(number, of) for number in range(1, of + 1)]


def merge_parts(out: Path, parts: Sequence[Part]) -> int:
    """Write the rows of all parts into one file; returns their number.

    Raises `DataError` that names each part that is missing, unfinished or still running, or if a
    picture is in two parts. Memory: some 100 bytes for each picture.
    """
    problems = [f"part {part} {why}" for part in parts if (why := _find_problem(part, out))]
    if problems:
        raise DataError(
            f"{out} is not written: {'; '.join(problems)}. Run `cutline caption` with --part again"
        )
    seen = set[int]()
    try:
        with atomic_write(out) as file:
            WRITERS[out.suffix](_rows_of(out, parts, seen), file)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None
    return len(seen)


def _rows_of(out: Path, parts: Iterable[Part], seen: set[int]) -> Iterator[Mapping[str, Any]]:
    """The rows of the parts, in turn; a folder that no part could read has one row."""
    for part in parts:
        for where, row in read_rows(part.file_of(out)):
            key = _digest(path_key(row.get("path")))
            if key not in seen:
                seen.add(key)
                yield row
            elif not row.get("error"):
                raise DataError(f"{where}: {row['path']} is in another part, too")


def _find_problem(part: Part, out: Path) -> str:
    """Why a part cannot be merged; empty if it is complete."""
    file = part.file_of(out)
    journal = journal_path(file)
    if not journal.is_file():
        return f"has no {journal.name} beside it" if file.exists() else "was never begun"
    try:
        with closing(connect(journal, timeout=0.5)) as base:
            listed = {path_key(os.fsdecode(path)) for (path,) in base.execute(LISTED)}
    except sqlite3.Error as error:
        return "is still running" if "locked" in str(error) else f"has a damaged journal ({error})"
    if not file.exists():
        return f"was stopped before its file was written ({len(listed):,} pictures)"
    left = len(listed - {path_key(row.get("path")) for _, row in read_rows(file)})
    return f"was stopped with {left:,} of {len(listed):,} pictures to do" if left else ""


def _digest(path: bytes) -> int:
    return int.from_bytes(blake2b(path, digest_size=8).digest(), "big")
