import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cutline
from cutline import Caption, Captioner
from cutline.errors import ImageError, ModelError
from cutline.images.load import View
from cutline.inference.captioner import load
from cutline.inference.network import Network, captions_of
from cutline.text.style import UNCONSTRAINED, Style
from cutline.text.vocabulary import MARKERS, Vocabulary
from cutline.types import Written


class ColourEngine(Network):
    """A hand-written engine: it says whether a picture is more red or more blue."""

    vocabulary = Vocabulary((*MARKERS, "red", "blue", "dog", "'s", "toy"))
    view = View(8)
    card = {"title": "Colours"}

    def __init__(self) -> None:
        self.batches: list[int] = []

    def write(self, pixels: np.ndarray, style: Style = UNCONSTRAINED) -> Written:
        self.batches.append(len(pixels))
        mean = pixels.astype(float).mean(axis=(1, 2))
        first = np.where(mean[:, 0] > mean[:, 2], 4, 5)
        words = np.stack([[[word, 2, 0, 0], [6, 7, 8, 2]] for word in first])
        log_probs = np.log([[0.5, 0.8, 1.0, 1.0], [0.1, 0.5, 0.5, 0.5]]).astype(np.float32)
        scores = np.zeros((len(pixels), 2), np.float32)
        return Written(words.astype(np.int64), np.stack([log_probs] * len(pixels)), scores)


@pytest.fixture
def red(tmp_path) -> Path:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_a_caption_says_how_sure_the_model_is_of_it(red):
    caption = Captioner(ColourEngine()).caption(red)

    assert caption.text == str(caption) == "red"
    assert caption.words == ("red",)
    assert caption.log_prob == pytest.approx(math.log(0.4))
    assert caption.confidence == pytest.approx(math.sqrt(0.4))
    assert [math.exp(p) for p in caption.word_log_probs] == pytest.approx([0.5, 0.8])
    assert caption.alternatives == ()


def test_the_best_candidates_come_on_request(red):
    caption = Captioner(ColourEngine()).caption(red, best=2)

    [other] = caption.alternatives
    assert other.text == "dog's toy"
    assert other.words == ("dog", "'s", "toy")
    assert other.log_prob == pytest.approx(math.log(0.1 * 0.5**3))
    with pytest.raises(ModelError, match="2 candidates per picture: choose a number from 1 to 2"):
        Captioner(ColourEngine()).caption(red, best=3)


def test_only_a_caption_that_is_too_long_is_searched_again(tiny, drawn):
    captioner = load(tiny)
    pictures = sorted(drawn.glob("*.png"))[:8]
    free = captioner.caption(pictures)
    lengths = sorted(len(caption.text) for caption in free)
    assert lengths[0] < lengths[-1]

    short = captioner.caption(pictures, style=Style(max_chars=lengths[-1] - 1))

    for before, after in zip(free, short, strict=True):
        assert 0 < len(after.text) < lengths[-1]
        assert (after == before) == (len(before.text) < lengths[-1])


def test_candidates_are_dressed_as_sentences_and_fit(red):
    captioner = Captioner(ColourEngine())

    caption = captioner.caption(red, best=2, style=Style(sentence=True))
    alone = captioner.caption(red, best=2, style=Style(max_chars=10, sentence=True))

    assert (caption.text, caption.words) == ("Red.", ("red",))
    assert [other.text for other in caption.alternatives] == ["Dog's toy."]
    assert [other.text for other in alone.alternatives] == ["Dog's toy."]


def test_one_gives_one_and_a_list_gives_a_list(red):
    captioner = Captioner(ColourEngine())

    assert isinstance(captioner.caption(red), Caption)
    assert [c.text for c in captioner.caption([red, red])] == ["red", "red"]
    assert captioner.caption([]) == []


def test_whatever_holds_a_picture_is_accepted(red):
    image, array = Image.open(red), np.asarray(Image.open(red))
    pictures = [str(red), red, red.read_bytes(), io.BytesIO(red.read_bytes()), image, array]

    captions = Captioner(ColourEngine()).caption(pictures)

    assert {caption.text for caption in captions} == {"red"}
    assert Captioner(ColourEngine()).caption(array).text == "red"


def test_a_bad_picture_raises_alone_and_is_answered_among_others(red, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"")
    captioner = Captioner(ColourEngine())

    answers = list(captioner.caption_each([red, tmp_path / "bad.jpg", red]))

    assert [type(answer) for answer in answers] == [Caption, ImageError, Caption]
    with pytest.raises(ImageError, match="bad.jpg is empty"):
        captioner.caption([red, tmp_path / "bad.jpg"])


def test_pictures_are_answered_in_order_and_only_a_few_are_held_at_once(red):
    engine, opened = ColourEngine(), []

    def pictures():
        for number in range(100):
            opened.append(number)
            yield Image.new("RGB", (4, 4), "red" if number % 3 else "blue")

    answers = Captioner(engine).caption_each(pictures())

    first = next(answers)
    assert first.text == "blue"
    assert len(opened) <= 40
    assert [a.text for a in answers] == ["red" if n % 3 else "blue" for n in range(1, 100)]
    assert max(engine.batches) <= 8


def test_a_caption_of_no_words_has_a_confidence():
    log_probs, scores = np.array([[[-0.5, 0.0]]], np.float32), np.zeros((1, 1), np.float32)
    [empty] = captions_of(Written(np.array([[[2, 0]]]), log_probs, scores), ColourEngine.vocabulary)

    assert empty.text == ""
    assert empty.confidence == pytest.approx(math.exp(-0.5))


def test_a_candidate_that_does_not_exist_is_not_shown(red):
    class Lonely(ColourEngine):
        def write(self, pixels: np.ndarray, style: Style = UNCONSTRAINED) -> Written:
            words, log_probs, scores, *_ = super().write(pixels, style)
            return Written(words, log_probs, np.where([True, False], scores, -np.inf).astype("f4"))

    assert Captioner(Lonely()).caption(red, best=2).alternatives == ()


def test_one_pil_image_may_come_many_times(red):
    image = Image.open(red)

    captions = Captioner(ColourEngine()).caption([image] * 40)

    assert {caption.text for caption in captions} == {"red"}


def test_a_model_folder_and_a_file_are_both_loaded(tiny, drawn):
    picture = sorted(drawn.glob("*.png"))[0]

    from_folder, from_file = cutline.load(tiny), cutline.load(tiny / "model.onnx")

    assert from_folder.caption(picture) == from_file.caption(picture)
    assert from_file.card["title"] == "Tiny"


def test_a_folder_whose_graph_is_of_other_weights_is_run_by_torch(tiny, drawn, tmp_path):

    folder = Path(shutil.copytree(tiny, tmp_path / "stale"))
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "fingerprint": "another"}))

    captioner = cutline.load(folder)

    assert type(captioner.engine).__name__ == "TorchEngine"
    picture = sorted(drawn.glob("*.png"))[0]
    assert captioner.caption(picture).text == cutline.load(tiny).caption(picture).text


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ModelError, match="there is no model"):
        cutline.load(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="is not a model folder"):
        cutline.load(tmp_path)
