"""A person's review of a file of captions: each one is accepted, edited or rejected.

Every verdict is saved at once in the file itself, under `review` of the picture's line. An edited
or rejected caption is the person's from then on (`"by": "human"`), and the model's is kept in
`review`. Later runs of `cutline caption` keep all of these lines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from cutline.errors import DataError, plural
from cutline.inference.corrections import REVIEW, as_human_row
from cutline.io.atomic import atomic_write
from cutline.io.jsonl import format_jsonl
from cutline.io.tables import read_rows
from cutline.metrics.error_bound import CONFIDENCE, stratified_sample, upper_bound

ACCEPTED, EDITED, REJECTED = VERDICTS = ("accepted", "edited", "rejected")
LONGEST = 2_000
"""Characters of a caption."""


@dataclass(frozen=True)
class Progress:
    """What has been reviewed, and what follows from the sample."""

    captions: int
    verdicts: Mapping[str, int]
    sample: int
    sample_reviewed: int
    sample_wrong: int

    @property
    def sentence(self) -> str:
        """The bound in words, or how to get one."""
        if not self.sample_reviewed:
            return f"Review the sample of {self.sample:,} to learn how many captions are wrong."
        bound = upper_bound(self.sample_wrong, self.sample_reviewed)
        return (
            f"Of {plural(self.captions, 'caption')} at most {bound:.0%} were wrong as the model "
            f"wrote them ({CONFIDENCE:.0%} sure, from {self.sample_reviewed:,} of the sample "
            "reviewed)."
        )


class Review:
    """The captions of a JSON Lines file and the verdicts on them; safe to use from threads."""

    def __init__(self, path: Path, *, sample: int = 100) -> None:
        """Read the file. Raises `DataError` if it is not one of `cutline caption --out`."""
        if path.suffix != ".jsonl":
            raise DataError(f"{path}: only .jsonl files of `cutline caption --out` can be reviewed")
        self.path, self._lock = path, RLock()
        self._read()
        if not self.items:
            raise DataError(f"{path} has no captions to review")
        drawn = stratified_sample([_confidence_of(row) for row in self._captioned()], sample)
        self.sample = [self.items[index] for index in drawn]

    def _read(self) -> None:
        self._rows = [dict(row.fields) for row in read_rows(self.path)]
        self._lines = [_encode(row) for row in self._rows]  # a verdict changes one of 100,000
        self.items = [
            index
            for index, row in enumerate(self._rows)
            if row.get("path") and (row.get("caption") or REVIEW in row)
        ]
        """Indices of the rows that have a caption, or had one."""
        self._status = self._stamp()

    def _captioned(self) -> list[dict[str, Any]]:
        return [self._rows[index] for index in self.items]

    def _stamp(self) -> tuple[int, int, int]:
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def row(self, item: int) -> dict[str, Any]:
        """The line of an item. Raises `DataError` if there is no such item."""
        with self._lock:
            if item not in self.items:
                raise DataError(f"there is no caption {item}")
            return self._rows[item]

    def describe(self, items: Iterable[int]) -> list[dict[str, Any]]:
        """What the page shows of items."""
        return [_describe(item, self.row(item)) for item in items]

    def queue(self, name: str) -> list[int]:
        """Items to review: `sample`, `unreviewed` with the least confident first, or `all`."""
        with self._lock:
            if name == "sample":
                return list(self.sample)
            if name == "all":
                return list(self.items)
            waiting = (item for item in self.items if REVIEW not in self._rows[item])
            return sorted(waiting, key=lambda item: _confidence_of(self._rows[item]))

    def decide(self, item: int, verdict: str | None, caption: str = "") -> dict[str, Any]:
        """Save a verdict, or with None take it back; what the page shows of the item now.

        Raises `DataError` for an unknown verdict, an empty or too long caption, and if the file
        cannot be written.
        """
        caption = " ".join(caption.split())
        if verdict not in (*VERDICTS, None):
            raise DataError(f"there is no verdict {verdict!r}: use {', '.join(VERDICTS)}")
        if verdict == EDITED and not 0 < len(caption) <= LONGEST:
            raise DataError(f"an edited caption must have 1 to {LONGEST:,} characters")
        with self._lock:
            path = self.row(item)["path"]
            if self._stamp() != self._status:
                self._read()  # another program has written the file
                item = next((n for n in self.items if self._rows[n]["path"] == path), -1)
            before = self.row(item)
            self._set(item, _with_verdict(before, verdict, caption))
            try:
                self._save()
            except OSError as error:
                self._set(item, before)
                raise DataError(f"{self.path} cannot be written: {error.strerror}") from None
            return _describe(item, self._rows[item])

    def _set(self, item: int, row: dict[str, Any]) -> None:
        self._rows[item], self._lines[item] = row, _encode(row)

    def _save(self) -> None:
        with atomic_write(self.path, clean_up=False) as file:
            file.writelines(self._lines)
        self._status = self._stamp()

    def progress(self) -> Progress:
        """Counts over the library and over the sample."""
        with self._lock:
            verdicts = Counter(_verdict_of(row) for row in self._captioned())
            sample = [_verdict_of(self._rows[item]) for item in self.sample]
        reviewed = [verdict for verdict in sample if verdict]
        return Progress(
            captions=len(self.items),
            verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
            sample=len(sample),
            sample_reviewed=len(reviewed),
            sample_wrong=sum(verdict != ACCEPTED for verdict in reviewed),
        )

    def map(self) -> str:
        """A letter for each item in the order of the file: a, e, r, or a dot."""
        with self._lock:
            return "".join((_verdict_of(row) or ".")[0] for row in self._captioned())


def _encode(row: Mapping[str, Any]) -> bytes:
    return "".join(format_jsonl([row])).encode()


def _verdict_of(row: Mapping[str, Any]) -> str | None:
    review = row.get(REVIEW)
    verdict = review.get("verdict") if isinstance(review, Mapping) else None
    return verdict if verdict in VERDICTS else None


def _model_says(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row as the model wrote them."""
    review = row.get(REVIEW)
    kept = review.get("model_line") if isinstance(review, Mapping) else None
    if isinstance(kept, Mapping):
        return dict(kept)
    return {name: value for name, value in row.items() if name != REVIEW}


def _confidence_of(row: Mapping[str, Any]) -> float:
    confidence = _model_says(row).get("confidence")
    return float(confidence) if isinstance(confidence, int | float) else 0.0


def _with_verdict(row: Mapping[str, Any], verdict: str | None, caption: str) -> dict[str, Any]:
    """A row with a verdict in place of the one it has."""
    written = _model_says(row)
    if verdict is None:
        return written
    if verdict == ACCEPTED:
        return written | {REVIEW: {"verdict": ACCEPTED}}
    changed = as_human_row(written) | {"caption": caption if verdict == EDITED else ""}
    return changed | {REVIEW: {"verdict": verdict, "model_line": written}}


def _describe(item: int, row: Mapping[str, Any]) -> dict[str, Any]:
    written = _model_says(row)
    return {
        "item": item,
        "name": str(row["path"]),
        "caption": str(row.get("caption") or ""),
        "model_caption": str(written.get("caption") or ""),
        "confidence": written.get("confidence"),
        "verdict": _verdict_of(row),
    }
