"""What `cutline caption --json` wrote, read again: a picture a line, with its caption or an error;
and where its picture and its references are.

Only `path` and one of `caption` and `error` must be there: confidence, words, their probabilities,
gaze and further candidates are taken where a line has them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

from cutline.caption_files import LONGEST
from cutline.errors import DataError

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
    """None where the picture could not be read; `error` then says why."""
    error: str = ""
    best: tuple[Candidate, ...] = ()
    """All candidates, the first included, where more than one was asked for."""
    model: str = ""


def read_lines(path: Path) -> list[Prediction]:
    """Every line of a file; `DataError` names the first that is none, and its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None
    numbered = enumerate(text.split("\n"), start=1)
    found = [_read(line, f"{path}, line {number}") for number, line in numbered if line.strip()]
    if not found:
        raise DataError(f"{path} is empty: a line is {SHAPE}")
    return found


def find_picture(name: str, file: Path, images: Path | None = None) -> Path:
    """The picture that a line of `file` names.

    It is looked for as named, then beside the file, then in `images`, there also by its last part.
    Where it is nowhere, the path as it is named comes back.
    """
    last = re.split(r"[/\\]", name)[-1]
    others = [file.parent / name] + ([images / name, images / last] if images else [])
    return next((path for path in (Path(name), *others) if _is_file(path)), Path(name))


def find_references(name: str, references: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """What people wrote about a picture; data sets call it by its path, its file name with or
    without what is after the dot, or, as COCO does, by the number that ends it.
    """
    last = re.split(r"[/\\]", name)[-1]
    stem = last.rpartition(".")[0] or last
    number = re.search(r"\d+$", stem)
    for id in (name, last, stem, str(int(number[0])) if number else stem):
        if id in references:
            return tuple(references[id])
    return ()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero in it
        return False


def _read(line: str, where: str) -> Prediction:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: broken JSON; a line is {SHAPE}") from None
    if not isinstance(told, dict) or not isinstance(told.get("path"), str):
        raise DataError(f"{where}: no path; a line is {SHAPE}")
    model = told.get("model")
    name = str(model.get("name", "")) if isinstance(model, dict) else ""
    if isinstance(told.get("error"), str):
        return Prediction(told["path"], None, told["error"], model=name)
    best = told.get("best", [])
    _refuse_unless(isinstance(best, list), where, "`best` is no list")
    candidates = tuple(_read_candidate(each, where) for each in best)
    return Prediction(told["path"], _read_candidate(told, where), best=candidates, model=name)


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
        raise DataError(f"{where}: {reason}; a line is {SHAPE}")
