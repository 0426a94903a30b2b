"""Calibrated confidence: of captions with a confidence of 0.8, 80 in 100 are good.

`Calibration.fit` takes evidence (`weigh_evidence`) and whether each caption was good by `RULE`, on
pictures outside the training data, best from several sources. It is a logistic regression (Platt
1999); its quality is the expected calibration error (Naeini et al. 2015).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutline.errors import ModelError
from cutline.text.nouns import agree, kind_of, names_person, nouns_of
from cutline.types import Caption

JUDGE, GOOD = "CIDEr-D", 0.5
RULE = (
    f"a caption is good when its {JUDGE} against people's captions of the picture is {GOOD} or more"
)
BINS = 10
UNNAMED = 0.02
"""The probability of a noun that is not among the concepts."""

CERTAIN = 1e-4
"""Probabilities are clipped to this distance from 0 and 1."""
RIGHT = 0.75
"""The share of captions above the threshold that must be good."""
MOST = 1e6
"""Upper bound of the weights in a card."""

EVIDENCE = frozenset(
    ["mean", "least", "agreement", "person", "unsaid", "surest", "named", "photograph"]
)
"""The keys of `weigh_evidence`."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def weigh_evidence(caption: Caption) -> dict[str, float]:
    """Numbers that are larger for captions that are more likely to be good.

    `mean` and `least` summarise the log-probabilities of the words, the end included. For a model
    with concepts there are also: `agreement`, the mean log-probability, by the concepts, of the
    nouns in the caption; `person`, the log-probability of what the caption says about people
    (somebody or nobody); `unsaid`, the log-probability that the likeliest noun that the caption
    leaves out is absent; `surest`, the log-probability of the likeliest noun; `named`, the share
    of all concepts' probability that the caption names; `photograph`, the log-odds of a photograph.
    """
    log_probs = caption.word_log_probs
    evidence = {"mean": float(np.mean(log_probs)), "least": float(np.min(log_probs))}
    if not caption.concepts or caption.photograph is None:
        return evidence
    (_, person), *others = caption.concepts
    chances = dict(others)
    mentioned = set(nouns_of(caption.words))
    somebody = names_person(caption.words)
    things = [noun for noun in mentioned if kind_of(noun) != "person"]
    named = [np.log(max(chances.get(noun, UNNAMED), CERTAIN)) for noun in things]
    missed = max(
        (p for noun, p in others if not any(agree(noun, s) for s in mentioned)), default=0.0
    )
    total = sum(p for _, p in caption.concepts)
    agreeing = sum(p for noun, p in caption.concepts if any(agree(noun, s) for s in mentioned))
    return evidence | {
        "agreement": float(np.mean(named)) if named else float(np.log(UNNAMED)),
        "person": float(np.log(np.clip(person if somebody else 1 - person, CERTAIN, 1))),
        "unsaid": float(np.log(np.clip(1 - missed, CERTAIN, 1))),
        "surest": float(np.log(max(chances.values(), default=0.0) + CERTAIN)),
        "named": agreeing / (total + CERTAIN),
        "photograph": _logit(caption.photograph),
    }


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(good) = sigmoid(`bias` + sum of weight x evidence)."""

    bias: float
    weights: Mapping[str, float]
    """Weights by the keys of `weigh_evidence`."""
    rule: str = RULE

    @classmethod
    def fit(cls, evidence: Sequence[Mapping[str, float]], good: Flags) -> "Calibration":
        """Maximum likelihood weights by Newton's method; a small ridge keeps them finite."""
        names = tuple(evidence[0])
        inputs = _stack(evidence, names)
        ridge = 1e-3 * np.eye(inputs.shape[1])
        weights = np.zeros(inputs.shape[1])
        for _ in range(50):
            chance = _sigmoid(inputs @ weights)
            slope = inputs.T @ (chance - good) + ridge @ weights
            curve = (inputs.T * (chance * (1 - chance))) @ inputs + ridge
            weights -= np.linalg.solve(curve, slope)
        bias, *fitted = weights.tolist()
        return cls(bias, dict(zip(names, fitted, strict=True)))

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> "Calibration | None":
        """The calibration in a model card. Raises `ModelError` if it is invalid.

        Those of 0.1.0 have `mean` and `least` only.
        """
        entry = card.get("calibration")
        if not entry:
            return None
        table = entry if isinstance(entry, Mapping) else {}
        old = {name: table.get(name) for name in ("mean", "least")}
        weights: Any = table.get("weights", old)
        named = weights if isinstance(weights, Mapping) else {}
        numbers: list[Any] = [table.get("bias"), *named.values()]
        sound = all(isinstance(each, int | float) and abs(each) < MOST for each in numbers)
        if not sound or not named or not named.keys() <= EVIDENCE:
            raise ModelError(
                "the calibration in the model card is invalid: run `cutline calibrate` again"
            )
        bias, *fitted = map(float, numbers)
        return cls(bias, dict(zip(named, fitted, strict=True)), str(table.get("rule", RULE)))

    def confidence(self, evidence: Sequence[Mapping[str, float]]) -> Floats:
        """The probability that each caption is good."""
        inputs = _stack(evidence, tuple(self.weights))
        return _sigmoid(inputs @ [self.bias, *self.weights.values()])

    def as_json(self) -> dict[str, Any]:
        """Ready for a card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bin:
    """Captions of about the same confidence: number, mean confidence, share of good ones."""

    captions: int
    confidence: float
    good: float


def find_threshold(confidence: Floats, good: Flags, *, right: float = RIGHT) -> float:
    """The lowest confidence from which on this share of captions is good; 1 if there is none."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(good[order]) / np.arange(1, len(good) + 1)
    enough = np.flatnonzero(share >= right)
    return float(confidence[order[enough[-1]]]) if len(enough) else 1.0


def calibration_curve(confidence: Floats, good: Flags, *, bins: int = BINS) -> list[Bin]:
    """Confidence and share of good captions, in `bins` equal intervals between 0 and 1."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(int(own.sum()), float(confidence[own].mean()), float(good[own].mean()))
        for own in (place == number for number in range(bins))
        if own.any()
    ]


def expected_error(curve: Sequence[Bin]) -> float:
    """Expected calibration error: |confidence - share of good captions|, averaged over captions."""
    total = sum(each.captions for each in curve)
    return sum(each.captions * abs(each.confidence - each.good) for each in curve) / total


def cross_fit(evidence: Sequence[Mapping[str, float]], good: Flags, *, folds: int = 5) -> Floats:
    """Cross-validated confidences: each by a calibration that was fitted without that caption."""
    confidence = np.zeros(len(good))
    fold = np.arange(len(good)) % folds
    for number in range(folds):
        inside, outside = (
            np.flatnonzero(fold == number).tolist(),
            np.flatnonzero(fold != number).tolist(),
        )
        fitted = Calibration.fit([evidence[row] for row in outside], good[outside])
        confidence[inside] = fitted.confidence([evidence[row] for row in inside])
    return confidence


def _stack(evidence: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    return np.array([[1.0, *(own[name] for name in names)] for own in evidence])


def _logit(chance: float) -> float:
    chance = min(max(chance, CERTAIN), 1 - CERTAIN)
    return float(np.log(chance / (1 - chance)))


def _sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -700, 700)))
