"""A sweep's table is computed from the runs' own records."""

import json
from statistics import stdev

import pytest

from cutline.errors import RecipeError
from cutline.training.history import Epoch, keep_epoch, read_epochs
from cutline.training.sweep import Run, mean_curve, plan_sweep, summarize
from small_recipe import SMALL


def test_all_combinations_of_the_values_are_run_with_each_seed():
    runs = plan_sweep(["training.learning_rate=1e-4, 3e-4", "decoder.hidden=64,128"], 2)

    assert len(runs) == len({run.name for run in runs}) == 2 * 2 * 2
    assert runs[0].overrides == (
        "training.learning_rate=1e-4",
        "decoder.hidden=64",
        "training.seed=0",
    )
    assert plan_sweep([], 3) == [Run((), 0), Run((), 1), Run((), 2)]


@pytest.mark.parametrize("override", ["training.epochs", "training.epochs=", "a.b=1"])
def test_an_override_without_values_is_refused(override):
    with pytest.raises(RecipeError, match="use section.option=value,value"):
        plan_sweep(["a.b=2", override], 1)


def test_the_table_has_mean_and_spread_of_the_best_epochs(tmp_path):
    runs = plan_sweep(["a.b=1,2"], 3)
    folders = {run: tmp_path / run.name for run in runs}
    scores = [0.1, 0.2, 0.6, 0.5, 0.5, 0.5]
    for run, score in zip(runs, scores, strict=True):
        folders[run].mkdir()
        keep_epoch(folders[run], Epoch(0, 5, 2.0, {"CIDEr-D": score}, True))
        keep_epoch(folders[run], Epoch(1, 10, 1.0, {"CIDEr-D": score - 0.1}, False))

    one, two = summarize(folders, [runs[5]])

    assert (one.setting, one.seeds, one.failed, one.epochs) == ("a.b=1", 3, 0, [1, 1, 1])
    assert one.means["CIDEr-D"] == pytest.approx(0.3)
    assert one.spreads["CIDEr-D"] == pytest.approx(stdev(scores[:3]))
    assert (two.seeds, two.failed, two.spreads) == (2, 1, {"CIDEr-D": 0.0})
    curve = mean_curve([folders[run] for run in runs[:3]], "CIDEr-D")
    assert curve == [(1.0, pytest.approx(30)), (2.0, pytest.approx(20))]


@pytest.mark.slow
def test_a_sweep_of_the_command_line_trains_each_setting_once(run, drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    command = ("sweep", "small.toml", "--data", drawn, "--cache", tmp_path / "cache", "--seeds", 2)
    command += ("--set", "training.learning_rate=0.01,0.02", "--device", "cpu", "--json")

    code, out, _ = run(*command)

    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [row["setting"] for row in rows]) == (
        0,
        ["training.learning_rate=0.01", "training.learning_rate=0.02"],
    )
    folders = [path for path in (tmp_path / "sweeps" / "small").iterdir() if path.is_dir()]
    best = [max(e.scores["CIDEr-D"] for e in read_epochs(f)) for f in folders if "0.02" in f.name]
    assert rows[1]["means"]["CIDEr-D"] == pytest.approx(sum(best) / 2)
    before = {path: path.read_bytes() for f in folders for path in f.iterdir()}
    assert run(*command)[:2] == (0, out)
    assert {path: path.read_bytes() for f in folders for path in f.iterdir()} == before
    assert "Sweep of small" in (tmp_path / "sweeps" / "small" / "report.html").read_text()
