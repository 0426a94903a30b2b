"""Caption whole libraries of pictures, resumably, into one output file.

The output is a file of captions (`.jsonl`, `.csv`, `.parquet`) with a row for each picture, or
COCO results (`coco_results`). What is known about each picture is in a journal beside it, so that
the same call resumes after Ctrl-C, `kill -9`, a full disk or an unplugged card.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cutline.errors import DataError, ImageError, NoPictureError, plural
from cutline.images.find import find_pictures
from cutline.images.formats import describe_skipped
from cutline.inference.captioner import Captioner
from cutline.inference.corrections import path_key
from cutline.inference.journal import CaptionJournal, JournalRow, journal_path
from cutline.inference.parts import Part
from cutline.io.atomic import atomic_write, require_writable
from cutline.io.predictions import EXISTING
from cutline.io.tables import WRITERS, import_parquet, read_rows
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Caption, ExistingText, leave_out_unsure
from cutline.version import __version__

WATCH_EVERY = 2.0
"""Seconds between two scans of watched folders; a file that changed since may be incomplete."""

Found = Iterable[tuple[str, DataError | None]]
"""Paths of pictures, in order, and what is wrong with a path."""


@dataclass(frozen=True)
class CaptionOptions:
    """How each picture is captioned."""

    best: int = 1
    """Number of candidates."""
    gaze: bool = False
    """Whether to store where the model looked for each word."""
    min_confidence: float = 0.0
    """Captions below this confidence are dropped and reported."""
    style: Style = UNCONSTRAINED


@dataclass(frozen=True, slots=True)
class Scanned:
    """Progress of the scan: number of pictures found; at its end, also how many have an answer."""

    found: int
    known: int | None = None
    skipped: str = ""
    """At the end of the scan: how many pictures have a format that cannot be read here."""


@dataclass(frozen=True, slots=True)
class PictureDone:
    """One more picture has an answer."""

    path: str
    caption: Caption | None
    """None if there is none, or if an equal picture already had it."""
    problem: str | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The output is written: numbers of pictures with a caption, without, and unreadable.

    `existing` of the captions are texts that the pictures had already.
    """

    captioned: int = 0
    unsure: int = 0
    failed: int = 0
    existing: int = 0


Event = Scanned | PictureDone | Finished


@runtime_checkable
class Output(Protocol):
    """A file that captions are written to."""

    path: Path

    def prepare(self, journal: CaptionJournal) -> None:
        """Raise `DataError` for an existing file that could not be replaced."""

    def write(self, journal: CaptionJournal, *, complete: bool) -> Finished:
        """Write what the journal knows; `complete` unless captioning was stopped early."""


def caption_library(
    captioner: Captioner,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    options: CaptionOptions = CaptionOptions(),
    *,
    recursive: bool = False,
    retry_failed: bool = False,
    settled: float = 0.0,
    part: Part | None = None,
    existing: Callable[[Path], ExistingText | None] | None = None,
) -> Generator[Event]:
    """Caption pictures into a `.jsonl`, `.csv` or `.parquet` file; the same call resumes.

    The file is written at the end, and when the caller stops iterating. A picture is captioned
    again only if it, the model or the options have changed; identical pictures are captioned once.
    A caption that a person changed in the file is kept. Damaged pictures have a row with the reason
    and are tried again with `retry_failed`; those that could not be read are tried every time, and
    the captions in a folder that cannot be listed stay. Files that changed less than `settled`
    seconds ago wait for the next call. Of the pictures, only those of `part` are captioned.
    `existing` finds a text that a picture has already (`cutline.metadata.find_text`), which is
    taken instead of a caption.

    Raises `DataError` if there is nothing to caption, if a folder can no longer be read, or if the
    output cannot be written; all answers so far are kept.
    """
    output, roots = _CaptionFile(Path(out), options.min_confidence), _as_strings(paths)
    skipped = Counter[str]()
    found = _require_pictures(find_pictures(roots, recursive=recursive, skipped=skipped))
    found = part.select(found, roots) if part else found
    if existing:
        found = output.set_aside(found, existing)
    for event in caption_into(
        output, captioner, found, roots, options, retry_failed=retry_failed, settled=settled
    ):
        if isinstance(event, Scanned) and event.known is not None:
            event = replace(event, skipped=describe_skipped(skipped))
        yield event


def caption_into(
    output: Output,
    captioner: Captioner,
    found: Found,
    roots: Iterable[str],
    options: CaptionOptions,
    *,
    retry_failed: bool = False,
    settled: float = 0.0,
) -> Generator[Event]:
    """Caption what was `found` below the folders `roots` into any output."""
    with CaptionJournal.open(output.path, _request(captioner, options)) as journal:
        output.prepare(journal)
        for count in journal.register(found, again=retry_failed, settled=settled):
            yield Scanned(count)
        yield Scanned(journal.total, journal.done)
        complete, finished = False, Finished()
        try:
            yield from _caption_pending(captioner, journal, roots, options)
            complete = not journal.lost_folder
        finally:
            journal.commit()
            finished = output.write(journal, complete=complete)
        if journal.lost_folder:
            answered = f"{journal.done} of {plural(journal.total, 'picture')} answered"
            raise DataError(f"{journal.lost_folder}; {answered}; the same call resumes")
    yield finished  # with the journal closed, so that the caller may use the file


def watch(
    captioner: Captioner,
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    options: CaptionOptions = CaptionOptions(),
    *,
    every: float = WATCH_EVERY,
    **more: Any,
) -> Generator[Event]:
    """Caption what is there, then what appears, until the caller stops iterating.

    Scans every `every` seconds. Folders and patterns may match nothing yet.
    """
    roots = _as_strings(paths)
    while True:
        began = time.monotonic()
        try:
            yield from caption_library(captioner, roots, out, options, settled=every, **more)
        except NoPictureError:
            yield Scanned(0, 0)
        time.sleep(max(every, 5 * (time.monotonic() - began)))  # large trees less often


