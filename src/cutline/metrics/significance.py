"""Confidence intervals and significance tests.

The bootstrap resamples images with replacement (Koehn 2004); approximate randomization swaps the
captions of two captioners at random (Noreen 1989). Statistics are additive, so that each sample is
one row of a matrix product.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cutline.metrics.ngrams import Floats

BLOCK, MOST = 250, 5 * 10**6
"""Samples at a time, and images in all of them: they bound memory."""

Score = Callable[[Floats], Floats]
"""Maps summed statistics, one row per sample, to the values of a metric."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher the second of two captioners scores, as a fraction."""

    value: float
    low: float
    high: float
    """`low` to `high` is the 95 % confidence interval."""
    p: float
    """Two-sided p-value of the randomization test."""


def bootstrap_intervals(score: Score, rows: Floats, *, draws: int = 1000, seed: int = 0) -> Floats:
    """The 95 % confidence interval of each of a metric's values: (values, 2)."""
    drawn = [score(counts @ rows) for counts in _draw_images(len(rows), draws, seed)]
    return np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0).T


def compare_paired(
    score: Score, rows: Floats, others: Floats, *, draws: int = 1000, seed: int = 0
) -> list[Difference]:
    """How much higher the second captioner scores, for each of a metric's values.

    `rows` and `others` are the two captioners' statistics of the same images in the same order.
    """
    value = score(others.sum(axis=0)) - score(rows.sum(axis=0))
    drawn = [
        score(counts @ others) - score(counts @ rows)
        for counts in _draw_images(len(rows), draws, seed)
    ]
    low, high = np.quantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    change, trials = others - rows, 10 * draws
    as_far = np.zeros(len(value))
    for swapped in _draw_swaps(len(rows), trials, seed + 1):
        moved = swapped @ change
        chance = score(others.sum(axis=0) - moved) - score(rows.sum(axis=0) + moved)
        as_far += (np.abs(chance) >= np.abs(value) - 1e-12).sum(axis=0)
    p = (as_far + 1) / (trials + 1)
    return [Difference(*map(float, row)) for row in zip(value, low, high, p, strict=True)]


def _draw_images(images: int, draws: int, seed: int) -> Iterator[Floats]:
    """How often each image is drawn, one row per sample."""
    chance = np.random.default_rng(seed)
    block = _block(images)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = chance.integers(images, size=(rows, images)) + images * np.arange(rows)[:, None]
        yield (
            np.bincount(drawn.ravel(), minlength=rows * images).reshape(rows, images).astype(float)
        )


def _draw_swaps(images: int, trials: int, seed: int) -> Iterator[Floats]:
    chance = np.random.default_rng(seed)
    block = _block(images)
    for start in range(0, trials, block):
        yield chance.integers(2, size=(min(block, trials - start), images)).astype(float)


def _block(images: int) -> int:
    return max(1, min(BLOCK, MOST // images))
