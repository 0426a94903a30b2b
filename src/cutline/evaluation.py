"""Caption the pictures of a split and score what was written."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cutline import metrics
from cutline.captioner import Captioner
from cutline.errors import ImageError
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


def score_split(captioned: Iterable[Captioned]) -> Report:
    """Scores of the captions against what people wrote."""
    pairs = list(captioned)
    predictions = {each.example.id: each.text for each in pairs}
    references = {each.example.id: each.example.captions for each in pairs}
    return metrics.score(predictions, references, partial=True)  # a damaged picture's is empty
