"""Training: inputs, losses, the training loop, and whole runs that can be resumed."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.training.experiment import Experiment as Experiment
    from cutline.training.trainer import Training as Training

__all__ = ["Experiment", "Training"]
_HOMES = {"Experiment": "experiment", "Training": "trainer"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
