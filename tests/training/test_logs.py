"""The logs for other programs hold what the run's own files hold, also after a resume."""

import csv
import json

import pytest

from cutline.cli import progress
from cutline.cli.progress import Bars
from cutline.training.events import TrainingStarted
from cutline.training.history import Epoch, keep_epoch
from cutline.training.logs import CsvLog, TensorBoardLog
from cutline.training.trainer import Step

STEPS = [Step(n, (n - 1) // 2, 3.0 - n, 2.5 - n, 0.1, 1.0, 20.0, 0.5) for n in (1, 2, 3, 4)]


def test_the_table_has_a_row_for_each_step_and_the_validation_in_the_last_of_an_epoch(tmp_path):
    lines = [{**vars(step)} for step in STEPS]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    keep_epoch(tmp_path, Epoch(-1, 0, None, {"CIDEr-D": 0.2}, validation_loss=2.0))
    keep_epoch(tmp_path, Epoch(0, 2, 1.5, {"CIDEr-D": 0.25}, validation_loss=1.5))

    CsvLog(tmp_path).close()

    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["loss"] for row in rows] == ["", "2.0", "1.0", "0.0", "-1.0"]
    assert [row["unsmoothed_loss"] for row in rows] == ["", "1.5", "0.5", "-0.5", "-1.5"]
    assert [row["validation_loss"] for row in rows] == ["2.0", "", "1.5", "", ""]
    assert [row["validation CIDEr-D"] for row in rows] == ["0.2", "", "0.25", "", ""]


def test_tensorboard_shows_every_step_once_after_a_resume(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an optional library")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first in (1, 3):  # stopped after step 3, saved after step 2
        log = TensorBoardLog(tmp_path)
        log.add(TrainingStarted({}, 9, first - 1, 4))
        for step in STEPS[first - 1 : first + 2]:
            log.add(step)
        log.close()

    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = [(each.step, each.value) for each in read.Scalars("loss/training")]
    assert losses == [(step.number, step.loss) for step in STEPS]
    assert {"learning_rate", "gradient_norm", "pictures_per_second"} <= set(read.Tags()["scalars"])


def test_without_a_terminal_a_line_a_minute_says_how_long_it_will_take(capsys, monkeypatch):
    now = iter(range(0, 100_000, 40))  # every step takes 40 seconds
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(now)))
    bars = Bars(lines=True)

    for step in range(1, 11):
        bars.show("step", step, 200, "loss 2.000")

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "step 2 of 200, loss 2.000, 2 h 12 min left"
    assert [line.split()[1] for line in lines] == ["2", "4", "6", "8", "10"]
