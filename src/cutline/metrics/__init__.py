"""Captions and references to scores, as the COCO caption evaluation does it (Chen et al. 2015).

Predictions and references enter as people write them; a `Report` leaves, for the set and for each
image, signed with what was measured and how. A new metric is a file and a line in `METRICS`.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

from cutline.errors import DataError, RecipeError, nearest
from cutline.metrics.diversity import Diversity, count_distinct
from cutline.metrics.ngrams import Floats, Words
from cutline.metrics.significance import Difference, bootstrap_intervals, compare_paired
from cutline.text.tokenizer import split_words
from cutline.types import Report
from cutline.version import __version__

__all__ = ["METRICS", "Metric", "compare", "measure", "open_metric", "score"]

METRICS = {
    "BLEU": "cutline.metrics.bleu:Bleu",
    "METEOR": "cutline.metrics.meteor:Meteor",
    "ROUGE-L": "cutline.metrics.rouge:RougeL",
    "CIDEr-D": "cutline.metrics.cider:CiderD",
    "CIDEr": "cutline.metrics.cider:Cider",
    "SPICE": "cutline.metrics.spice:Spice",
    "diversity": "cutline.metrics.diversity:Diversity",
}
DEFAULT_METRICS = ("BLEU", "ROUGE-L", "CIDEr-D")
"""What is measured unless somebody asks: quick, and with nothing to install."""
TOKENIZER = "ptb"


@runtime_checkable
class Metric(Protocol):
    """Statistics of single images, and the score of their sum."""

    @property
    def names(self) -> tuple[str, ...]:
        """What `score` returns, in this order."""

    @property
    def settings(self) -> Mapping[str, str]:
        """What the numbers depend on, for the signature."""

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row an image; there is an image at least, and each has a reference at least."""

    def score(self, sums: Floats) -> Floats:
        """Rows of statistics, or sums of rows, to one value a name."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one metric counted in each image."""

    metric: Metric
    rows: Floats
    """(images, columns): statistics that add up."""
    signature: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """Counts of several metrics for the same images: scores, intervals and tests start here."""

    ids: tuple[str, ...]
    measured: tuple[Measured, ...]
    counts: Mapping[str, float]
    """Of the captions as a set: `count_distinct`, where diversity was asked for."""

    def report(self, *, draws: int = 0, seed: int = 0) -> Report:
        """Scores; with `draws` of the bootstrap also their 95 % intervals."""
        scores: dict[str, float] = {}
        intervals: dict[str, tuple[float, float]] = {}
        per_image: dict[str, dict[str, float]] = {id: {} for id in self.ids}
        for each in self.measured:
            names, score = each.metric.names, each.metric.score
            scores |= zip(names, score(each.rows.sum(axis=0)).tolist(), strict=True)
            for own, row in zip(per_image.values(), score(each.rows).tolist(), strict=True):
                own |= zip(names, row, strict=True)
            if draws:
                found = bootstrap_intervals(score, each.rows, draws=draws, seed=seed)
                intervals |= zip(names, map(tuple, found.tolist()), strict=True)
        signatures = tuple(each.signature for each in self.measured)
        return Report(scores, per_image, signatures, intervals, self.counts)


def open_metric(metric: str | Metric) -> Metric:
    """The metric of that name in `METRICS`, or `RecipeError`; one that is open already stays."""
    if not isinstance(metric, str):
        return metric
    if metric not in METRICS:
        raise RecipeError(f"there is no metric {metric!r}{nearest(metric, METRICS)}")
    module, _, part = METRICS[metric].partition(":")
    opened: Metric = getattr(import_module(module), part)()
    return opened


def score(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
    partial: bool = False,
    draws: int = 0,
) -> Report:
    """Scores captions against references, as fractions, over the set and for each image.

    `draws` of the bootstrap give 95 % intervals. Raises `DataError` when ids do not match
    (`partial` scores those that do) or an image has no reference, `RecipeError` for an unknown
    metric. Warns when one image makes CIDEr meaningless.
    """
    measurement = measure(predictions, references, metrics=metrics, partial=partial)
    return measurement.report(draws=draws)


