"""Caption the pictures of a split and score what was written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutline.calibration import GOOD, JUDGE
from cutline.captioner import Captioner
from cutline.errors import ImageError
from cutline.metrics import USUAL, Metric, score
from cutline.records import Caption, Example, Report


@dataclass(frozen=True)
class Captioned:
    """One picture of the split has its caption, or cannot have one."""

    example: Example
    answer: Caption | ImageError

    @property
    def text(self) -> str:
        """The caption; empty where there is none."""
        return "" if isinstance(self.answer, ImageError) else self.answer.text


def caption_split(captioner: Captioner, examples: Sequence[Example]) -> Iterator[Captioned]:
    """Caption every picture, in order."""
    answers = captioner.caption_each(example.image for example in examples)
    for example, answer in zip(examples, answers, strict=True):
        yield Captioned(example, answer)


def score_split(
    captioned: Iterable[Captioned],
    *,
    metrics: Sequence[str | Metric] = USUAL,
    draws: int = 0,
) -> Report:
    """Scores of the captions against what people wrote."""
    pairs = list(captioned)
    predictions = {each.example.id: each.text for each in pairs}
    references = {each.example.id: each.example.captions for each in pairs}
    # a damaged picture's caption is empty
    return score(predictions, references, metrics=metrics, draws=draws, partial=True)


def judge(captioned: Iterable[Captioned]) -> tuple[list[tuple[float, ...]], NDArray[np.bool_]]:
    """Of every caption its words' log-probabilities, and whether it is good: `calibration.RULE`."""
    pairs = [each for each in captioned if isinstance(each.answer, Caption)]
    per_image = score_split(pairs, metrics=[JUDGE]).per_image
    good = np.array([per_image[each.example.id][JUDGE] >= GOOD for each in pairs])
    log_probs = [each.answer.word_log_probs for each in pairs if isinstance(each.answer, Caption)]
    return log_probs, good
