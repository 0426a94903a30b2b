"""The metrics as a module of evaluate: `evaluate.load(cutline.metrics.evaluate.__file__)`."""

from collections.abc import Sequence
from typing import Any

import evaluate

import datasets
from cutline.metrics import DEFAULT_METRICS, score


class CaptionScores(evaluate.Metric):
    """Captions against references: `compute(predictions=[...], references=[[...], ...])`."""

    def _info(self) -> Any:
        text = datasets.Value("string")
        features = {"predictions": text, "references": datasets.Sequence(text)}
        return evaluate.MetricInfo(
            description=__doc__, citation="", features=datasets.Features(features)
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        metrics: Sequence[str] = DEFAULT_METRICS,
    ) -> dict[str, float]:
        ids = [str(number) for number in range(len(predictions))]
        report = score(
            dict(zip(ids, predictions, strict=True)),
            dict(zip(ids, references, strict=True)),
            metrics=metrics,
        )
        return dict(report.scores)