def measure(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
    partial: bool = False,
) -> Measurement:
    """What each metric counts in each image; errors are those of `score`."""
    opened = [open_metric(metric) for metric in metrics]
    pairs = pair(predictions, references, partial=partial)
    _check(pairs, opened)
    predicted = [split_words(caption) for caption, _ in pairs.values()]
    expected = [[split_words(text) for text in texts] for _, texts in pairs.values()]
    measured = []
    for metric in opened:
        rows = metric.statistics(predicted, expected)
        measured.append(Measured(metric, rows, _sign(metric, expected, len(references))))
    diverse = any(isinstance(metric, Diversity) for metric in opened)
    counts = count_distinct(predicted) if diverse else {}
    return Measurement(tuple(pairs), tuple(measured), counts)


def compare(
    one: Measurement, other: Measurement, *, draws: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """By how much the second scores higher, with an interval and a p-value, for each score.

    Raises `DataError` unless both measured the same images.
    """
    places = {id: place for place, id in enumerate(other.ids)}
    if places.keys() != set(one.ids):
        raise DataError("the two captioners were measured on different images")
    order = [places[id] for id in one.ids]
    differences: dict[str, Difference] = {}
    for mine, theirs in zip(one.measured, other.measured, strict=True):
        rows, others = mine.rows, theirs.rows[order]
        found = compare_paired(mine.metric.score, rows, others, draws=draws, seed=seed)
        differences |= zip(mine.metric.names, found, strict=True)
    return differences


def _check(pairs: Mapping[str, tuple[str, Sequence[str]]], metrics: Sequence[Metric]) -> None:
    bare = [id for id, (_, texts) in pairs.items() if not texts]
    if bare:
        raise DataError(f"image {bare[0]!r} has no references ({len(bare)} such images)")
    if len(pairs) == 1 and any(metric.settings.get("df") == "refs" for metric in metrics):
        warnings.warn(
            "CIDEr of a single image is always 0: it weighs a word by how few images have it; "
            "document frequencies of other images help (--df coco)",
            stacklevel=4,
        )


def _sign(metric: Metric, expected: Sequence[Sequence[Words]], given: int) -> str:
    images = f"{len(expected)}" if len(expected) == given else f"{len(expected)}/{given}"
    references = sum(map(len, expected)) / len(expected)
    parts = {"tok": TOKENIZER, **metric.settings, "images": images, "refs": f"{references:.1f}"}
    parts["cutline"] = __version__
    return "|".join([_name(metric), *(f"{key}:{value}" for key, value in parts.items())])


def _name(metric: Metric) -> str:
    kind = f"{type(metric).__module__}:{type(metric).__qualname__}"
    return next((name for name, part in METRICS.items() if part == kind), kind)


def pair(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    partial: bool = False,
) -> dict[str, tuple[str, Sequence[str]]]:
    """The prediction and the references of each image, in the order of the predictions.

    Raises `DataError` when an image has only one of them, or an empty prediction; `partial` leaves
    the first out and keeps the second, which score nothing.
    """
    both = {id: (text, references[id]) for id, text in predictions.items() if id in references}
    problems = _describe(predictions.keys() - both.keys(), "prediction", "references")
    problems += _describe(references.keys() - both.keys(), "image", "prediction")
    empty = {id for id, (text, _) in both.items() if not text.strip()}
    problems += _describe(empty, "prediction", "words")
    if not both:
        raise DataError("; ".join(["nothing to score", *problems]))
    if problems and not partial:
        rest = f"partial scores the {len(both)} that have both"
        raise DataError("; ".join([*problems, rest]))
    return both


def _describe(ids: set[str], noun: str, lacking: str) -> list[str]:
    if not ids:
        return []
    examples = ", ".join(map(repr, sorted(ids)[:3])) + (", ..." if len(ids) > 3 else "")
    have = f"{noun} has" if len(ids) == 1 else f"{noun}s have"
    return [f"{len(ids)} {have} no {lacking} ({examples})"]