def describe_model(captioner: Captioner) -> dict[str, Any]:
    """Name, fingerprint of the weights, and view of a model, as each row of a file has them."""
    card = captioner.card
    weights = f"{str(card.get('fingerprint', ''))[:16]}-{card.get('precision', 'fp32')}"
    view = captioner.engine.view.as_dict()
    return {"name": str(card.get("title", "")), "fingerprint": weights, "view": view}


def _request(captioner: Captioner, options: CaptionOptions) -> str:
    """What answers depend on besides the picture: the key of an answer in the journal."""
    free = options.style == UNCONSTRAINED
    style = {} if free else {"style": options.style.as_json()}
    request = {"best": options.best, "gaze": options.gaze, **style, **describe_model(captioner)}
    return json.dumps(request, sort_keys=True)


def _as_strings(paths: str | Path | Iterable[str | Path]) -> list[str]:
    return [os.fspath(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def _require_pictures(found: Found) -> Iterator[tuple[str, DataError | None]]:
    """What was found; raises the most telling problem if there is no picture at all."""
    problems, pictures = [], 0
    for path, problem in found:
        problems += [problem] if problem and not pictures else []
        pictures += problem is None
        yield path, problem
    if not pictures:
        worse = (problem for problem in problems if not isinstance(problem, NoPictureError))
        raise next(worse, problems[0] if problems else NoPictureError("no pictures are named"))


def _caption_pending(
    captioner: Captioner, journal: CaptionJournal, roots: Iterable[str], options: CaptionOptions
) -> Iterator[PictureDone]:
    threshold = {"threshold": captioner.threshold} if captioner.threshold else {}
    about = {"model": {**describe_model(captioner), "cutline": __version__, **threshold}}

    def done(path: str, caption: Caption | None, problem: str | None) -> PictureDone:
        journal.done += 1
        return PictureDone(path, caption, problem, journal.done, journal.total)

    pending = journal.pending(roots)
    for answer in captioner.caption_each(pending, best=options.best, style=options.style):
        if isinstance(answer, ImageError):
            passing = answer.kind == "unanswered"
            for path in journal.store_answer(str(answer), passing=passing):
                yield done(path, None, f"{path}: {answer}" if passing else str(answer))
        else:
            date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            row = {**answer.as_json(gaze=options.gaze), **about, "date": date}
            for path in journal.store_answer(row):
                yield done(path, answer, None)
        for path, problem in journal.resolved_without_model():
            yield done(path, None, problem)
    for path, problem in journal.resolved_without_model():
        yield done(path, None, problem)


class _CaptionFile:
    """A row for each picture; the rows that a person changed are kept."""

    def __init__(self, path: Path, min_confidence: float) -> None:
        if path.suffix not in WRITERS:
            raise DataError(f"{path.name}: captions are written as {', '.join(WRITERS)}")
        if path.suffix == ".parquet":  # say that pyarrow is missing before captioning
            import_parquet()
        self.path, self._min_confidence = path, min_confidence
        self._existing: dict[bytes, dict[str, Any]] = {}
        # without a journal, the file is not known to be cutline's
        self._is_ours = journal_path(path).exists()

    def set_aside(
        self, found: Found, existing: Callable[[Path], ExistingText | None]
    ) -> Iterator[tuple[str, DataError | None]]:
        """The pictures without a text of their own; the rows of the others are kept."""
        for path, problem in found:
            if problem is None and (text := existing(Path(path))):
                self._existing[path_key(path)] = {"path": path, **text.as_json()}
            else:
                yield path, problem

    def prepare(self, journal: CaptionJournal) -> None:
        """Raise `DataError` for an existing file that cannot be read or replaced."""
        self._find_changed(journal)

    def write(self, journal: CaptionJournal, *, complete: bool) -> Finished:
        """Write all that is known so far, atomically."""
        changed = self._find_changed(journal)
        counts = Counter[str]()

        def rows() -> Iterator[dict[str, Any]]:
            for each in journal.rows():
                row = changed.pop(path_key(each.path), None) or self._as_row(each)
                if row:
                    yield count(row)
            for key, row in self._existing.items():
                yield count(changed.pop(key, row))
            yield from map(count, changed.values())  # of pictures that are not named this time

        def count(row: dict[str, Any]) -> dict[str, Any]:
            kind = "failed" if "error" in row else "captioned" if row.get("caption") else "unsure"
            counts[kind] += 1
            counts["existing"] += EXISTING in row
            journal.written.record(row)
            return row

        try:
            with atomic_write(self.path) as file:
                WRITERS[self.path.suffix](rows(), file)
                journal.commit()  # first, so that no row of the file is taken for a person's
        except OSError as error:
            why = f"{self.path} cannot be written: {error.strerror or error}"
            raise DataError(f"{why}; answers are kept, and the same call resumes") from None
        journal.written.forget_earlier()
        journal.commit()
        return Finished(**counts)

    def _find_changed(self, journal: CaptionJournal) -> dict[bytes, dict[str, Any]]:
        """The rows of the file that a person changed."""
        if not (self._is_ours and self.path.exists()):
            return {}
        try:
            require_writable(self.path)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror}") from None
        return journal.written.find_changed(row for _, row in read_rows(self.path))

    def _as_row(self, each: JournalRow) -> dict[str, Any] | None:
        """The row of a picture; None before it has an answer."""
        if each.problem is not None:
            return {"path": each.path, "error": each.problem}
        if not each.answer:
            return None
        return {"path": each.path, **leave_out_unsure(dict(each.answer), self._min_confidence)}
