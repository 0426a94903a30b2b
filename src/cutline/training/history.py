"""What a run leaves of its steps and epochs: `history.jsonl` and `epochs.jsonl` of its folder."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cutline.errors import DataError
from cutline.io.atomic import atomic_write, open_to_append, write_text_file
from cutline.io.jsonl import format_jsonl, read_jsonl

HISTORY, EPOCHS = "history.jsonl", "epochs.jsonl"


@dataclass(frozen=True)
class Sample:
    """What was written under one validation picture."""

    picture: str
    caption: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Epoch:
    """One pass over the data."""

    epoch: int
    """Counted from 0."""
    step: int
    """After which it ended."""
    loss: float
    scores: Mapping[str, float] = field(default_factory=dict)
    is_best: bool = False
    samples: tuple[Sample, ...] = ()


class History:
    """The loss of every step, a line each; what came after the point of resuming is cut off."""

    def __init__(self, path: Path, step: int) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        with atomic_write(path) as file:
            file.writelines(line.encode() + b"\n" for line in lines[:step])
        self._file = io.BufferedWriter(open_to_append(path))

    def add(self, step: Any) -> None:
        """A step, as a dataclass."""
        self._file.write(json.dumps(asdict(step)).encode() + b"\n")

    def flush(self) -> None:
        """Have what was added in the file."""
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def keep_epoch(folder: Path, epoch: Epoch) -> None:
    """Add an epoch to the folder's; those after it are of a run that was killed, and go."""
    kept = [one for one in read_epochs(folder) if one.epoch < epoch.epoch]
    write_text_file(format_jsonl(asdict(one) for one in [*kept, epoch]), folder / EPOCHS)


def read_epochs(folder: Path) -> list[Epoch]:
    """Every epoch of the folder, none where it has none; `DataError` for a file that is no such."""
    found = []
    for number, line in _read(folder / EPOCHS):
        try:
            samples = tuple(
                Sample(str(s["picture"]), str(s["caption"]), tuple(map(str, s["references"])))
                for s in line["samples"]
            )
            scores = {str(name): float(value) for name, value in line["scores"].items()}
            epoch, step, loss = int(line["epoch"]), int(line["step"]), float(line["loss"])
            found.append(Epoch(epoch, step, loss, scores, bool(line["is_best"]), samples))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise DataError(f"{folder / EPOCHS}, line {number}: this is no epoch") from None
    return found


def _read(path: Path) -> Iterable[tuple[int, Any]]:
    """The lines with their numbers; half a line, as a killed run leaves it, ends the file."""
    try:
        yield from read_jsonl(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from None
