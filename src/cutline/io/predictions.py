"""What `cutline caption` wrote, read again: for each picture its caption, why there is none, and
where its file and its references are.

Lines of JSON and tables (CSV, Parquet) need only a `path` and one of `caption`, `left_out` and
`error`: confidence, words, their probabilities, gaze and further candidates are taken where they
are. Of the formats of other captioners that `caption_files` reads, id and caption are taken.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Any

from cutline.errors import DataError, ModelError
from cutline.images.load import View
from cutline.io.references import LONGEST, name_of, read_predictions
from cutline.io.tables import TABLES, read_rows

SHAPE = (
    '{"path": "album/dog.jpg", "caption": "a dog runs", ...}, as `cutline caption --json` writes'
)
LARGEST = 10**9
"""Above any share in thousandths; and JSON of Python's knows infinity."""


@dataclass(frozen=True)
class Word:
    """One word, how likely it was, and where the model looked for it."""

    word: str
    probability: float | None = None
    gaze: tuple[float, ...] = ()
    """The share of each region, row by row; empty where the file does not tell."""


@dataclass(frozen=True)
class Candidate:
    """One sentence that the model found."""

    text: str
    confidence: float | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a file says of one picture."""

    path: str
    caption: Candidate | None
    """None where there is none; `error` or `left_out` then says why."""
    error: str = ""
    left_out: str = ""
    best: tuple[Candidate, ...] = ()
    """All candidates, the first included, where more than one was asked for."""
    confidence: float | None = None
    """Of the caption, also of one that was left out."""
    model: str = ""
    view: View | None = None
    """How the model looked at the picture; None where the file does not tell."""


@dataclass(frozen=True)
class Album:
    """Where the pictures are that a file of captions names."""

    file: Path
    images: Path | None = None
    """The folder that holds them now, if they are not where they were."""

    def find(self, name: str) -> Path:
        """The picture of this name, or of this id as COCO has them.

        It is looked for as named, then beside the file, then in `images`: by as many of its last
        parts as lead there, and by its name without the ending or all but the number at its end.
        Where it is nowhere, the path as it is named comes back.
        """
        places = [Path(name), self.file.parent / name]
        if self.images:
            parts = Path(name).relative_to(Path(name).anchor).parts
            places += [self.images.joinpath(*parts[start:]) for start in range(len(parts))]
            places += [self.images / name_of(name)]
        found = next((path for path in places if _is_file(path)), None)
        return found or self._known.get(name) or Path(name)

    @cached_property
    def _known(self) -> dict[str, Path]:
        if self.images is None:
            return {}
        try:
            pictures = sorted(self.images.iterdir(), reverse=True)  # of equals the first counts
        except OSError as error:
            raise DataError(f"{self.images} is no folder of pictures: {error.strerror}") from None
        return {id: path for path in pictures for id in _ids_of(path.name)}


def read_captions(path: Path) -> list[Prediction]:
    """What a file says of every picture; of several lines of one picture, the last counts.

    Half a line at the end, as a killed process leaves it, is none. Raises `DataError` that names
    the first line that is none, and `CutlineError` for Parquet without pyarrow.
    """
    is_table = path.suffix.lower() in TABLES
    told = _read_table(path) if is_table else _read_text(path)
    found = {each.path: each for each in told}
    if not found:
        raise DataError(f"{path} is empty: a line is {SHAPE}")
    return list(found.values())


def find_references(name: str, references: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What people wrote about a picture; data sets call it by its path, its file name with or
    without what is after the dot, or, as COCO does, by the number that ends it.
    """
    ids = (name, name_of(name), *_ids_of(name_of(name)))
    return next((tuple(references[id]) for id in ids if id in references), ())


def _ids_of(name: str) -> Iterator[str]:
    """What else a file may be called: `COCO_val2014_000000000042`, and `42`."""
    stem = name.rpartition(".")[0] or name
    yield stem
    if number := re.search(r"[0-9]{1,18}$", stem):
        yield str(int(number[0]))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False


# ------------------------------------------------------------------------ files, line by line


def _read_text(path: Path) -> Iterator[Prediction]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None
    *lines, rest = text.split("\n")
    if not _is_ours(next(filter(str.strip, lines), rest)):
        for id, caption in read_predictions(path).items() if text.strip() else ():
            yield Prediction(id, Candidate(caption))
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read_line(line, f"{path}, line {number}")
    if _parse(rest) is not None:
        yield _read_line(rest, f"{path}, line {len(lines) + 1}")


