"""The page of a file of captions: pictures, words, attention, candidates, scores.

Input: what `cutline caption` wrote, and references if there are any. Output: one HTML file that
opens from disk. `comparison` does the same for two files.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cutline import metrics
from cutline.errors import DataError
from cutline.evaluation.tables import format_scores
from cutline.images.load import View
from cutline.inference.calibration import JUDGE
from cutline.inference.corrections import mark_human_rows
from cutline.inference.journal import journal_path
from cutline.io.predictions import PictureLocator, Prediction, find_references, read_captions
from cutline.metrics import DEFAULT_METRICS, Metric
from cutline.reports.gallery import CaptionLine, Card, Order, write_gallery
from cutline.reports.thumbnails import Progress
from cutline.types import Report

ORDERS = (
    Order("file order"),
    Order("lowest confidence first", "confidence"),
    Order("highest confidence first", "confidence", descending=True),
    Order("file name", "name"),
)
SHOWN = (JUDGE, "BLEU-4")
"""Scores shown under each picture."""


def write_report(
    predictions: str | Path,
    out: str | Path,
    *,
    images: Path | None = None,
    references: Mapping[str, Sequence[str]] | None = None,
    scores: Sequence[str | Metric] = DEFAULT_METRICS,
    view: View | None = None,
) -> Iterator[Progress]:
    """Write the page of a file of captions, yielding its progress.

    Paths in the file are relative to the current folder, its own, or `images`. `references` are
    by image id, and `scores` are the metrics computed from them. `view` is how the model saw its
    pictures (default: as the file says, else whole). Raises `DataError` for a file without captions
    and for references of none of its pictures.
    """
    predictions, out = Path(predictions), Path(out)
    predicted, locator = _read(predictions), PictureLocator(predictions, images)
    expected = {each.path: find_references(each.path, references or {}) for each in predicted}
    report = _score(predicted, expected, scores) if references is not None else None
    per_image = report.per_image if report else {}
    cards = [
        _make_card(
            each,
            locator.find(each.path),
            expected[each.path],
            per_image.get(each.path, {}),
            view or each.model.view or View(),
        )
        for each in predicted
    ]
    score_orders = [
        Order(f"lowest {JUDGE} first", "score"),
        Order(f"highest {JUDGE} first", "score", descending=True),
    ]
    has_scores = any("score" in card.sort_keys for card in cards)
    yield from write_gallery(
        cards,
        out,
        title=f"Captions: {predictions.name}",
        orders=[*ORDERS, *(score_orders if has_scores else ())],
        template="captions.html",
        models=sorted({each.model.name for each in predicted if each.model.name}),
        scores=format_scores(report) if report else "",
        scored=len(per_image),
    )


def _read(path: Path) -> list[Prediction]:
    """The captions of a file; those that a person edited are marked, if its journal can be read."""

    def mark(rows: list[dict[str, Any]]) -> None:
        with suppress(DataError):  # it may be in use
            mark_human_rows(rows, journal_path(path))

    return read_captions(path, mark)


def _score(
    predictions: Sequence[Prediction],
    expected: Mapping[str, Sequence[str]],
    scores: Sequence[str | Metric],
) -> Report:
    texts = {each.path: each.caption.text for each in predictions if each.caption}
    known = {path: references for path, references in expected.items() if references}
    return metrics.score(texts, known, metrics=scores, partial=True)


def _make_card(
    prediction: Prediction,
    picture: Path,
    references: tuple[str, ...],
    scores: Mapping[str, float],
    view: View,
) -> Card:
    confidence = prediction.confidence
    sort_keys = {} if confidence is None else {"confidence": confidence}
    facts = [] if confidence is None else [f"confidence {confidence:.0%}"]
    if JUDGE in scores:
        sort_keys["score"] = scores[JUDGE]
    facts += [f"{name} {100 * scores[name]:.1f}" for name in SHOWN if name in scores]
    whose = ""
    if prediction.human:
        whose = f"the picture's {existing}" if (existing := prediction.existing) else "edited"
    caption = prediction.caption
    return Card(
        picture,
        prediction.path,
        lines=(CaptionLine(caption, whose, view=view),) if caption else (),
        human=prediction.human,
        error=prediction.error,
        left_out=prediction.left_out,
        facts=tuple(facts),
        sort_keys=sort_keys,
        others=prediction.best[1:],
        references=references,
    )
