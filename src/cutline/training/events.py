"""What a run tells on its way, beside its steps and the pictures that it encodes."""

from dataclasses import dataclass

from cutline.types import Caption, Example, Report


@dataclass(frozen=True)
class TrainingStarted:
    """The data is read; a training begins or goes on."""

    pictures: dict[str, int]
    """How many of each split."""
    words: int
    """In the vocabulary."""
    step: int
    steps: int
    """Where the run is, and where this training ends if it is not stopped early."""
    training: int = 1
    trainings: int = 1


@dataclass(frozen=True)
class Validated:
    """An epoch is over and its captions are scored."""

    epoch: int
    loss: float
    report: Report | None
    """None with fewer than two validation pictures: CIDEr-D means nothing then."""
    samples: tuple[tuple[Example, Caption], ...]
    is_best: bool
    warnings: tuple[str, ...] = ()
    """What looks wrong with the captions, and what could not be written of how the run goes."""


@dataclass(frozen=True)
class Notice:
    """Something that whoever trains should know."""

    sentence: str
