"""The learning rate over a run, as a fraction of its peak.

It rises during `warmup` and then follows `schedule`: a half cosine or a line down to zero, a
constant, or a plateau, which halves the rate after every `plateau_epochs` epochs without a better
validation score. If patience ends a run, `cooldown` brings the rate down to zero before it stops.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["cosine", "linear", "constant", "plateau"]
HALVED = 0.5


@dataclass
class Schedule:
    """The learning rate of a run of `steps` steps; a step is given by its number from 0."""

    kind: Kind
    steps: int
    warmup: float = 0.0
    """The fraction of the run in which the rate rises."""
    plateau_epochs: int = 1
    scale: float = 1.0
    """What the plateaus have left of the rate."""
    epochs_since: int = 0
    """Epochs since the last better score or halving."""
    began: int | None = None
    """The first step of the cooldown."""
    ends: int = 0
    """The step after the last one of the cooldown."""

    def factor(self, step: int) -> float:
        """The learning rate of a step, as a fraction of its peak."""
        if self.began is None:
            return self._factor(step)
        return self._factor(self.began) * (self.ends - step) / (self.ends - self.began)

    def note_epoch(self, *, is_best: bool) -> None:
        """Take note of an epoch's validation."""
        self.epochs_since = 0 if is_best else self.epochs_since + 1
        if self.kind == "plateau" and self.epochs_since >= self.plateau_epochs:
            self.scale, self.epochs_since = HALVED * self.scale, 0

    def cool_down(self, step: int, steps: int) -> None:
        """Come down to zero in a line over the next `steps` steps."""
        self.began, self.ends = step, step + steps

    def state(self) -> dict[str, Any]:
        """What changes during a run."""
        names = ("scale", "epochs_since", "began", "ends")
        return {name: value for name, value in asdict(self).items() if name in names}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)

    def _factor(self, step: int) -> float:
        done = step / self.steps
        if done < self.warmup:
            return (done + 1e-3) / (self.warmup + 1e-3)
        if self.kind == "linear":
            return (1 - done) / (1 - self.warmup)
        if self.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup)))
        return self.scale
