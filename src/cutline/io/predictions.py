"""Reads what `cutline caption` writes: for each picture, its caption or why it has none.

Rows of JSON lines or of a table (CSV, Parquet) need only a `path` and one of `caption`, `left_out`
and `error`. Confidence, words, their probabilities, attention, candidates and the model are read
where they are. From the formats of other captioners (`references`) come id and caption.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import isqrt
from pathlib import Path
from typing import Any

from cutline.errors import DataError, ModelError
from cutline.images.load import View, WholeView
from cutline.io.references import LONGEST, name_of, read_predictions
from cutline.io.tables import TABLES, read_rows

EXISTING = "existing"
"""The column that says where in a picture or its sidecar a text was found."""
BY, HUMAN = "by", "human"
"""A row that a person wrote or changed has `"by": "human"`."""
SHAPE = (
    '{"path": "album/dog.jpg", "caption": "a dog runs", ...}, as `cutline caption --json` writes'
)
_MARKED_AT_ONCE = 20_000
_MAX_AMOUNT = 10**9
"""Attention is in thousandths; Python's JSON reader accepts `Infinity`."""


@dataclass(frozen=True)
class Word:
    """One word, its probability, and where the model looked for it."""

    word: str
    probability: float | None = None
    gaze: tuple[float, ...] = ()
    """Attention to each region, row by row; empty if the file has none."""


@dataclass(frozen=True)
class Candidate:
    """One sentence that the search found."""

    text: str
    confidence: float | None = None
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Model:
    """What a row says about the model that wrote it."""

    name: str = ""
    fingerprint: str = ""
    version: str = ""
    """The version of cutline that ran it."""
    threshold: float = 0.0
    """Captions below this confidence are left out unless the user says otherwise."""
    view: View | None = None
    """How the model looked at the picture; None if the file does not say."""


@dataclass(frozen=True)
class Prediction:
    """What a file says about one picture."""

    path: str
    caption: Candidate | None
    """None if there is no caption; `error` or `left_out` then says why."""
    error: str = ""
    left_out: str = ""
    best: tuple[Candidate, ...] = ()
    """All candidates, the first included, if more than one was asked for."""
    confidence: float | None = None
    """Confidence of the caption, even if it was left out."""
    model: Model = Model()
    date: str = ""
    existing: str = ""
    """The field in which the picture had this text already: `IPTC caption`."""
    human: bool = False
    """Whether a person wrote, changed or removed the caption, or it was in the picture already."""

    @property
    def text(self) -> str:
        """The caption; empty if there is none."""
        return self.caption.text if self.caption else ""

    @classmethod
    def from_row(cls, row: Any, where: str = "") -> "Prediction":
        """Parse one row. The message of a `DataError` begins with `where`, its file and line."""
        try:
            return _read_row(row)
        except (DataError, ModelError) as error:
            raise DataError(f"{where}: {error}" if where else str(error)) from None


@dataclass(frozen=True)
class PictureLocator:
    """Finds the pictures that a file of captions names."""

    file: Path
    images: Path | None = None
    """The folder that holds them now, if they have moved."""

    def find(self, name: str) -> Path:
        """The picture with this path, file name or COCO id.

        Looks at the path itself, then from the folder of the file, then in `images`: for as many of
        the last parts of the path as exist there, then for the name without its suffix, and for the
        number at its end. Returns the path as given if there is no such picture.
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
            pictures = sorted(self.images.iterdir(), reverse=True)  # of equal ids the first counts
        except OSError as error:
            raise DataError(f"{self.images} cannot be read: {error.strerror}") from None
        return {id: path for path in pictures for id in _ids_of(path.name)}


def read_captions(
    path: Path, mark: Callable[[list[dict[str, Any]]], None] = lambda rows: None
) -> list[Prediction]:
    """What a file says about every picture; the last row of a picture counts.

    `mark` may mark rows that a person changed: `inference.corrections.mark_human_rows`.
    A torn last line, as a killed process leaves it, is ignored. Raises `DataError` that names the
    first row that cannot be read, and `CutlineError` for Parquet without pyarrow.
    """
    if _has_our_rows(path):
        rows, found = read_rows(path), dict[str, Prediction]()
        while some := [(where, dict(row)) for where, row in islice(rows, _MARKED_AT_ONCE)]:
            mark([row for _, row in some])
            read = (Prediction.from_row(row, where) for where, row in some)
            found |= {each.path: each for each in read}
    else:
        others = read_predictions(path)
        found = {id: Prediction(id, Candidate(caption)) for id, caption in others.items()}
    if not found:
        raise DataError(f"{path} is empty: a line is {SHAPE}")
    return list(found.values())


def find_references(name: str, references: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The references of a picture, by its path, its file name with or without suffix, or the number
    that ends it (a COCO id).
    """
    ids = (name, name_of(name), *_ids_of(name_of(name)))
    return next((tuple(references[id]) for id in ids if id in references), ())


