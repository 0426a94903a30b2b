"""Scores of captions against references, as in the COCO caption evaluation (Chen et al. 2015).

Plain text goes in; a `Report` comes out, with scores of the set and of each image and a signature
of how they were measured. To add a metric, add a file and a line in `METRICS`.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np

from cutline.errors import DataError, RecipeError, nearest
from cutline.metrics.cider import Cider
from cutline.metrics.diversity import Diversity, count_distinct
from cutline.metrics.ngrams import Floats, Words
from cutline.metrics.significance import Difference, bootstrap_intervals, compare_paired
from cutline.text.words import ENGLISH, words_in
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
"""The default: fast, without extra dependencies."""
TOKENIZER = "ptb"
"""The tokenizer of English; of other languages it is `words` (`cutline.text.words`)."""
ENGLISH_ONLY = {
    "METEOR": "its stems, synonyms, paraphrases and weights",
    "SPICE": "its parser",
}
"""Metrics with parts that exist only for English."""
AT_ONCE = 20_000
"""Images whose words are in memory at a time; more than any usual test set has."""


@runtime_checkable
class Metric(Protocol):
    """Statistics per image, and the score of summed statistics."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the values that `score` returns, in this order."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings on which the scores depend, for the signature."""

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image; there is at least one image, with at least one reference each."""

    def score(self, sums: Floats) -> Floats:
        """One value per name, for rows of statistics or sums of rows."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The statistics of one metric."""

    metric: Metric
    rows: Floats
    """(images, columns): additive statistics."""
    signature: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """Statistics of several metrics for the same images, for scores, intervals and tests."""

    ids: tuple[str, ...]
    measured: tuple[Measured, ...]
    counts: Mapping[str, float]
    """`count_distinct` of all captions, if diversity is among the metrics."""

    def report(self, *, draws: int = 0, seed: int = 0) -> Report:
        """Scores; with `draws` bootstrap samples also their 95 % confidence intervals."""
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
    """The metric of this name in `METRICS`, or the given instance; raises `RecipeError`."""
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
    language: str = ENGLISH,
) -> Report:
    """Score captions against references, as fractions, for the set and for each image.

    `draws` bootstrap samples give 95 % confidence intervals. Raises `DataError` if ids do not match
    (`partial` scores those that do) or an image has no reference, `RecipeError` for an unknown
    metric or one that does not know the `language`. Warns if there is only one image, for which
    CIDEr is meaningless.
    """
    measurement = measure(
        predictions, references, metrics=metrics, partial=partial, language=language
    )
    return measurement.report(draws=draws)


def measure(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
    partial: bool = False,
    at_once: int = AT_ONCE,
    language: str = ENGLISH,
) -> Measurement:
    """The statistics of each metric; raises what `score` raises.

    The words of `at_once` images are in memory at a time.
    """
    opened = [open_metric(metric) for metric in metrics]
    for name in map(_name, opened):
        if language != ENGLISH and name in ENGLISH_ONLY:
            raise RecipeError(
                f"{name} cannot score captions in {language!r}: {ENGLISH_ONLY[name]} are of English"
            )
    pairs = pair(predictions, references, partial=partial)
    _check(pairs, opened)
    chunks = _Chunks(list(pairs.values()), at_once, language)
    ready = [_prepare(metric, chunks) for metric in opened]
    found = [list[Floats]() for _ in opened]
    for predicted, expected in zip(chunks.predicted(), chunks.expected(), strict=True):
        for metric, rows in zip(ready, found, strict=True):
            rows.append(metric.statistics(predicted, expected))
    signed = [_sign(metric, pairs, len(references), language) for metric in opened]
    measured = map(Measured, opened, map(np.concatenate, found), signed)
    diverse = any(isinstance(metric, Diversity) for metric in opened)
    counts = count_distinct(chain.from_iterable(chunks.predicted())) if diverse else {}
    return Measurement(tuple(pairs), tuple(measured), counts)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The words of captions and references, for some images at a time."""

    pairs: Sequence[tuple[str, Sequence[str]]]
    size: int
    language: str

    def predicted(self) -> Iterator[list[Words]]:
        for some in self._slices():
            yield [words_in(caption, self.language) for caption, _ in some]

    def expected(self) -> Iterator[list[list[Words]]]:
        for some in self._slices():
            yield [[words_in(text, self.language) for text in texts] for _, texts in some]

    def _slices(self) -> Iterator[Sequence[tuple[str, Sequence[str]]]]:
        for start in range(0, len(self.pairs), self.size):
            yield self.pairs[start : start + self.size]


def _prepare(metric: Metric, chunks: _Chunks) -> Metric:
    """The metric, for chunks; if it depends on all references, they are read for it once more."""
    if isinstance(metric, Cider) and len(chunks.pairs) > chunks.size:
        return metric.prepare(chunks.expected())
    return metric


def compare(
    one: Measurement, other: Measurement, *, draws: int = 1000, seed: int = 0
) -> dict[str, Difference]:
    """How much higher the second scores, with an interval and a p-value, for each score.

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
            "CIDEr of a single image is always 0, since words are weighted by image frequency; "
            "use document frequencies of other images (--df coco)",
            stacklevel=4,
        )


def _sign(
    metric: Metric, pairs: Mapping[str, tuple[str, Sequence[str]]], given: int, language: str
) -> str:
    images = f"{len(pairs)}" if len(pairs) == given else f"{len(pairs)}/{given}"
    references = sum(len(texts) for _, texts in pairs.values()) / len(pairs)
    rules = {"tok": TOKENIZER} if language == ENGLISH else {"tok": "words", "lang": language}
    parts = {**rules, **metric.settings, "images": images, "refs": f"{references:.1f}"}
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

    Raises `DataError` if an image has only one of them, or an empty prediction. With `partial`, the
    former are left out, and the latter are kept and score 0.
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
