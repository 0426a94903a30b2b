"""Logs of a run for other programs: a table (`log.csv`) and TensorBoard's event files.

Both hold what `history.jsonl` and `epochs.jsonl` hold: loss, loss without label smoothing, learning
rate, norm of the gradient and pictures a second of every step; loss and scores on the validation
split of every epoch.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cutline.errors import TrainingError
from cutline.io.atomic import write_text_file
from cutline.training.events import Notice, TrainingStarted, Validated
from cutline.training.feature_store import Encoded
from cutline.training.history import read_epochs, read_steps
from cutline.training.trainer import Step

TABLE, EVENTS = "log.csv", "tensorboard"


class Log(Protocol):
    """Takes the events of a run, in order."""

    def add(self, event: Encoded | TrainingStarted | Step | Validated | Notice) -> None:
        """Record an event."""

    def close(self) -> None:
        """Write what is not written yet."""


class CsvLog:
    """`log.csv`: a row for every step; the last one of an epoch has the validation's columns too.

    The table is written anew after every epoch, from the run's own files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, event: Encoded | TrainingStarted | Step | Validated | Notice) -> None:
        """Rewrite the table after an epoch."""
        if isinstance(event, Validated):
            self.close()

    def close(self) -> None:
        """Rewrite the table."""
        ends = {epoch.step: epoch for epoch in read_epochs(self.folder)}
        rows = [
            {"step": 0} | _columns(ends.pop(0)) if 0 in ends else {},
            *({"step": s.pop("number"), **s} | _columns(ends.get(n)) for n, s in self._steps()),
        ]
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if row)
        write_text_file([table.getvalue()], self.folder / TABLE)

    def _steps(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return ((int(step["number"]), dict(step)) for step in read_steps(self.folder))


def _columns(epoch: Any) -> dict[str, Any]:
    """The columns of an epoch, for the row of its last step."""
    if epoch is None:
        return {}
    scores = {f"validation {name}": value for name, value in epoch.scores.items()}
    return {"validation_loss": epoch.validation_loss, **scores}


class TensorBoardLog:
    """Event files for TensorBoard, in the folder `tensorboard` of the run.

    Raises `TrainingError` if TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TrainingError(
                "--log tensorboard needs TensorBoard: pip install tensorboard"
            ) from None
        self._open: Any = SummaryWriter
        self._writer: Any = None
        self.folder, self._step = folder / EVENTS, 0

    def add(self, event: Encoded | TrainingStarted | Step | Validated | Notice) -> None:
        """Add the numbers of an event; TensorBoard hides those of steps that are repeated."""
        if isinstance(event, TrainingStarted):
            self.close()
            self._writer = self._open(str(self.folder), purge_step=event.step + 1)
            self._step = event.step
        elif isinstance(event, Step):
            self._step = event.number
            self._write(
                {
                    "loss/training": event.loss,
                    "loss/training without smoothing": event.unsmoothed_loss,
                    **{name: asdict(event)[name] for name in PER_STEP},
                }
            )
        elif isinstance(event, Validated):
            scores = event.report.scores if event.report else {}
            self._write({"loss/validation": event.validation_loss})
            self._write({f"validation/{name}": 100 * value for name, value in scores.items()})
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer:
            self._writer.close()

    def _write(self, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(name, value, self._step)


PER_STEP = ("learning_rate", "gradient_norm", "pictures_per_second")
"""Numbers of a step that TensorBoard shows under their own names."""

LOGS: dict[str, type[CsvLog] | type[TensorBoardLog]] = {
    "csv": CsvLog,
    "tensorboard": TensorBoardLog,
}
