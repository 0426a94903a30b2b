"""A sweep: one recipe with several values of some options, each with several seeds.

Every run is an ordinary one in its own folder, so a sweep that was stopped goes on where it was.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path
from statistics import mean, stdev

from cutline.errors import RecipeError
from cutline.training.history import Epoch, read_epochs


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    setting: tuple[str, ...]
    """Overrides of the recipe, such as `training.learning_rate=1e-4`."""
    seed: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """The overrides, that of the seed included."""
        return (*self.setting, f"training.seed={self.seed}")

    @property
    def name(self) -> str:
        """A name for its folder."""
        return re.sub(r"[^\w.+=-]+", "_", ",".join((*self.setting, f"seed={self.seed}")))


@dataclass(frozen=True)
class Row:
    """What the runs of one setting scored on the validation split, each in its best epoch."""

    setting: str
    seeds: int
    """Seeds that were run to the end."""
    failed: int
    """Seeds whose loss was not finite."""
    means: Mapping[str, float]
    spreads: Mapping[str, float]
    """Standard deviations over the seeds; empty with fewer than two."""
    epochs: Sequence[int]
    """The best epoch of each seed, counted from 1."""


def plan_sweep(overrides: Sequence[str], seeds: int) -> list[Run]:
    """All combinations of the values that `section.option=a,b` gives, with each seed from 0.

    Raises `RecipeError` for an override without a value or the same option twice.
    """
    choices: dict[str, list[str]] = {}
    for override in overrides:
        name, equals, values = override.partition("=")
        several = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not several or name in choices:
            raise RecipeError(
                f"--set {override}: use section.option=value,value,... once an option"
            )
        choices[name] = [f"{name}={value}" for value in several]
    return [Run(setting, seed) for setting in product(*choices.values()) for seed in range(seeds)]


def summarize(folders: Mapping[Run, Path], failed: Sequence[Run] = ()) -> list[Row]:
    """A row for each setting, in order, from the epochs that the runs recorded."""
    settings = dict.fromkeys(run.setting for run in folders)
    return [_summarize(setting, folders, failed) for setting in settings]


def _summarize(setting: tuple[str, ...], folders: Mapping[Run, Path], failed: Sequence[Run]) -> Row:
    own = [run for run in folders if run.setting == setting]
    best = [_best(read_epochs(folders[run])) for run in own if run not in failed]
    kept = [epoch for epoch in best if epoch]
    names = kept[0].scores if kept else ()
    scores = {name: [epoch.scores[name] for epoch in kept] for name in names}
    return Row(
        ", ".join(setting) or "the recipe",
        len(kept),
        len([run for run in own if run in failed]),
        {name: mean(values) for name, values in scores.items()},
        {name: stdev(values) for name, values in scores.items() if len(values) > 1},
        [epoch.epoch + 1 for epoch in kept],
    )


def _best(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch whose model was kept."""
    return next((epoch for epoch in reversed(epochs) if epoch.is_best), None)


def mean_curve(folders: Sequence[Path], name: str) -> list[tuple[float, float]]:
    """The mean of a score over some runs after each epoch that all of them had, in hundredths."""
    runs = [
        {e.epoch + 1: e.scores[name] for e in read_epochs(f) if name in e.scores} for f in folders
    ]
    last = min((max(run, default=-inf) for run in runs), default=-inf)
    epochs = sorted({epoch for run in runs for epoch in run if epoch <= last})
    return [(float(e), 100 * mean(run[e] for run in runs if e in run)) for e in epochs]
