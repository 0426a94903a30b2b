"""BLEU: n-gram precision with a brevity penalty (Papineni et al. 2002).

The reference length is that of the closest reference, as in the COCO evaluator.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cutline.metrics.ngrams import Counts, Floats, Ints, Numbering, Words, add_up, flatten, look_up

TINY, SMALL = 1e-15, 1e-9
"""The COCO evaluator adds these to numerators and denominators."""


class Bleu:
    """BLEU-1 to BLEU-4 from counts that are additive over images."""

    def __init__(self, *, order: int = 4):
        self.order = order
        self.names = tuple(f"BLEU-{length}" for length in range(1, order + 1))
        self.settings: Mapping[str, str] = {"n": str(order)}

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image: length, reference length, correct and then predicted n-grams."""
        others, owner = flatten(references)
        length = np.array([len(words) for words in predictions])
        counts = Numbering.of((), order=self.order).count([*predictions, *others])
        correct = [_count_correct(*count.part(len(length)), owner) for count in counts]
        guessed = [np.maximum(0, length - shorter) for shorter in range(self.order)]
        columns = [length, _closest_length(length, others, owner), *correct, *guessed]
        return np.stack(columns, axis=-1).astype(float)

    def score(self, sums: Floats) -> Floats:
        """Geometric means of the precisions times the brevity penalty (Papineni et al., 2.3).

        `sums` are rows of statistics or sums of rows.
        """
        length, reference_length = sums[..., :1], sums[..., 1:2]
        correct, guessed = np.split(sums[..., 2:], 2, axis=-1)
        product = np.cumprod((correct + TINY) / (guessed + SMALL), axis=-1)
        means = product ** (1 / np.arange(1, self.order + 1))
        ratio = (length + TINY) / (reference_length + SMALL)
        return means * np.exp(np.minimum(0, 1 - 1 / ratio))


def _count_correct(predicted: Counts, reference: Counts, owner: Ints) -> Floats:
    """Matched n-grams of each prediction, clipped to the maximum count in any one reference."""
    keys, row = np.unique(reference.keys(owner), return_inverse=True)
    most = np.zeros(len(keys), np.int64)
    np.maximum.at(most, row, reference.times)
    images = int(owner[-1]) + 1
    wanted = predicted.keys(np.arange(images))
    matched = np.minimum(predicted.times, look_up(keys, most, wanted))
    return add_up(predicted.sentence, matched, images)


def _closest_length(length: Ints, references: Sequence[Words], owner: Ints) -> Ints:
    """The length of the reference closest in length; of two, the shorter."""
    others = np.array([len(words) for words in references])
    nearest_first = np.lexsort((others, abs(others - length[owner]), owner))
    return others[nearest_first[np.searchsorted(owner, np.arange(len(length)))]]
