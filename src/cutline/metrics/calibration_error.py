"""How well confidence tells right captions from the rest.

Confidences and whether each caption was right enter. The area under the ROC curve leaves (the
chance that a right caption is surer than a wrong one; 0.5 knows nothing), and the risk-coverage
curve (El-Yaniv and Wiener 2010): what share is wrong when only the surest are kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What is left at one threshold."""

    coverage: float
    """The share of captions that are kept."""
    risk: float
    """The share of these that are wrong."""
    threshold: float
    """The least confidence that is kept."""


def roc_area(confidence: Floats, right: Flags) -> float:
    """The chance that a right caption is surer than another; NaN where all are alike."""
    surer, others = confidence[right], confidence[~right]
    if not len(surer) or not len(others):
        return float("nan")
    above = (surer[:, None] > others).mean()
    return float(above + (surer[:, None] == others).mean() / 2)


def risk_coverage(confidence: Floats, right: Flags) -> list[OperatingPoint]:
    """The curve, from the surest caption alone to all of them; equals are kept together."""
    order = np.argsort(-confidence, kind="stable")
    sure, wrong = confidence[order], np.cumsum(~right[order])
    last = np.flatnonzero(np.append(np.diff(sure) != 0, True)[: len(sure)])
    total = len(sure)
    return [
        OperatingPoint((n + 1) / total, float(wrong[n]) / (n + 1), float(sure[n]))
        for n in last.tolist()
    ]


def risk_area(curve: list[OperatingPoint]) -> float:
    """The mean risk over all coverages, as steps: lower is better; NaN of no captions."""
    if not curve:
        return float("nan")
    before = [0.0, *(kept.coverage for kept in curve)]
    return sum(k.risk * (k.coverage - b) for k, b in zip(curve, before, strict=False))
