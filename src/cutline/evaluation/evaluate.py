"""Caption the pictures of a split and score what was written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cutline.errors import ImageError
from cutline.inference.calibration import GOOD, JUDGE, weigh_evidence
from cutline.inference.captioner import Captioner
from cutline.metrics import DEFAULT_METRICS, Metric, score
from cutline.text.style import Style
from cutline.text.words import ENGLISH
from cutline.types import Caption, Example, Report


@dataclass(frozen=True)
class Captioned:
    """A picture of the split with its caption, or with the reason why it has none."""

    example: Example
    answer: Caption | ImageError

    @property
    def text(self) -> str:
        """The caption, or an empty text."""
        return "" if isinstance(self.answer, ImageError) else self.answer.text


def caption_split(captioner: Captioner, examples: Sequence[Example]) -> Iterator[Captioned]:
    """Caption every picture in order, also those that do not look like photographs."""
    images = (example.image for example in examples)
    answers = captioner.caption_each(images, style=Style(any_picture=True))
    for example, answer in zip(examples, answers, strict=True):
        yield Captioned(example, answer)


def score_split(
    captioned: Iterable[Captioned],
    *,
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
    draws: int = 0,
    language: str = ENGLISH,
) -> Report:
    """Score the captions against the references; a damaged picture counts as an empty caption."""
    pairs = list(captioned)
    predictions = {each.example.id: each.text for each in pairs}
    references = {each.example.id: each.example.captions for each in pairs}
    return score(
        predictions, references, metrics=metrics, draws=draws, partial=True, language=language
    )


def calibration_data(
    captioned: Iterable[Captioned], *, language: str = ENGLISH
) -> tuple[list[dict[str, float]], NDArray[np.bool_]]:
    """The evidence for each caption, and whether it is good by `calibration.RULE`."""
    pairs = [each for each in captioned if isinstance(each.answer, Caption)]
    per_image = score_split(pairs, metrics=[JUDGE], language=language).per_image
    good = np.array([per_image[each.example.id][JUDGE] >= GOOD for each in pairs])
    captions = (each.answer for each in pairs)
    return [weigh_evidence(c) for c in captions if isinstance(c, Caption)], good
