"""What a confidence of 0.8 means: of such captions, 80 in 100 are good.

Enters: log-probabilities of captions and whether each was good, on pictures that the model has not
learnt from. Leaves: two numbers and a slope that turn a caption's log-probabilities into that
chance (logistic regression; Platt 1999), and how far off they are (expected calibration error;
Naeini et al. 2015). Good is what `RULE` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutline.errors import ModelError

JUDGE, GOOD = "CIDEr-D", 0.5
RULE = (
    f"a caption is good when its {JUDGE} against people's captions of the picture is {GOOD} or more"
)
BINS = 10
WEIGHTS, MOST = ("bias", "mean", "least"), 1e6
"""What a card names, and more than any of them can be."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The chance of being good is sigmoid(`bias` + `mean` x mean + `least` x smallest).

    Mean and smallest are of the caption's words' log-probabilities, its end included.
    """

    bias: float
    mean: float
    least: float
    rule: str = RULE

    @classmethod
    def fit(cls, word_log_probs: Sequence[Sequence[float]], good: Flags) -> "Calibration":
        """The likeliest weights, found by Newton's method; a small ridge keeps them finite."""
        inputs = _describe(word_log_probs)
        ridge = 1e-3 * np.eye(inputs.shape[1])
        weights = np.zeros(inputs.shape[1])
        for _ in range(50):
            chance = _sigmoid(inputs @ weights)
            slope = inputs.T @ (chance - good) + ridge @ weights
            curve = (inputs.T * (chance * (1 - chance))) @ inputs + ridge
            weights -= np.linalg.solve(curve, slope)
        bias, mean, least = weights.tolist()
        return cls(bias, mean, least)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "Calibration | None":
        """The one that a model's card holds; a `ModelError` where it is none."""
        told = card.get("calibration")
        if not told:
            return None
        table = told if isinstance(told, Mapping) else {}
        weights: list[Any] = [table.get(name) for name in WEIGHTS]
        if not all(isinstance(each, int | float) and abs(each) < MOST for each in weights):
            raise ModelError("the calibration in the model's card is none: calibrate it again")
        bias, mean, least = map(float, weights)
        return cls(bias, mean, least, str(table.get("rule", RULE)))

    def confidence(self, word_log_probs: Sequence[Sequence[float]]) -> Floats:
        """The chance of each caption to be good."""
        return _sigmoid(_describe(word_log_probs) @ [self.bias, self.mean, self.least])

    def as_json(self) -> dict[str, Any]:
        """Ready for a card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bin:
    """Captions of about one confidence."""

    captions: int
    confidence: float
    good: float


def calibration_curve(confidence: Floats, good: Flags, *, bins: int = BINS) -> list[Bin]:
    """What was promised and what was kept, in `bins` equal parts between 0 and 1."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(int(own.sum()), float(confidence[own].mean()), float(good[own].mean()))
        for own in (place == number for number in range(bins))
        if own.any()
    ]


def expected_error(curve: Sequence[Bin]) -> float:
    """How far promise and truth are apart, on average over captions."""
    total = sum(each.captions for each in curve)
    return sum(each.captions * abs(each.confidence - each.good) for each in curve) / total


def cross_fit(word_log_probs: Sequence[Sequence[float]], good: Flags, *, folds: int = 5) -> Floats:
    """Confidences of captions, each by a calibration that was fitted without it."""
    confidence = np.zeros(len(good))
    fold = np.arange(len(good)) % folds
    for number in range(folds):
        inside, outside = (
            np.flatnonzero(fold == number).tolist(),
            np.flatnonzero(fold != number).tolist(),
        )
        fitted = Calibration.fit([word_log_probs[row] for row in outside], good[outside])
        confidence[inside] = fitted.confidence([word_log_probs[row] for row in inside])
    return confidence


def _describe(word_log_probs: Sequence[Sequence[float]]) -> Floats:
    return np.array([[1.0, np.mean(own), np.min(own)] for own in word_log_probs])


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))
