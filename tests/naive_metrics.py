"""BLEU and CIDEr-D, slow and obvious: loops and dictionaries, written from the definitions."""

from collections import Counter
from collections.abc import Sequence
from math import exp, log, sqrt

Words = Sequence[str]
Gram = tuple[str, ...]


def grams(words: Words, length: int) -> Counter[Gram]:
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def bleu(
    predictions: Sequence[Words], references: Sequence[Sequence[Words]], order: int = 4
) -> list[float]:
    """Papineni et al. 2002: precisions of the whole set, clipped, and the penalty for brevity."""
    length = sum(len(words) for words in predictions)
    reference_length = sum(
        min((abs(len(other) - len(words)), len(other)) for other in others)[1]
        for words, others in zip(predictions, references, strict=True)
    )
    scores, product = [], 1.0
    for n in range(1, order + 1):
        correct = guessed = 0
        for words, others in zip(predictions, references, strict=True):
            for gram, times in grams(words, n).items():
                guessed += times
                correct += min(times, max(grams(other, n)[gram] for other in others))
        product *= (correct + 1e-15) / (guessed + 1e-9)
        scores.append(product ** (1 / n))
    ratio = (length + 1e-15) / (reference_length + 1e-9)
    return [score * (exp(1 - 1 / ratio) if ratio < 1 else 1) for score in scores]


def cider_d(
    predictions: Sequence[Words],
    references: Sequence[Sequence[Words]],
    documents: Sequence[Sequence[Words]],
) -> list[float]:
    """Vedantam et al. 2015, variant D: one score an image, frequencies from `documents`."""
    scores = []
    for words, others in zip(predictions, references, strict=True):
        alike = [_alike(words, other, n, documents) for other in others for n in (1, 2, 3, 4)]
        scores.append(10 * sum(alike) / 4 / len(others))
    return scores


def _alike(words: Words, other: Words, length: int, documents: Sequence[Sequence[Words]]) -> float:
    ours, theirs = _weigh(words, length, documents), _weigh(other, length, documents)
    norms = sqrt(sum(w**2 for w in ours.values())) * sqrt(sum(w**2 for w in theirs.values()))
    if norms == 0:
        return 0.0
    product = sum(min(ours.get(gram, 0), theirs[gram]) * theirs[gram] for gram in theirs)
    difference = max(0, len(words) - 1) - max(0, len(other) - 1)
    return product / norms * exp(-(difference**2) / (2 * 6**2))


def _weigh(words: Words, length: int, documents: Sequence[Sequence[Words]]) -> dict[Gram, float]:
    weights = {}
    for gram, times in grams(words, length).items():
        images = sum(any(gram in grams(text, length) for text in image) for image in documents)
        weights[gram] = times * (log(len(documents)) - log(max(1, images)))
    return weights
