"""Metrics, slow and obvious: loops, recursion, dictionaries, written from the definitions."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
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
    return _consensus(predictions, references, documents, _alike)


def cider(
    predictions: Sequence[Words],
    references: Sequence[Sequence[Words]],
    documents: Sequence[Sequence[Words]],
) -> list[float]:
    """The same, section 4: plain cosines."""
    return _consensus(predictions, references, documents, _cosine)


def rouge_l(
    predictions: Sequence[Words], references: Sequence[Sequence[Words]], beta: float = 1.2
) -> list[float]:
    """Lin 2004: one score an image, of the best precision and the best recall."""
    scores = []
    for words, others in zip(predictions, references, strict=True):
        words, others = words or [""], [other or [""] for other in others]
        shared = [longest_common_subsequence(words, other) for other in others]
        precision = max(n / len(words) for n in shared)
        recall = max(n / len(other) for n, other in zip(shared, others, strict=True))
        above = (1 + beta**2) * precision * recall
        scores.append(above / (recall + beta**2 * precision) if above else 0.0)
    return scores


def longest_common_subsequence(one: Words, other: Words) -> int:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return longest(0, 0)


def meteor_score(statistics: Sequence[float]) -> float:
    """Denkowski and Lavie 2014, section 2.2, of the 23 numbers that METEOR's program prints."""
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    words, function, staged = statistics[0:2], statistics[2:4], statistics[4:20]
    shares = []
    for side in (0, 1):
        hits = 0.0
        for stage, weight in enumerate((1.0, 0.6, 0.8, 0.6)):
            content_words, function_words = staged[4 * stage + side], staged[4 * stage + 2 + side]
            hits += weight * (delta * content_words + (1 - delta) * function_words)
        size = delta * (words[side] - function[side]) + (1 - delta) * function[side]
        shares.append(hits / size if size else 0.0)
    precision, recall = shares
    if not (precision and recall):
        return 0.0
    mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    penalty = gamma * (statistics[20] / ((statistics[21] + statistics[22]) / 2)) ** beta
    return (1 - penalty) * mean


def _consensus(
    predictions: Sequence[Words],
    references: Sequence[Sequence[Words]],
    documents: Sequence[Sequence[Words]],
    compare: Callable[[Words, Words, int, Sequence[Sequence[Words]]], float],
) -> list[float]:
    scores = []
    for words, others in zip(predictions, references, strict=True):
        alike = [compare(words, other, n, documents) for other in others for n in (1, 2, 3, 4)]
        scores.append(10 * sum(alike) / 4 / len(others))
    return scores


def _alike(words: Words, other: Words, length: int, documents: Sequence[Sequence[Words]]) -> float:
    difference = max(0, len(words) - 1) - max(0, len(other) - 1)
    clipped = _cosine(words, other, length, documents, clip=min)
    return clipped * exp(-(difference**2) / (2 * 6**2))


def _cosine(
    words: Words,
    other: Words,
    length: int,
    documents: Sequence[Sequence[Words]],
    clip: Callable[[float, float], float] = lambda ours, _: ours,
) -> float:
    ours, theirs = _weigh(words, length, documents), _weigh(other, length, documents)
    norms = sqrt(sum(w**2 for w in ours.values())) * sqrt(sum(w**2 for w in theirs.values()))
    if norms == 0:
        return 0.0
    return sum(clip(ours.get(gram, 0), theirs[gram]) * theirs[gram] for gram in theirs) / norms


def _weigh(words: Words, length: int, documents: Sequence[Sequence[Words]]) -> dict[Gram, float]:
    weights = {}
    for gram, times in grams(words, length).items():
        images = sum(any(gram in grams(text, length) for text in image) for image in documents)
        weights[gram] = times * (log(len(documents)) - log(max(1, images)))
    return weights
