"""The commands that evaluate, calibrate, inspect and average models."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from conftest import ROOT
from cutline.inference.captioner import PACKAGED, load
from cutline.inference.onnx import OnnxEngine
from cutline.models.checkpoint import read_model
from cutline.reports.model_card import format_card


def width_of(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.width


def test_evaluate_scores_an_ensemble_and_draws_a_sheet(run, tiny, drawn, tmp_path):
    options = ["--data", drawn, "--split", "validation", "--draws", 0, "--json"]
    _, alone, _ = run("evaluate", tiny, *options)

    code, out, _ = run(
        "evaluate", tiny, "--with", tiny, "--sheet", tmp_path / "sheet.png", *options
    )

    assert code == 0
    assert json.loads(out)["scores"] == pytest.approx(json.loads(alone)["scores"])
    assert width_of(tmp_path / "sheet.png") == 4 * 240


def test_evaluate_computes_the_chosen_metrics_with_intervals(run, tiny, drawn):
    code, out, _ = run("evaluate", tiny, "--data", drawn, "--only", "CIDEr-D", "--json")

    report = json.loads(out)
    assert code == 0
    assert list(report["scores"]) == ["CIDEr-D"]
    low, high = report["intervals"]["CIDEr-D"]
    assert low < report["scores"]["CIDEr-D"] < high


def test_the_soup_of_a_model_with_itself_is_the_model(run, tiny, tmp_path):
    code, _, err = run("soup", tiny, tiny, "--out", tmp_path / "soup")

    assert (code, "the mean of 2 models" in err) == (0, True)
    mixed, own = read_model(tmp_path / "soup"), read_model(tiny)
    assert mixed.card["fingerprint"] == own.card["fingerprint"]


def test_calibrate_writes_the_calibration_into_the_card(run, tiny, drawn, tmp_path):
    model = tmp_path / "model.onnx"
    shutil.copy(tiny / "model.onnx", model)
    picture = sorted(drawn.glob("*.png"))[0]
    before = load(model).caption(picture)

    code, out, _ = run("calibrate", model, "--data", drawn)

    after = load(model).caption(picture)
    assert code == 0
    assert "expected calibration error" in out
    assert (after.text, after.log_prob) == (before.text, before.log_prob)
    assert 0 < after.confidence < 1
    assert after.confidence != before.confidence
    _, card, _ = run("card", model)
    assert "Confidence: the share of good captions" in card


@pytest.mark.slow
def test_the_built_in_model_is_changed_only_with_apply(run, drawn):
    before = PACKAGED.stat().st_mtime_ns

    shown = run("calibrate", "--data", drawn, "--kind", "shapes")
    recorded = run("evaluate", "--data", drawn, "--kind", "shapes", "--record")

    assert shown[0] == 0 and "expected calibration error" in shown[1]
    assert "nothing was written: add --apply to write into the built-in model" in shown[2]
    assert recorded[0] == 1 and "add --apply, or name another model" in recorded[2]
    assert PACKAGED.stat().st_mtime_ns == before


def test_a_model_folder_is_calibrated_with_its_one_file_form(run, tiny, drawn, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "model")

    code, out, _ = run("calibrate", "-m", folder, "--data", drawn, "--kind", "shapes", "--json")

    assert code == 0
    cards = [read_model(path).card for path in (folder, folder / "model.onnx")]
    assert [card["calibration"] for card in cards] == 2 * [json.loads(out)]
    assert json.loads((folder / "card.json").read_text())["calibration"] == json.loads(out)
    before, after = read_model(tiny), read_model(folder)
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in before.tensors)


@pytest.mark.slow
def test_inspect_reports_and_draws_the_worst_pictures(run, tiny, drawn, tmp_path):
    which = ("--data", drawn, "--split", "train")

    code, out, _ = run("inspect", tiny, *which, "--out", tmp_path / "report")

    assert code == 0
    assert "No cause was found" in out
    assert (tmp_path / "report" / "report.md").read_text() == out
    assert width_of(tmp_path / "report" / "worst.jpg") == 4 * 240
    page = (tmp_path / "report" / "report.html").read_text()
    assert "No cause was found" in page
    assert page.count("<figure><img ") == out.count(".png |") > 0


def test_the_attention_of_a_model_without_attention_cannot_be_drawn(run, tiny, drawn, tmp_path):
    picture = sorted(drawn.glob("*.png"))[0]
    code, _, err = run("gaze", picture, "--model", tiny, "--out", tmp_path / "gaze.png")
    assert code == 1
    assert "this model has no attention" in err


def test_the_attention_of_the_built_in_model_is_drawn(run, tmp_path):
    out = tmp_path / "gaze.jpg"
    code, caption, _ = run("gaze", ROOT / "examples" / "cat.jpg", "--out", out)

    assert code == 0
    assert caption.strip()
    assert width_of(out) == 5 * 224


def test_a_drawing_that_cannot_be_written_is_reported(run, tmp_path):
    picture = ROOT / "examples" / "cat.jpg"
    code, _, err = run("gaze", picture, "--out", tmp_path / "nowhere" / "gaze.jpg")
    assert code == 1
    assert "gaze.jpg cannot be written" in err


@pytest.mark.slow
def test_the_cost_of_8_bits_is_measured_and_recorded_in_the_card(run, tiny, drawn, tmp_path):
    path = tmp_path / "narrow.onnx"

    code, _, err = run("export", tiny, "--precision", "int8", "--data", drawn, "--out", path)

    assert code == 0
    assert re.search(r"narrow.onnx: [\d.]+ MB, int8\nCIDEr-D on validation: fp32 [\d.]+, int8", err)
    engine = OnnxEngine(path)
    cost = engine.card["precision_cost"]
    assert cost["fp32"] == pytest.approx(engine.card["scores"]["validation"]["scores"]["CIDEr-D"])
    assert abs(cost["int8"] - cost["fp32"]) < 0.3
    assert "Computes in 8 bits" in format_card(engine.card)
