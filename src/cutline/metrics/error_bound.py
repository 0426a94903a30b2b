"""An upper bound on the share of wrong captions in a library, from a manually reviewed sample.

`stratified_sample` draws the captions to review, `upper_bound` turns the number of wrong ones into
a bound on the share of wrong ones in the whole library.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, lgamma, log, log1p
from random import Random

CONFIDENCE = 0.95


def upper_bound(wrong: int, reviewed: int, *, confidence: float = CONFIDENCE) -> float:
    """The one-sided exact binomial bound (Clopper and Pearson, 1934) on the share of wrong items.

    The largest share p at which `wrong` or fewer wrong items among `reviewed` still have a
    probability of at least 1 - `confidence`. It assumes independent draws; for a sample drawn
    without replacement, or with one draw from each of several strata of equal size, it is
    conservative (Hoeffding, 1956, theorem 4). Raises `ValueError` unless 0 <= wrong <= reviewed.
    """
    if not 0 <= wrong <= reviewed:
        raise ValueError(f"{wrong} wrong items among {reviewed} reviewed")
    if wrong == reviewed:
        return 1.0
    low, high = wrong / reviewed, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _cumulative(wrong, reviewed, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _cumulative(most: int, draws: int, share: float) -> float:
    """The probability of at most `most` successes in `draws` trials of probability `share`."""
    if share <= 0 or share >= 1:
        return float(share <= 0)
    return sum(
        exp(
            lgamma(draws + 1)
            - lgamma(successes + 1)
            - lgamma(draws - successes + 1)
            + successes * log(share)
            + (draws - successes) * log1p(-share)
        )
        for successes in range(most + 1)
    )


def stratified_sample(scores: Sequence[float], size: int, *, seed: int = 0) -> list[int]:
    """Indices of a random sample in which low and high scores are represented alike.

    Items are sorted by score and split into `size` strata whose sizes differ by at most one; one
    item is drawn from each. The order is random, so that any beginning of the sample is a sample
    too. All items when there are no more than `size`.
    """
    dice = Random(seed)
    order = sorted(range(len(scores)), key=lambda item: (scores[item], item))
    size = min(size, len(order))
    edges = [len(order) * stratum // max(1, size) for stratum in range(size + 1)]
    drawn = [order[dice.randrange(start, end)] for start, end in pairwise(edges)]
    dice.shuffle(drawn)
    return drawn
