"""METEOR 1.5 for English, without Java: matches of stems, synonyms and paraphrases.

Denkowski and Lavie 2014, with the English parameters that the COCO evaluator uses. The score of a
set is computed from statistics summed over images; it is not the mean of the images' scores.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cutline.metrics.meteor_alignment import STAGES, Sentence, align, count_chunks
from cutline.metrics.meteor_lexicon import Lexicon
from cutline.metrics.ngrams import Floats, Ints, Watch, Words, flatten

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""Weight of recall; exponent and weight of the penalty; weight of content words."""
WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""The weight of a word matched by each stage."""
LENGTHS, FUNCTION_WORDS, STAGED = slice(0, 2), slice(2, 4), slice(4, 20)
CHUNKS, MATCHED, COLUMNS = slice(20, 21), slice(21, 23), 23


class Meteor:
    """METEOR, from the statistics of each image's highest-scoring reference.

    `watch` is called with the progress. `statistics` raises `CutlineError` if the dictionaries are
    not installed.
    """

    names = ("METEOR",)
    settings: Mapping[str, str] = {"meteor": "1.5", "lang": "en"}

    def __init__(self, *, watch: Watch | None = None) -> None:
        self._watch = watch

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image, with counts in pairs for prediction and best reference.

        Words; function words; for each stage content words and function words matched; finally the
        number of chunks, and words matched.
        """
        others, owner = flatten(references)
        lexicon = Lexicon([*predictions, *others])
        rows = np.empty((len(others), COLUMNS))
        row = 0
        for words, own in zip(predictions, references, strict=True):
            prediction = lexicon.look_up(tuple(words))
            for reference in own:
                rows[row] = _compare(prediction, lexicon.look_up(tuple(reference)))
                if self._watch and (row + 1 == len(others) or row % 100 == 0):
                    self._watch(row + 1, len(others))
                row += 1
        return rows[_pick_best(self.score(rows)[:, 0], owner)]

    def score(self, sums: Floats) -> Floats:
        """(1 - penalty) x F-mean (section 2.2), of rows of statistics or sums of rows."""
        matched = np.einsum("...skn,s->...kn", _by_stage(sums), WEIGHTS)
        hits = DELTA * matched[..., 0, :] + (1 - DELTA) * matched[..., 1, :]
        function = sums[..., FUNCTION_WORDS]
        sizes = DELTA * (sums[..., LENGTHS] - function) + (1 - DELTA) * function
        precision, recall = np.split(_divide(hits, sizes), 2, axis=-1)
        mean = _divide(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
        fragmentation = _divide(sums[..., CHUNKS], sums[..., MATCHED].mean(axis=-1, keepdims=True))
        return mean * (1 - GAMMA * fragmentation**BETA)


def _by_stage(sums: Floats) -> Floats:
    """Words matched, with axes stage, content or function word, prediction or reference."""
    return sums[..., STAGED].reshape(*sums.shape[:-1], len(STAGES), 2, 2)


def _divide(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _compare(prediction: Sentence, reference: Sentence) -> list[int]:
    """The statistics of a prediction against one of its references."""
    sides = (prediction, reference)
    matches = align(prediction, reference)
    counts = [0] * (4 * len(STAGES))
    for start, length, other_start, other_length, stage in matches:
        for side, begin, size in ((0, other_start, other_length), (1, start, length)):
            of_function = sum(sides[side].is_function_word[begin : begin + size])
            counts[4 * stage + side] += size - of_function
            counts[4 * stage + 2 + side] += of_function
    lengths = [len(side.words) for side in sides]
    function_words = [sum(side.is_function_word) for side in sides]
    matched = [sum(counts[::2]), sum(counts[1::2])]
    chunks = count_chunks(matches)
    if chunks == 1 and matched == lengths:
        chunks = 0  # METEOR's program does not penalize a prediction that says all of a reference
    return [*lengths, *function_words, *counts, chunks, *matched]


def _pick_best(scores: Floats, owner: Ints) -> Ints:
    """The row with the highest score of each owner; the first of equal ones."""
    best_first = np.lexsort((-scores, owner))
    return best_first[np.searchsorted(owner, np.arange(owner[-1] + 1))]
