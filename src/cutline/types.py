"""The nouns that travel between the rooms: an example, a caption, a report of scores."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")
LEAST_TOLD = 0.05
"""Concepts that are less likely are not worth a word."""


@dataclass(frozen=True, slots=True)
class Example:
    """One picture and what people wrote about it."""

    id: str
    """How the data set names the picture: a file name in Flickr8k, the image id in COCO."""
    image: Path
    captions: tuple[str, ...]
    split: str
    """One of `SPLITS`."""


class Concept(NamedTuple):
    """A plain noun, and the probability that people name it of a picture."""

    noun: str
    probability: float


@dataclass(frozen=True, slots=True)
class Caption:
    """One sentence about one picture, and how sure the model is of it."""

    text: str
    """The sentence as people write it: `a dog's toy`."""
    words: tuple[str, ...]
    """The sentence as the model wrote it, word by word: `a`, `dog`, `'s`, `toy`."""
    log_prob: float
    """Natural logarithm of the probability of the whole sentence, its end included."""
    word_log_probs: tuple[float, ...]
    """The same for each word given those before; one more than `words` when the end was written."""
    alternatives: tuple["Caption", ...] = field(default=(), repr=False)
    """Other sentences the search found, best first."""
    gaze: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """(words, side, side): where each word looked, a share for each region; the last may be the
    end's. None when the model does not tell."""

    chance: float | None = field(default=None, repr=False)
    """How likely it is good, by the rule in the model's card; None for a model that cannot tell."""
    concepts: tuple[Concept, ...] = field(default=(), repr=False, compare=False)
    """What the picture shows, `person` first, then the likeliest nouns; empty for a model that
    names none."""
    photograph: float | None = field(default=None, repr=False, compare=False)
    """The probability that the picture is a photograph; None for a model that cannot tell."""
    left_out: str = ""
    """Why there is no caption, `text` being empty then: `not a photograph`."""

    @property
    def confidence(self) -> float:
        """The chance that it is good; where there is none, the geometric mean of the words'
        probabilities. Between 0 and 1.
        """
        if self.chance is not None:
            return self.chance
        return exp(self.log_prob / max(1, len(self.word_log_probs)))

    def as_json(self, *, gaze: bool = False) -> dict[str, Any]:
        """Text, confidence and words with their probabilities, ready for `json.dumps`.

        With `gaze` also where each word looked: the share of each region, row by row, in
        thousandths. Candidates beside the first are under `best`, the first included.
        """
        told: dict[str, Any] = {
            "caption": self.text,
            "confidence": round(self.confidence, 4),
            "log_prob": round(self.log_prob, 4),
            "words": [
                {"word": word, "probability": round(exp(log_prob), 4)}
                for word, log_prob in zip(self.words, self.word_log_probs, strict=False)
            ],
        }
        if gaze and self.gaze is not None:
            for word, looked in zip(told["words"], self.gaze, strict=False):
                word["gaze"] = np.rint(1000 * looked).astype(int).ravel().tolist()
        if self.concepts:
            named = (c for c in self.concepts if c.probability >= LEAST_TOLD)
            told["concepts"] = [
                {"noun": c.noun, "probability": round(c.probability, 4)} for c in named
            ]
        if self.photograph is not None:
            told["photograph"] = round(self.photograph, 4)
        if self.alternatives:
            first = replace(self, alternatives=(), concepts=(), photograph=None)
            told["best"] = [each.as_json(gaze=gaze) for each in (first, *self.alternatives)]
        if self.left_out:
            left = {name: value for name, value in told.items() if name not in ("words", "best")}
            return {**left, "caption": None, "left_out": self.left_out}
        return told

    def __str__(self) -> str:
        return self.text


def leave_out_unsure(told: dict[str, Any], min_confidence: float) -> dict[str, Any]:
    """What is told of a caption (`Caption.as_json`), without it when it is too unsure."""
    if told["caption"] is None or told["confidence"] >= min_confidence:
        return told
    why = f"its confidence of {told['confidence']:.2f} is less than {min_confidence:g}"
    left = {name: value for name, value in told.items() if name not in ("words", "best")}
    return {**left, "caption": None, "left_out": why}


class Written(NamedTuple):
    """What an engine writes under some pictures; the best candidate of each comes first."""

    words: NDArray[np.int64]
    """(rows, candidates, time): word ids; after the end marker only padding."""
    log_probs: NDArray[np.float32]
    """(rows, candidates, time): log-probability of each word given those before it."""
    scores: NDArray[np.float32]
    """(rows, candidates): what the candidates are ranked by; -inf where there is none."""
    gaze: NDArray[np.float32] | None = None
    """(rows, candidates, time, regions): where each word looked; None from a file without it."""
    concepts: NDArray[np.int64] | None = None
    """(rows, concepts): nouns that the picture shows, as word ids, the first always `person`; None
    from a model that names none."""
    chances: NDArray[np.float32] | None = None
    """(rows, concepts): the probability of each."""
    photograph: NDArray[np.float32] | None = None
    """(rows,): the probability that the picture is a photograph."""


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of a set of predictions, over the set and for each picture."""

    scores: Mapping[str, float]
    """`{"BLEU-1": 0.63, ..., "CIDEr-D": 0.48}`: fractions, as the COCO evaluator returns them."""
    per_image: Mapping[str, Mapping[str, float]]
    """The same names for each image id."""
    signatures: tuple[str, ...]
    """For each metric what was measured and how, so that two numbers can be compared."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """For some names where 95 of 100 other draws of the images would put them."""

    counts: Mapping[str, float] = field(default_factory=dict)
    """What does not add up over images, and has no interval: `distinct`, `vocabulary`."""

    def as_json(self) -> dict[str, Any]:
        """Scores, intervals and signatures, ready for `json.dumps`."""
        intervals = {name: list(ends) for name, ends in self.intervals.items()}
        told = {"scores": dict(self.scores), "signature": " ".join(self.signatures)}
        return told | {
            name: value
            for name, value in (("intervals", intervals), ("counts", dict(self.counts)))
            if value
        }
