"""Events of a run, besides `Step` (trainer) and `Encoded` (feature store)."""

from dataclasses import dataclass

from cutline.types import Caption, Example, Report


@dataclass(frozen=True)
class TrainingStarted:
    """The data is read, and a training starts or resumes."""

    pictures: dict[str, int]
    """Images by split."""
    words: int
    """The size of the vocabulary."""
    step: int
    """Steps that are done, in all trainings."""
    steps: int
    """The same at the end of this training, unless it stops early."""
    training: int = 1
    """Which of the recipe's trainings this is, counted from 1."""
    trainings: int = 1


@dataclass(frozen=True)
class Validated:
    """An epoch is over and its captions of the validation split are scored.

    Epoch -1 is the model that training starts from, before the first step.
    """

    epoch: int
    loss: float | None
    """The mean training loss; None for epoch -1."""
    report: Report | None
    """None with fewer than two validation images, for which CIDEr-D is meaningless."""
    samples: tuple[tuple[Example, Caption], ...]
    is_best: bool
    warnings: tuple[str, ...] = ()
    """Problems with the captions, and files of the run that could not be written."""
    unsmoothed_loss: float | None = None
    """The mean training loss without label smoothing; None for self-critical training."""
    validation_loss: float | None = None
    """The cross-entropy of the validation captions, without label smoothing."""


@dataclass(frozen=True)
class Notice:
    """A sentence for the user."""

    sentence: str
