"""Models broken on purpose: the right cause is named each time."""

import random
import re
from dataclasses import replace
from itertools import islice

import pytest
import torch

from cutline.datasets.flickr8k import Flickr8k
from cutline.datasets.shapes import Shapes
from cutline.errors import DataError
from cutline.evaluation.diagnose import format_inspection, inspect
from cutline.images.load import View
from cutline.inference.calibration import Bin
from cutline.inference.captioner import PACKAGED
from cutline.inference.torch import TorchEngine
from cutline.models.checkpoint import build, read_model
from cutline.models.encoders.mosaic import Mosaic
from cutline.reports.charts import reliability_diagram
from cutline.text.vocabulary import Vocabulary


@pytest.fixture
def engine(tiny) -> TorchEngine:
    return TorchEngine.open(tiny)


@pytest.fixture
def shapes(drawn):
    return list(Shapes(drawn, count=120, size=32))


@pytest.fixture
def examples(shapes):
    return [example for example in shapes if example.split != "train"]


def test_a_sound_model_has_no_cause(engine, examples, shapes):
    found = inspect(engine, examples, shapes[:60])

    assert found.cause.startswith("No cause was found")
    assert found.pictures == len(examples)
    assert found.nll < found.unigram_entropy
    assert found.shuffled < found.report.scores["CIDEr-D"]
    assert found.nearest_neighbour is not None
    assert [score for _, _, score in found.worst] == sorted(score for _, _, score in found.worst)


def test_a_vocabulary_in_another_order_is_named(engine, examples):
    markers, words = engine.vocabulary.words[:4], engine.vocabulary.words[4:]
    engine.vocabulary = Vocabulary((*markers, *reversed(words)))

    assert inspect(engine, examples).cause.startswith("The vocabulary does not match the weights")


def test_a_decoder_that_ignores_the_picture_is_named(engine, examples):
    with torch.no_grad():
        engine.model.decoder.see.weight.zero_()

    found = inspect(engine, examples)

    assert found.cause.startswith("The decoder ignores the picture")
    assert found.like_black == 1
    assert found.habits.distinct == 1 / len(examples)


class Backwards(Mosaic):
    """Reads blue where red is."""

    def forward(self, pixels):
        return super().forward(pixels.flip(1))


def test_colours_in_another_order_are_named(tiny, examples):
    saved = read_model(tiny)
    model = build(saved)
    model.encoder = Backwards(tiles=8)
    engine = TorchEngine(model, saved.recipe, saved.vocabulary, saved.card)

    cause = inspect(engine, examples).cause

    assert cause.startswith("The view is wrong: with red and blue swapped")


def test_the_report_tells_all(engine, examples, shapes):
    told = format_inspection(inspect(engine, examples, shapes[:60]), "tiny")

    for part in (
        "# Inspection of tiny",
        "| CIDEr-D |",
        "nearest training",
        "## Worst captions",
        "good",
    ):
        assert part in told


def test_the_curve_stands_where_confidence_and_truth_are():
    drawn = reliability_diagram([Bin(30, 0.25, 0.5), Bin(10, 0.75, 0.75)])

    first, last = re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', drawn)
    left, top, side = 44, 8, 228  # of the frame, in pixels
    assert [float(x) for x in first[:2]] == [left + side / 4, top + side / 2]
    assert [float(x) for x in last[:2]] == [left + side * 3 / 4, top + side / 4]
    assert float(first[2]) > float(last[2])  # it stands for more captions
    assert "Expected calibration error 0.188" in drawn


def test_damaged_pictures_are_left_out_and_too_few_are_told(engine, examples, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"nothing")
    damaged = replace(examples[0], id="x", image=tmp_path / "x.jpg")

    assert inspect(engine, [damaged, *examples]).pictures == len(examples)
    with pytest.raises(DataError, match="needs at least two pictures"):
        inspect(engine, [damaged, examples[0]])


def test_a_few_pictures_show_no_cause(engine, examples):
    cause = inspect(engine, examples[:3]).cause

    assert cause == "3 pictures are too few to find a cause: use at least 20."


# ------------------------------------------------------------------- the same, on real photographs


@pytest.fixture
def photographs(shared):
    examples = Flickr8k(shared / "data" / "flickr8k")
    return list(islice((e for e in examples if e.split == "validation"), 40))


def shuffle_words(engine: TorchEngine) -> None:
    markers, words = engine.vocabulary.words[:4], list(engine.vocabulary.words[4:])
    random.Random(0).shuffle(words)
    engine.vocabulary = Vocabulary((*markers, *words))


def blind_the_decoder(engine: TorchEngine) -> None:
    decoder = engine.model.decoder
    with torch.no_grad():
        for layer in (decoder.see, decoder.name, decoder.sure, decoder.copy):
            layer.weight.zero_()
        for part in (decoder.copy.bias, decoder.again, decoder.veto):
            part.zero_()


def look_through_a_keyhole(engine: TorchEngine) -> None:
    engine.view = View(96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "cause"),
    [
        (lambda engine: None, "No cause was found"),
        (shuffle_words, "The vocabulary does not match the weights"),
        (blind_the_decoder, "The decoder ignores the picture"),
        (look_through_a_keyhole, "The view is wrong: with squash to"),
    ],
    ids=["sound", "vocabulary", "collapsed", "view"],
)
def test_the_packaged_model_broken_on_purpose(break_it, cause, photographs):
    engine = TorchEngine.open(PACKAGED)
    break_it(engine)

    assert inspect(engine, photographs).cause.startswith(cause)
