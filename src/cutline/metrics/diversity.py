"""What n-grams do not tell: how much a captioner repeats itself, and what it breaks off.

Captions enter as words; shares leave that add up over images, like any metric's, and two numbers
of the whole set: how many captions are distinct, and how many words are used at all.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from cutline.metrics.ngrams import Floats, Words

ENDINGS = """
    a an and are as at be by for from has have his her in into is its near next of off on onto or
    over some that the their there to two under was were while with
"""
UNFINISHED = frozenset(ENDINGS.split())
"""Words that no caption should end in; self-critical training is known for such endings."""


class Diversity:
    """Shares of the captions; `training` are captions that were learnt from, to call others novel.

    A caption repeats itself when a word follows itself, or when two words come twice in a row.
    """

    def __init__(self, training: Collection[Words] = ()):
        self._learnt = frozenset(map(tuple, training))
        novel = ("novel",) if training else ()
        self.names = ("length", "bad endings", "repeats", *novel)
        self.settings: Mapping[str, str] = {"train": str(len(training))} if training else {}

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row an image: words, yes or no as 1 or 0 for each share, and a 1 to count by."""
        rows = [
            (
                len(words),
                not words or words[-1] in UNFINISHED,
                repeats_itself(words),
                *([tuple(words) not in self._learnt] if self._learnt else []),
                1,
            )
            for words in predictions
        ]
        return np.array(rows, float)

    def score(self, sums: Floats) -> Floats:
        """Means over images."""
        return sums[..., :-1] / sums[..., -1:]


def count_distinct(predictions: Sequence[Words]) -> dict[str, float]:
    """The share of distinct captions in all, and the number of words used."""
    distinct = len(set(map(tuple, predictions))) / max(1, len(predictions))
    return {"distinct": distinct, "vocabulary": len({w for words in predictions for w in words})}


def repeats_itself(words: Words) -> bool:
    """`a dog dog runs` and `a dog a dog runs` do."""
    pairs = list(zip(words, words[1:], strict=False))
    twice = any(one == other for one, other in pairs)
    return twice or any(one == other for one, other in zip(pairs, pairs[2:], strict=False))
