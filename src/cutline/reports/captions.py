"""A file of captions becomes a page: every picture with its caption, words, gaze and candidates.

Enters: what `cutline caption` wrote, and what people wrote about the same pictures if that
is at hand. Leaves: one HTML file that opens from disk. Two files side by side: `comparison`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cutline import metrics
from cutline.evaluation.tables import tell_scores
from cutline.images.load import View
from cutline.io.predictions import PictureLocator, Prediction, find_references, read_captions
from cutline.metrics import DEFAULT_METRICS, Metric
from cutline.reports.gallery import JUDGE, Card, Drawn, Line, Order, write_gallery
from cutline.types import Report

ORDERS = (
    Order("order of the file"),
    Order("least sure first", "confidence"),
    Order("surest first", "confidence", falling=True),
    Order("file name", "name"),
)
SHOWN = (JUDGE, "BLEU-4")
"""Scores that stand under each picture."""


def write_report(
    predictions: str | Path,
    out: str | Path,
    *,
    images: Path | None = None,
    references: Mapping[str, Sequence[str]] | None = None,
    scores: Sequence[str | Metric] = DEFAULT_METRICS,
    view: View | None = None,
) -> Iterator[Drawn]:
    """Write the page of a file of captions; what is drawn is told on the way.

    Pictures are where the file says, or so from its folder, or in `images`; `references` are by
    image id, and `scores` what to measure by them; `view` is how the model saw its pictures
    (default: as the file tells, else whole). Raises `DataError` for a file that holds no captions,
    or references of none of its pictures.
    """
    predictions, out = Path(predictions), Path(out)
    told, album = read_captions(predictions), PictureLocator(predictions, images)
    expected = {each.path: find_references(each.path, references or {}) for each in told}
    report = _score(told, expected, scores) if references is not None else None
    per_image = report.per_image if report else {}
    cards = [
        _draw_card(
            each,
            album.find(each.path),
            expected[each.path],
            per_image.get(each.path, {}),
            view or each.model.view or View(),
        )
        for each in told
    ]
    scored = [
        Order(f"lowest {JUDGE} first", "score"),
        Order(f"highest {JUDGE} first", "score", True),
    ]
    some = any("score" in card.numbers for card in cards)
    yield from write_gallery(
        cards,
        out,
        title=f"Captions: {predictions.name}",
        orders=[*ORDERS, *(scored if some else ())],
        template="captions.html",
        models=sorted({each.model.name for each in told if each.model.name}),
        scores=tell_scores(report) if report else "",
        scored=len(per_image),
    )


def _score(
    told: Sequence[Prediction],
    expected: Mapping[str, Sequence[str]],
    scores: Sequence[str | Metric],
) -> Report:
    predicted = {each.path: each.caption.text for each in told if each.caption}
    known = {path: texts for path, texts in expected.items() if texts}
    return metrics.score(predicted, known, metrics=scores, partial=True)


def _draw_card(
    told: Prediction,
    picture: Path,
    references: tuple[str, ...],
    scores: Mapping[str, float],
    view: View,
) -> Card:
    sure = told.confidence
    numbers = {} if sure is None else {"confidence": sure}
    facts = [] if sure is None else [f"confidence {sure:.0%}"]
    if JUDGE in scores:
        numbers["score"] = scores[JUDGE]
    facts += [f"{name} {100 * scores[name]:.1f}" for name in SHOWN if name in scores]
    return Card(
        picture,
        told.path,
        lines=(Line(told.caption, view=view),) if told.caption else (),
        error=told.error,
        left_out=told.left_out,
        facts=tuple(facts),
        numbers=numbers,
        others=told.best[1:],
        references=references,
    )
