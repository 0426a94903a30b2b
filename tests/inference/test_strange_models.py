"""Models of strangers: one sentence says what is wrong with each, and none runs on for ever."""

import json
import os
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from cutline.errors import ModelError
from cutline.inference.captioner import Captioner
from cutline.inference.onnx import OnnxEngine
from cutline.models import onnx_runtime
from strange_models import WORDS, WRITTEN, write_model

PIXELS = np.zeros((1, 32, 32, 3), np.uint8)
DIGITS = "9" * 5_000


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_the_model_that_the_others_are_made_from_captions(run, tmp_path, picture):
    code, out, err = run("caption", "-m", write_model(tmp_path / "m.onnx"), picture)

    assert (code, out, err) == (0, "a dog\n", "")


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"card": "[]"}, "its card cannot be read"),
        ({"card": "[" * 100_000}, "its card cannot be read"),
        ({"card": f'{{"epoch": {DIGITS}}}'}, "its card cannot be read"),
        ({"card": '{"calibration": [1]}'}, "calibration in the model card is invalid"),
        ({"card": '{"calibration": {"bias": NaN, "mean": 1, "least": 1}}'}, "calibration in the"),
        ({"card": '{"calibration": {"bias": "a", "mean": 1, "least": 1}}'}, "calibration in the"),
        ({"view": "[]"}, "its view cannot be read"),
        ({"view": '{"size": "a"}'}, "a view has a size from 1 to 1024 pixels, not 'a'"),
        ({"view": '{"size": 1e9}'}, "a view has a size from 1 to 1024"),
        ({"view": '{"fit": []}'}, "a view cannot fit by []"),
        ({"view": '{"\\u001b[2J": 1}'}, "a view has no field '\\x1b[2J'"),
        ({"vocabulary": "a"}, "word 0 of the vocabulary must be the marker '<pad>'"),
        ({"vocabulary": "\n".join([*WORDS, "a"])}, "the vocabulary contains 'a' twice"),
        ({"vocabulary": "\n" * 3_000_000}, "the vocabulary has 3,000,001 words; the limit"),
        ({"vocabulary": "\n".join([*WORDS, "b" * 10**6])}, "has 1,000,000 characters"),
        ({"format": "9"}, "was made by a different version of cutline"),
    ],
)
def test_what_a_model_says_of_itself_wrongly_is_one_sentence(
    metadata, sentence, run, tmp_path, picture
):
    model = write_model(tmp_path / "m.onnx", metadata=metadata)

    code, out, err = run("caption", "-m", model, picture)

    assert (code, out) == (1, "")
    assert err.startswith("cutline: ")
    assert sentence in err
    assert "\n" not in err.strip()


@pytest.mark.parametrize("without", ["card", "view", "vocabulary", "format"])
def test_a_model_that_lacks_a_part_is_one_sentence(without, run, tmp_path, picture):
    model = write_model(tmp_path / "m.onnx", without=(without,))

    code, out, err = run("caption", "-m", model, picture)

    assert (code, out, err.count("\n")) == (1, "", 0)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"words": np.zeros((1, 1), np.int64)}, "it gives 1 pictures the shapes (1, 1)"),
        ({"words": np.zeros((1, 0, 4), np.int64)}, "it gives 1 pictures the shapes (1, 0, 4)"),
        ({"words": np.full((3, 1, 4), 4, np.int64)}, "it gives 1 pictures the shapes (3, 1, 4)"),
        ({"words": np.zeros((1, 1, 4), np.float32)}, "words must be whole numbers"),
        ({"words": np.full((1, 1, 4), 99, np.int64)}, "words that its vocabulary of 6 does not"),
        ({"words": np.full((1, 1, 4), -5, np.int64)}, "words that its vocabulary of 6 does not"),
        ({"words": np.zeros((1, 1, 4), np.int64)}, "captions without an end"),
        ({"log_probs": np.full((1, 1, 4), np.nan, np.float32)}, "above 0 or no numbers"),
        ({"log_probs": np.full((1, 1, 4), 1e30, np.float32)}, "above 0 or no numbers"),
        ({"log_probs": np.zeros((2, 1, 4), np.float32)}, "the shapes (1, 1, 4), (2, 1, 4)"),
        ({"scores": np.zeros(1, np.float32)}, "the shapes (1, 1, 4), (1, 1, 4), (1,)"),
        ({"gaze": np.zeros((1, 1, 4, 3), np.float32)}, "the shapes (1, 1, 4), (1, 1, 4), (1, 1)"),
        ({"gaze": np.full((1, 1, 4, 4), np.nan, np.float32)}, "a gaze that is no shares"),
        ({"without": ("scores", "gaze")}, "must write words, log-probabilities, scores"),
    ],
)
def test_a_graph_that_writes_what_no_captioner_writes_is_one_sentence(written, sentence, tmp_path):
    engine = OnnxEngine(write_model(tmp_path / "m.onnx", **written))

    with pytest.raises(ModelError) as refused:
        Captioner(engine).caption(PIXELS[0])

    assert sentence in str(refused.value)


def test_a_graph_that_does_not_end_is_ended(tmp_path):
    engine = OnnxEngine(write_model(tmp_path / "m.onnx", endless=True), patience=0.5)

    with pytest.raises(ModelError, match=r"did not end within 0\.5 seconds and was stopped"):
        engine.write(PIXELS)


def test_a_graph_that_asks_for_all_memory_does_not_get_it(tmp_path):
    numbers = onnx_runtime.MEMORY * (1 + os.cpu_count()) // 4 + 1

    engine = OnnxEngine(write_model(tmp_path / "m.onnx", hungry=numbers))

    with pytest.raises(ModelError, match="needs more memory than there is"):
        engine.write(PIXELS)


def test_one_that_waits_for_the_processor_is_not_ended(tmp_path):
    """By the clock its time is over at once; but nothing has been computed yet."""
    with onnx_runtime.ended_after(0.05) as options:
        time.sleep(0.3)
        assert not options.terminate


def test_a_calibration_at_its_ends_warns_of_nothing(run, tmp_path, picture):
    card = json.dumps({"calibration": {"bias": -999_999, "mean": 999_999, "least": 0}})
    model = write_model(tmp_path / "m.onnx", metadata={"card": card})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, out, err = run("caption", "-m", model, "--json", picture)

    assert json.loads(out)["confidence"] == 0
    assert err == ""


def test_weights_that_are_no_numbers_are_told_before_json_is_written():
    from cutline.inference.network import captions_of
    from cutline.text.vocabulary import Vocabulary
    from cutline.types import Written

    nothing = WRITTEN["log_probs"] * np.float32(np.nan)
    written = Written(**{**WRITTEN, "log_probs": nothing})

    with pytest.raises(ModelError, match="probabilities are not finite"):
        captions_of(written, Vocabulary(WORDS))


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ("{}", "Scores: none"),
        ('{"view": {}, "encoder": {}, "versions": {}}', "Encoder's weights: not stated"),
        ('{"scores": {"test": 5}}', "card is malformed"),
        ('{"scores": []}', "card is malformed"),
        ('{"precision": ["x"]}', "card is malformed"),
        ('{"calibration": [1]}', "card is malformed"),
        ('{"view": 7}', "card is malformed"),
        ('{"mixed": 7}', "card is malformed"),
    ],
)
def test_a_card_is_told_or_one_sentence(card, told, run, tmp_path):
    code, out, err = run("card", write_model(tmp_path / "m.onnx", metadata={"card": card}))

    assert told in out + err
    assert (code, err.count("\n")) == (int(bool(err)), 0)
