"""Captions and references to scores, as the COCO caption evaluation does it (Chen et al. 2015).

Predictions and references enter as people write them; a `Report` leaves, for the set and for each
image, signed with what was measured and how. A new metric is a file and a line in `METRICS`.
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from cutline import __version__
from cutline.caption_files import pair
from cutline.errors import DataError, RecipeError, nearest
from cutline.metrics.ngrams import Floats, Words
from cutline.records import Report
from cutline.words import split_words

METRICS = {
    "BLEU": "cutline.metrics.bleu:Bleu",
    "CIDEr-D": "cutline.metrics.cider:CiderD",
}
TOKENISER = "ptb-like"
"""`split_words` follows the evaluator's PTB tokeniser without being a proven copy."""


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


def open_metric(name: str) -> Metric:
    """The metric of that name in `METRICS`, or `RecipeError`."""
    if name not in METRICS:
        raise RecipeError(f"there is no metric {name!r}{nearest(name, METRICS)}")
    module, _, part = METRICS[name].partition(":")
    metric: Metric = getattr(import_module(module), part)()
    return metric


def score(
    predictions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    metrics: Sequence[str] = tuple(METRICS),
    partial: bool = False,
) -> Report:
    """Scores captions against references, as fractions, over the set and for each image.

    Raises `DataError` when ids do not match (`partial` scores those that do) or an image has no
    reference, `RecipeError` for an unknown metric. Warns when one image makes CIDEr-D meaningless.
    """
    opened = [open_metric(name) for name in metrics]
    pairs = pair(predictions, references, partial=partial)
    _check(pairs, metrics)
    predicted = [split_words(caption) for caption, _ in pairs.values()]
    expected = [[split_words(text) for text in texts] for _, texts in pairs.values()]
    measured = [_measure(metric, predicted, expected) for metric in opened]
    names = [name for metric in opened for name in metric.names]
    total = np.concatenate([whole for whole, _ in measured])
    each = np.concatenate([rows for _, rows in measured], axis=-1)
    return Report(
        scores=dict(zip(names, total.tolist(), strict=True)),
        per_image={
            id: dict(zip(names, row, strict=True))
            for id, row in zip(pairs, each.tolist(), strict=True)
        },
        signature=_sign(metrics, opened, expected, len(references)),
    )


def _check(pairs: Mapping[str, tuple[str, Sequence[str]]], metrics: Sequence[str]) -> None:
    bare = [id for id, (_, texts) in pairs.items() if not texts]
    if bare:
        raise DataError(f"image {bare[0]!r} has no references ({len(bare)} such images)")
    if len(pairs) == 1 and "CIDEr-D" in metrics:
        warnings.warn(
            "CIDEr-D of a single image is always 0: it weighs a word by how few images have it",
            stacklevel=3,
        )


def _measure(
    metric: Metric, predicted: Sequence[Words], expected: Sequence[Sequence[Words]]
) -> tuple[Floats, Floats]:
    rows = metric.statistics(predicted, expected)
    return metric.score(rows.sum(axis=0)), metric.score(rows)


def _sign(
    metrics: Sequence[str],
    opened: Sequence[Metric],
    expected: Sequence[Sequence[Words]],
    given: int,
) -> str:
    settings = {name: value for metric in opened for name, value in metric.settings.items()}
    images = f"{len(expected)}" if len(expected) == given else f"{len(expected)}/{given}"
    references = sum(map(len, expected)) / len(expected)
    parts = {"tok": TOKENISER, **settings, "images": images, "refs": f"{references:.1f}"}
    parts["cutline"] = __version__
    return "|".join([*metrics, *(f"{name}:{value}" for name, value in parts.items())])