def _ids_of(name: str) -> Iterator[str]:
    """Other ids of a file: `COCO_val2014_000000000042`, and `42`."""
    stem = name.rpartition(".")[0] or name
    yield stem
    if number := re.search(r"[0-9]{1,18}$", stem):
        yield str(int(number[0]))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or contains a null character
        return False


def _has_our_rows(path: Path) -> bool:
    """Whether a file is a table, is empty, or its first line is an object with a path."""
    if path.suffix.lower() in TABLES:
        return True
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            first = next(filter(str.strip, file), "")
    except (OSError, UnicodeDecodeError):  # `read_rows` explains
        return True
    try:
        row = json.loads(first) if first else {"path": ""}
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "path" in row


# ---------------------------------------------------------------------------------------- rows


def _read_row(row: Any) -> Prediction:
    path = row.get("path") if isinstance(row, dict) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise DataError(f"no path; a line is {SHAPE}")
    text, error, left_out = row.get("caption"), row.get("error"), row.get("left_out")
    human = row.get(BY) == HUMAN or EXISTING in row
    if not text and human:
        return Prediction(path, None, left_out="a person removed it", human=True)
    if human:  # what the row may say of the model's words is about another text
        existing = row.get(EXISTING)
        field = str(existing.get("field") or "") if isinstance(existing, dict) else ""
        return Prediction(path, _read_candidate({"caption": text}), existing=field, human=True)
    if not text and error:
        return Prediction(path, None, str(error))
    confidence = _read_share(row.get("confidence"), "confidence")
    about: dict[str, Any] = {
        "confidence": confidence,
        "model": _read_model(row.get("model")),
        "date": str(row.get("date") or ""),
    }
    if text is None and isinstance(left_out, str):
        return Prediction(path, None, left_out=left_out, **about)
    best = row.get("best", [])
    _require(isinstance(best, list), "`best` is not a list")
    candidates = tuple(map(_read_candidate, best))
    return Prediction(path, _read_candidate(row), best=candidates, **about)


def _read_model(model: Any) -> Model:
    if not isinstance(model, dict):
        return Model(str(model or ""))
    view = model.get("view")
    return Model(
        name=str(model.get("name") or ""),
        fingerprint=str(model.get("fingerprint") or ""),
        version=str(model.get("cutline") or ""),
        threshold=_read_share(model.get("threshold"), "threshold") or 0.0,
        view=_read_view(view) if isinstance(view, dict) else None,
    )


def _read_view(view: dict[str, Any]) -> View:
    is_whole = view.get("fit") == WholeView().fit
    return WholeView(view.get("size", 0)) if is_whole else View.from_dict(view)


def _read_candidate(row: Any) -> Candidate:
    text = row.get("caption") if isinstance(row, dict) else None
    if not isinstance(text, str):
        raise DataError(f"neither a caption nor an error; a line is {SHAPE}")
    _require(len(text) <= LONGEST, f"a caption of {len(text):,} characters")
    words = row.get("words", [])
    _require(isinstance(words, list), "`words` is not a list")
    confidence = _read_share(row.get("confidence"), "confidence")
    return Candidate(text, confidence, tuple(map(_read_word, words)))


def _read_word(row: Any) -> Word:
    is_word = isinstance(row, dict) and isinstance(row.get("word"), str)
    _require(is_word, f"a word must be {{'word': ...}}, not {str(row)[:40]}")
    word, gaze = row["word"], row.get("gaze", [])
    are_amounts = isinstance(gaze, list) and all(map(_is_amount, gaze))
    _require(are_amounts, f"the gaze of {word!r} must be numbers, none below 0")
    _require(
        isqrt(len(gaze)) ** 2 == len(gaze),
        f"the gaze of {word!r} has {len(gaze)} regions, which is not a square number",
    )
    probability = _read_share(row.get("probability"), "probability")
    return Word(word, probability, tuple(map(float, gaze)))


def _read_share(value: Any, name: str) -> float | None:
    """A number from 0 to 1; in a CSV file it is text."""
    if value is None:
        return None
    share: Any = None
    with suppress(ValueError):
        share = float(value) if isinstance(value, str) else value
    is_share = _is_amount(share) and share <= 1
    _require(is_share, f"the {name} must be from 0 to 1, not {value!r:.40}")
    return float(share)


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX_AMOUNT


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(message)
