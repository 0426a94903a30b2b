"""How well confidence separates correct captions from wrong ones.

Measured by the area under the ROC curve (the probability that a correct caption has a higher
confidence than a wrong one; 0.5 is chance), and by the risk-coverage curve (El-Yaniv and Wiener
2010): the error rate when only the most confident captions are kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A point of the risk-coverage curve: the captions kept at one threshold."""

    coverage: float
    """The fraction of captions kept."""
    risk: float
    """The fraction of these that are wrong."""
    threshold: float
    """The lowest confidence kept."""


def roc_area(confidence: Floats, right: Flags) -> float:
    """The area under the ROC curve; NaN if all captions are correct or all are wrong."""
    correct, others = confidence[right], confidence[~right]
    if not len(correct) or not len(others):
        return float("nan")
    above = (correct[:, None] > others).mean()
    return float(above + (correct[:, None] == others).mean() / 2)


def risk_coverage(confidence: Floats, right: Flags) -> list[OperatingPoint]:
    """The curve, from the most confident caption to all of them; ties are kept together."""
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], np.cumsum(~right[order])
    last = np.flatnonzero(np.append(np.diff(sure) != 0, True)[: len(sure)])
    total = len(sure)
    return [
        OperatingPoint((n + 1) / total, float(wrong[n]) / (n + 1), float(sure[n]))
        for n in last.tolist()
    ]


def risk_area(curve: list[OperatingPoint]) -> float:
    """The area under the curve as a step function; lower is better. NaN without captions."""
    if not curve:
        return float("nan")
    before = [0.0, *(kept.coverage for kept in curve)]
    return sum(k.risk * (k.coverage - b) for k, b in zip(curve, before, strict=False))
