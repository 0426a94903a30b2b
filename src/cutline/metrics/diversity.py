"""Diversity: length, repetition, unfinished captions and novelty.

Per-image statistics are additive like those of any metric; `count_distinct` gives two numbers of
the whole set, the share of distinct captions and the number of words used.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from cutline.metrics.ngrams import Floats, Words
from cutline.text.style import is_unfinished


class Diversity:
    """Mean length, and the shares of captions with bad endings, with repetition, and novel ones.

    Novel captions do not occur in `training`; if that is empty, there is no such share.
    """

    def __init__(self, training: Collection[Words] = ()):
        self._learnt = frozenset(map(tuple, training))
        novel = ("novel",) if training else ()
        self.names = ("length", "bad endings", "repeats", *novel)
        self.settings: Mapping[str, str] = {"train": str(len(training))} if training else {}

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image: number of words, 0 or 1 for each share, and a 1 that counts images."""
        rows = [
            (
                len(words),
                is_unfinished(words),
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


def count_distinct(predictions: Iterable[Words]) -> dict[str, float]:
    """The share of distinct captions, and the number of distinct words."""
    captions, vocabulary, count = set[str](), set[str](), 0
    for words in predictions:
        captions.add(" ".join(words))  # words contain no spaces
        vocabulary.update(words)
        count += 1
    return {"distinct": len(captions) / max(1, count), "vocabulary": len(vocabulary)}


def repeats_itself(words: Words) -> bool:
    """Whether a word or a bigram is repeated at once: `a dog dog runs`, `a dog a dog runs`."""
    pairs = list(zip(words, words[1:], strict=False))
    twice = any(one == other for one, other in pairs)
    return twice or any(one == other for one, other in zip(pairs, pairs[2:], strict=False))
