"""The log of a run: `history.jsonl` (steps) and `epochs.jsonl` in its folder."""

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cutline.datasets.validation import Problem
from cutline.errors import DataError
from cutline.io.atomic import atomic_write, open_to_append, write_text_file
from cutline.io.jsonl import format_jsonl, read_jsonl

HISTORY, EPOCHS, LEFT_OUT = "history.jsonl", "epochs.jsonl", "left-out.txt"


@dataclass(frozen=True)
class Sample:
    """The caption of one validation image."""

    picture: str
    caption: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One pass over the data."""

    epoch: int
    """Counted from 0; -1 is the model that training started from."""
    step: int
    """The last step of the epoch."""
    loss: float | None
    """The mean training loss; None for the model that training started from."""
    scores: Mapping[str, float] = field(default_factory=dict)
    is_best: bool = False
    samples: tuple[Sample, ...] = ()
    unsmoothed_loss: float | None = None
    """The mean training loss without label smoothing, if it is a cross-entropy."""
    validation_loss: float | None = None
    """The cross-entropy of the validation captions, without label smoothing."""


@dataclass
class Progress:
    """How far the run has come. `resume.pt` holds these fields under `standing`."""

    best: float | None = None
    """The best validation score so far."""
    best_epoch: int | None = None
    """The epoch of that score, counted from 0 over all trainings; -1 is the model at the start."""
    epochs_since: int = 0
    """Epochs since that score."""
    training: int = 0
    """Index of the current training in the recipe."""
    steps: int = 0
    """Steps of the finished trainings."""
    epochs: int = 0
    """Epochs of the finished trainings."""


class History:
    """Appends a line for every step; steps after the point where a run resumes are removed."""

    def __init__(self, path: Path | None, step: int) -> None:
        """`path` is the file; without one nothing is kept."""
        if path is None:
            self._file = io.BufferedWriter(io.FileIO(os.devnull, "w"))
            return
        lines = path.read_text().splitlines() if path.exists() else []
        with atomic_write(path) as file:
            file.writelines(line.encode() + b"\n" for line in lines[:step])
        self._file = io.BufferedWriter(open_to_append(path))

    def add(self, step: Any) -> None:
        """Append a step, which is a dataclass."""
        self._file.write(json.dumps(asdict(step)).encode() + b"\n")

    def flush(self) -> None:
        """Write everything added so far to the file."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def keep_epoch(folder: Path, epoch: Epoch) -> None:
    """Append an epoch; later ones, left by a run that was killed, are removed."""
    kept = [one for one in read_epochs(folder) if one.epoch < epoch.epoch]
    write_text_file(format_jsonl(asdict(one) for one in [*kept, epoch]), folder / EPOCHS)


def read_epochs(folder: Path) -> list[Epoch]:
    """The epochs recorded in a folder, if any; `DataError` if the file is not valid."""
    found = []
    for number, line in _read(folder / EPOCHS):
        try:
            samples = tuple(
                Sample(str(s["picture"]), str(s["caption"]), tuple(map(str, s["references"])))
                for s in line["samples"]
            )
            scores = {str(name): float(value) for name, value in line["scores"].items()}
            losses = [
                None if line.get(name) is None else float(line[name])
                for name in ("loss", "unsmoothed_loss", "validation_loss")
            ]
            epoch, step, is_best = int(line["epoch"]), int(line["step"]), bool(line["is_best"])
            found.append(Epoch(epoch, step, losses[0], scores, is_best, samples, *losses[1:]))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise DataError(f"{folder / EPOCHS}, line {number}: not a valid epoch record") from None
    return found


def describe_left_out(problems: Sequence[Problem], folder: Path) -> str:
    """What to say of invalid data that a run leaves out."""
    count = f"{len(problems)} problem{'s' * (len(problems) > 1)}"
    return (
        f"{count} of the data, such as {problems[0]}: left out, and listed in {folder / LEFT_OUT}"
    )


def keep_left_out(problems: Sequence[Problem], folder: Path) -> None:
    """List the invalid data that a run leaves out, a problem a line."""
    write_text_file((f"{problem}\n" for problem in problems), folder / LEFT_OUT)


def read_steps(folder: Path) -> list[Mapping[str, Any]]:
    """The steps recorded in a folder, if any; `DataError` if the file is not valid."""
    steps = []
    for number, line in _read(folder / HISTORY):
        try:
            float(line["number"]), float(line["loss"])
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{folder / HISTORY}, line {number}: not a training step") from None
        steps.append(line)
    return steps


def _read(path: Path) -> Iterable[tuple[int, Any]]:
    """Numbered lines; an incomplete line, as a killed run leaves it, ends the file."""
    try:
        yield from read_jsonl(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None
