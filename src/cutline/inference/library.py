"""Whole libraries: every picture of many gets its caption, whatever happens on the way.

Enters: paths as somebody names them. Leaves: one file, `captions.jsonl`, `.csv` or `.parquet`, with
a line a picture in the order they were found. What is known of each stands in a journal beside it:
after Ctrl-C, kill -9, a full disk or a pulled card the same call goes on there.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cutline.errors import DataError, ImageError, NoPictureError
from cutline.images.find import find_pictures
from cutline.inference.captioner import Captioner
from cutline.inference.corrections import key_of
from cutline.inference.journal import Journal, Line, journal_of
from cutline.io.atomic import atomic_write, require_writable
from cutline.io.tables import WRITERS, import_parquet, read_rows
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Caption, leave_out_unsure
from cutline.version import __version__

WATCH_EVERY = 2.0
"""Seconds between two looks at watched folders; a file changed more lately may be half there."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every picture."""

    best: int = 1
    """How many candidates."""
    gaze: bool = False
    """Where each word looked, too."""
    min_confidence: float = 0.0
    """A caption with less is left away, and said to be."""
    style: Style = UNCONSTRAINED
    """How captions are to read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """So many pictures have been found; when all are, `known` of them have an answer already."""

    found: int
    known: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One more picture of the whole has an answer."""

    path: str
    caption: Caption | None
    """None for what is not captioned, or was before under another name."""
    problem: str | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The file is written: so many pictures with a caption, too unsure for one, and without."""

    captioned: int = 0
    unsure: int = 0
    failed: int = 0


Event = Listed | Answered | Finished


def caption_library(
    captioner: Captioner,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    wanted: Wanted = Wanted(),
    *,
    recursive: bool = False,
    retry_failed: bool = False,
    settled: float = 0.0,
) -> Generator[Event]:
    """Caption pictures into a file; the same call goes on where one was stopped.

    The file is written at the end, and when somebody stops listening. A picture is captioned again
    only when it has changed, or the model or what is wanted has; of equal ones, one is.
    A caption that a person has changed in the file stays as the person wrote it. Damaged
    ones stand in the file with their reason and are tried again with `retry_failed`; what could not
    be read at all is tried again every time, and of a folder that may not be entered the captions
    of before stay. Files that changed less than `settled` seconds ago are
    left for the next time. Raises `DataError` when there is nothing to caption, a folder can no
    longer be read or the disk is full; every answer so far is kept.
    """
    out, given = Path(out), _spell_out(paths)
    if out.suffix not in WRITERS:
        raise DataError(f"{out.name}: captions are written as {', '.join(WRITERS)}")
    if out.suffix == ".parquet":  # what is missing is said before pictures are captioned
        import_parquet()
    style = {} if wanted.style == UNCONSTRAINED else {"style": wanted.style.as_json()}
    asked = {"best": wanted.best, "gaze": wanted.gaze, **style, **model_of(captioner)}
    known = journal_of(out).exists()  # else the file is not known to be cutline's
    with Journal.open(out, json.dumps(asked, sort_keys=True)) as journal:
        _find_people(journal, out if known else None)  # what cannot be read is told before
        found = _insist(find_pictures(given, recursive=recursive))
        for count in journal.note(found, again=retry_failed, settled=settled):
            yield Listed(count)
        yield Listed(journal.total, journal.done)
        finished = Finished()
        try:
            yield from _answer(captioner, journal, given, wanted)
        finally:
            journal.keep()
            finished = _write(journal, out, wanted.min_confidence, known=known)
        if journal.lost:
            raise DataError(f"{journal.lost}; {_so_far(journal)}")
        yield finished


def watch(
    captioner: Captioner,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    wanted: Wanted = Wanted(),
    *,
    every: float = WATCH_EVERY,
    **options: Any,
) -> Generator[Event]:
    """Caption what is there, then what appears, until somebody stops listening.

    Looks every so many seconds. Folders and patterns may be empty meanwhile.
    """
    given = _spell_out(paths)
    while True:
        began = time.monotonic()
        try:
            yield from caption_library(captioner, given, out, wanted, settled=every, **options)
        except NoPictureError:
            yield Listed(0, 0)
        time.sleep(max(every, 5 * (time.monotonic() - began)))  # large trees less often


def model_of(captioner: Captioner) -> dict[str, Any]:
    """Which model it is: its name, what identifies its weights, and how it looks at pictures."""
    card = captioner.card
    weights = f"{str(card.get('fingerprint', ''))[:16]}-{card.get('precision', 'fp32')}"
    view = captioner.engine.view.as_dict()
    return {"name": str(card.get("title", "")), "fingerprint": weights, "view": view}


def _spell_out(paths: str | Path | Iterable[str | Path]) -> list[str]:
    """One or many, as they are named."""
    return [os.fspath(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def _insist(
    found: Iterator[tuple[str, DataError | None]],
) -> Iterator[tuple[str, DataError | None]]:
    """What was found, and an error where there is no picture at all: a drive that is not there."""
    problems, pictures = [], 0
    for path, problem in found:
        problems += [problem] if problem and not pictures else []
        pictures += problem is None
        yield path, problem
    if not pictures:
        worse = (problem for problem in problems if not isinstance(problem, NoPictureError))
        raise next(worse, problems[0] if problems else NoPictureError("no pictures are named"))


def _answer(
    captioner: Captioner, journal: Journal, roots: list[str], wanted: Wanted
) -> Iterator[Answered]:
    """Caption what has no answer yet."""
    sure = {"threshold": captioner.threshold} if captioner.threshold else {}
    about = {"model": {**model_of(captioner), "cutline": __version__, **sure}}

    def count(path: str, caption: Caption | None, problem: str | None) -> Answered:
        journal.done += 1
        return Answered(path, caption, problem, journal.done, journal.total)

    shown = journal.show(roots)
    for answer in captioner.caption_each(shown, best=wanted.best, style=wanted.style):
        if isinstance(answer, ImageError):
            for path in journal.settle(str(answer)):
                yield count(path, None, f"{answer}")
        else:
            date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            said = {**answer.as_json(gaze=wanted.gaze), **about, "date": date}
            for path in journal.settle(said):
                yield count(path, answer, None)
        for path, problem in journal.settled_unseen():
            yield count(path, None, problem)
    for path, problem in journal.settled_unseen():
        yield count(path, None, problem)


def _so_far(journal: Journal) -> str:
    return (
        f"{journal.done} of {journal.total} pictures have their answer, and the same call goes on"
    )


def _find_people(journal: Journal, out: Path | None) -> dict[bytes, dict[str, Any]]:
    """The rows of the file in which a person has changed the caption."""
    if out is None or not out.exists():
        return {}
    try:
        require_writable(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from None
    return journal.written.find(row.told for row in read_rows(out))


def _write(journal: Journal, out: Path, min_confidence: float, *, known: bool) -> Finished:
    """All that is known so far, in one file, whole or not at all; what people wrote stays."""
    people = _find_people(journal, out if known else None)
    counts = Counter[str]()

    def records() -> Iterator[dict[str, Any]]:
        for line in journal.lines():
            told = people.pop(key_of(line.path), None) or _as_row(line, min_confidence)
            if told:
                yield count(told)
        yield from map(count, people.values())  # of pictures that are not named this time

    def count(told: dict[str, Any]) -> dict[str, Any]:
        what = "failed" if "error" in told else "captioned" if told.get("caption") else "unsure"
        counts[what] += 1
        journal.written.note(told)
        return told

    try:
        with atomic_write(out) as file:
            WRITERS[out.suffix](records(), file)
            journal.keep()  # before the file is there: none of its captions is taken for a person's
    except OSError as error:
        sentence = f"{out} cannot be written: {error.strerror or error}"
        raise DataError(f"{sentence}; answers are kept, and the same call goes on") from None
    journal.written.settle()
    journal.keep()
    return Finished(**counts)


def _as_row(line: Line, min_confidence: float) -> dict[str, Any] | None:
    """What the file says of a picture; None where it was not looked at yet."""
    if line.problem is not None:
        return {"path": line.path, "error": line.problem}
    if not line.answer:
        return None
    return {"path": line.path, **leave_out_unsure(dict(line.answer), min_confidence)}
