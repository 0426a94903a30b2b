"""The page of a training: its numbers are those of the files; a resumed run leaves no ghosts."""

import json
import re
from dataclasses import replace

import pytest

from conftest import ROOT
from cutline.cli.runs import _draw_page
from cutline.errors import DataError
from cutline.reports.charts import line_chart
from cutline.reports.training import write_training_report
from cutline.training.history import Epoch, Sample, keep_epoch, read_epochs

EPOCH = Epoch(0, 5, 2.5, {"BLEU-4": 0.1, "CIDEr-D": 0.25}, True, validation_loss=2.25)


def test_an_epoch_that_happens_again_replaces_itself_and_those_after_it(tmp_path):
    for number in range(3):
        keep_epoch(tmp_path, replace(EPOCH, epoch=number))

    keep_epoch(tmp_path, replace(EPOCH, epoch=1, loss=9.0))

    assert [(one.epoch, one.loss) for one in read_epochs(tmp_path)] == [(0, 2.5), (1, 9.0)]
    assert [path.name for path in tmp_path.iterdir()] == ["epochs.jsonl"]


def test_the_page_shows_curves_table_and_samples(tmp_path):
    steps = [{"number": n, "epoch": 0, "loss": 10.0 - n, "seconds": 0.1} for n in range(1, 6)]
    (tmp_path / "history.jsonl").write_text("\n".join(map(json.dumps, steps)) + '\n{"half')
    picture = str(ROOT / "examples" / "cat.jpg")
    for number, text in enumerate(["a a a", "a cat", "a cat"]):
        sample = Sample(picture, text, ("<b>one</b>",))
        keep_epoch(tmp_path, replace(EPOCH, epoch=number, samples=(sample,)))

    page = write_training_report(tmp_path).read_text()

    assert "9 at step 1, 5 at step 5; from 5 to 9" in page
    row = "".join(
        f"<td>{cell}</td>" for cell in ("5", "2.500", "", "2.250", "10.0", "25.0", "so far")
    )
    assert f'<th scope="row">1</th>{row}</tr>' in page
    assert '<th scope="row">2 to 3</th><td dir="auto">a cat</td>' in page
    assert 'alt="a cat (machine-written)"' in page
    assert "&lt;b&gt;one&lt;/b&gt;" in page


def test_a_curve_goes_through_its_points():
    chart = line_chart("Loss", [(0.0, 0.0), (10.0, 4.0)], x_label="step")

    [line] = re.findall(r'class="line" d="M([^"]+)"', chart)
    (left, bottom), (right, top) = (map(float, part.split()) for part in line.split("L"))
    assert left < right
    assert bottom > top
    assert re.findall(r">([\d.]+)</text>", chart) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-2.0, -2.0], [float("nan"), 3.0]])
def test_a_flat_curve_is_drawn_too(values):
    chart = line_chart(
        "Loss", [(float(n), value) for n, value in enumerate(values)], x_label="step"
    )

    assert "nan" not in chart
    assert '<path class="line"' in chart


def test_a_folder_without_a_training_is_one_sentence(run, tmp_path):
    code, _, err = run("report", tmp_path)

    assert code == 1
    assert "nothing was trained there" in err


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "history.jsonl").mkdir()

    with pytest.raises(DataError, match=r"history.jsonl cannot be read: "):
        write_training_report(tmp_path)


def test_a_line_that_is_no_epoch_is_named(tmp_path):
    (tmp_path / "epochs.jsonl").write_text('{"epoch": 0}\n')

    with pytest.raises(DataError, match="epochs.jsonl, line 1: not a valid epoch record"):
        read_epochs(tmp_path)


def test_a_page_that_cannot_be_drawn_is_told_and_stops_nothing(tiny, tmp_path, capsys):
    for name in ("history.jsonl", "epochs.jsonl"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    (tmp_path / "report.html").mkdir()

    _draw_page(tmp_path)

    assert "the page of this training was not updated: " in capsys.readouterr().err


def test_training_leaves_what_the_page_is_drawn_from(tiny, tmp_path):
    epochs = read_epochs(tiny)

    assert [one.epoch for one in epochs] == list(range(25))
    assert len(epochs[-1].samples) == 3
    assert len((tiny / "history.jsonl").read_text().splitlines()) == epochs[-1].step
    assert "Sample captions" in write_training_report(tiny, tmp_path / "page.html").read_text()
