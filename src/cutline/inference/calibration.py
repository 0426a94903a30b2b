"""What a confidence of 0.8 means: of such captions, 80 in 100 are good.

Enters: what speaks for captions (`weigh_evidence`) and whether each was good, on pictures that the
model has not learnt from, best of several origins. Leaves: the weights that turn the evidence into
that chance (logistic regression; Platt 1999), and how far off it is (expected calibration error;
Naeini et al. 2015). Good is what `RULE` says.
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
"""The probability of a noun that is not among the picture's concepts."""

CERTAIN = 1e-4
"""No probability counts as nearer to 0 or 1."""
RIGHT = 0.75
"""The share of captions that must be right at the threshold below which they are left out."""
MOST = 1e6
"""More than any weight in a card can be."""

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
    said = set(nouns_of(caption.words))
    somebody = names_person(caption.words)
    things = [noun for noun in said if kind_of(noun) != "person"]
    named = [np.log(max(chances.get(noun, UNNAMED), CERTAIN)) for noun in things]
    missed = max((p for noun, p in others if not any(agree(noun, s) for s in said)), default=0.0)
    total = sum(p for _, p in caption.concepts)
    told = sum(p for noun, p in caption.concepts if any(agree(noun, s) for s in said))
    return evidence | {
        "agreement": float(np.mean(named)) if named else float(np.log(UNNAMED)),
        "person": float(np.log(np.clip(person if somebody else 1 - person, CERTAIN, 1))),
        "unsaid": float(np.log(np.clip(1 - missed, CERTAIN, 1))),
        "surest": float(np.log(max(chances.values(), default=0.0) + CERTAIN)),
        "named": told / (total + CERTAIN),
        "photograph": _logit(caption.photograph),
    }


@dataclass(frozen=True, slots=True)
class Calibration:
    """The chance of being good is sigmoid(`bias` + sum of weight x evidence)."""

    bias: float
    weights: Mapping[str, float]
    """Of each number of `weigh_evidence`."""
    rule: str = RULE

    @classmethod
    def fit(cls, evidence: Sequence[Mapping[str, float]], good: Flags) -> "Calibration":
        """The likeliest weights, found by Newton's method; a small ridge keeps them finite."""
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
        """The one that a model's card holds; a `ModelError` where it is none.

        Those of 0.1.0 have `mean` and `least` only.
        """
        told = card.get("calibration")
        if not told:
            return None
        table = told if isinstance(told, Mapping) else {}
        old = {name: table.get(name) for name in ("mean", "least")}
        weights: Any = table.get("weights", old)
        named = weights if isinstance(weights, Mapping) else {}
        numbers: list[Any] = [table.get("bias"), *named.values()]
        sound = all(isinstance(each, int | float) and abs(each) < MOST for each in numbers)
        if not sound or not named or not named.keys() <= EVIDENCE:
            raise ModelError("the calibration in the model's card is none: calibrate it again")
        bias, *fitted = map(float, numbers)
        return cls(bias, dict(zip(named, fitted, strict=True)), str(table.get("rule", RULE)))

    def confidence(self, evidence: Sequence[Mapping[str, float]]) -> Floats:
        """The chance of each caption to be good."""
        inputs = _stack(evidence, tuple(self.weights))
        return _sigmoid(inputs @ [self.bias, *self.weights.values()])

    def as_json(self) -> dict[str, Any]:
        """Ready for a card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bin:
    """Captions of about one confidence."""

    captions: int
    confidence: float
    good: float


def find_threshold(confidence: Floats, good: Flags, *, right: float = RIGHT) -> float:
    """The least confidence at and above which this share of captions is good; 1 where none is."""
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(good[order]) / np.arange(1, len(good) + 1)
    enough = np.flatnonzero(share >= right)
    return float(confidence[order[enough[-1]]]) if len(enough) else 1.0


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


def cross_fit(evidence: Sequence[Mapping[str, float]], good: Flags, *, folds: int = 5) -> Floats:
    """Confidences of captions, each by a calibration that was fitted without it."""
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
