"""ROUGE-L: longest common subsequence of prediction and references (Lin 2004).

As the COCO evaluator computes it: an F-measure with beta = 1.2 of the best precision and the best
recall over an image's references, possibly from different references.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cutline.metrics.ngrams import Floats, Words

BETA = 1.2


class RougeL:
    """ROUGE-L, averaged over images."""

    names = ("ROUGE-L",)
    settings: Mapping[str, str] = {"beta": f"{BETA:g}"}

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image: its score, and a 1 that counts images."""
        return np.array(
            [(_score(words, own), 1) for words, own in zip(predictions, references, strict=True)],
            float,
        )

    def score(self, sums: Floats) -> Floats:
        """The mean over images."""
        return sums[..., :1] / sums[..., 1:]


def count_shared(one: Words, other: Words) -> int:
    """The length of the longest common subsequence, bit-parallel (Hyyrö 2004).

    One bit per word of `one`; a zero marks where the longest subsequence so far grows.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    everywhere = (1 << len(one)) - 1
    row = everywhere
    for word in other:
        found = row & places.get(word, 0)
        row = (row + found) | (row - found)
    return len(one) - (row & everywhere).bit_count()


def _score(prediction: Words, references: Sequence[Words]) -> float:
    prediction = prediction or [""]  # the evaluator splits an empty text into one empty word
    shared = [(count_shared(prediction, own or [""]), len(own or [""])) for own in references]
    precision = max(count for count, _ in shared) / len(prediction)
    recall = max(count / length for count, length in shared)
    if not (precision and recall):
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