def _is_ours(line: str) -> bool:
    told = _parse(line)
    return isinstance(told, dict) and "path" in told


def _parse(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _read_table(path: Path) -> Iterator[Prediction]:
    return (_read_row(row, where) for where, row in read_rows(path))


def _read_number(cell: str | float | None, where: str) -> float | None:
    try:
        return None if cell is None else float(cell)
    except ValueError:
        raise DataError(f"{where}: the confidence {cell!r} is no number") from None


def _read_row(row: Mapping[str, Any], where: str) -> Prediction:
    told = {name: row.get(name) for name in ("path", "caption")}
    told["confidence"] = _read_number(row.get("confidence"), where)
    _refuse_unless(bool(told["path"]), where, "no path")
    if row.get("error"):
        told["error"] = row["error"]
    elif not told["caption"]:
        told |= {"caption": None, "left_out": "the table has no caption of it"}
    return _read_record(told, where)


# -------------------------------------------------------------------------------- what they say


def _read_line(line: str, where: str) -> Prediction:
    told = _parse(line)
    if told is None:
        raise DataError(f"{where}: broken JSON; a line is {SHAPE}")
    return _read_record(told, where)


def _read_record(told: Any, where: str) -> Prediction:
    if not isinstance(told, dict) or not isinstance(told.get("path"), str):
        raise DataError(f"{where}: no path; a line is {SHAPE}")
    path, model = told["path"], told.get("model")
    if isinstance(told.get("error"), str):
        return Prediction(path, None, told["error"])
    about = _read_model(model if isinstance(model, dict) else {"name": model or ""}, where)
    confidence = _read_share(told.get("confidence"), "confidence", where)
    left_out = told.get("left_out")
    if told.get("caption") is None and isinstance(left_out, str):
        return Prediction(path, None, left_out=left_out, confidence=confidence, **about)
    best = told.get("best", [])
    _refuse_unless(isinstance(best, list), where, "`best` is no list")
    candidates = tuple(_read_candidate(each, where) for each in best)
    caption = _read_candidate(told, where)
    return Prediction(path, caption, best=candidates, confidence=confidence, **about)


def _read_model(told: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Name and view of the model that a line tells of."""
    view = told.get("view")
    try:
        known = View.from_dict(view) if isinstance(view, dict) else None
    except ModelError as error:
        raise DataError(f"{where}: {error}") from None
    return {"model": str(told.get("name", "")), "view": known}


def _read_candidate(told: Any, where: str) -> Candidate:
    text = told.get("caption") if isinstance(told, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{where}: neither a caption nor an error; a line is {SHAPE}")
    _refuse_unless(len(text) <= LONGEST, where, f"a caption of {len(text):,} characters")
    words = told.get("words", [])
    _refuse_unless(isinstance(words, list), where, "`words` is no list")
    confidence = _read_share(told.get("confidence"), "confidence", where)
    return Candidate(text, confidence, tuple(_read_word(word, where) for word in words))


def _read_word(told: Any, where: str) -> Word:
    fine = isinstance(told, dict) and isinstance(told.get("word"), str)
    _refuse_unless(fine, where, f"a word must be {{'word': ...}}, not {str(told)[:40]}")
    gaze = told.get("gaze", [])
    fine = isinstance(gaze, list) and all(_is_amount(share) for share in gaze)
    _refuse_unless(fine, where, f"the gaze of {told['word']!r} must be numbers, none below 0")
    _refuse_unless(
        isqrt(len(gaze)) ** 2 == len(gaze),
        where,
        f"the gaze of {told['word']!r} has {len(gaze)} regions, and they make no square",
    )
    probability = _read_share(told.get("probability"), "probability", where)
    return Word(told["word"], probability, tuple(map(float, gaze)))


def _read_share(value: Any, name: str, where: str) -> float | None:
    if value is None:
        return None
    _refuse_unless(_is_amount(value) and value <= 1, where, f"the {name} {value!r} is no share")
    return float(value)


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < LARGEST


def _refuse_unless(fine: bool, where: str, reason: str) -> None:
    if not fine:
        raise DataError(f"{where}: {reason}")
