"""A loader for loops of one's own: every caption once an epoch, the same by seed; it teaches."""

import numpy as np
import pytest
import torch

from cutline.datasets.shapes import Shapes
from cutline.errors import DataError, ImageError
from cutline.images.load import View, open_image
from cutline.models.decoders.show_and_tell import ShowAndTell
from cutline.models.encoders.mosaic import Mosaic
from cutline.models.search import greedy
from cutline.models.weights import CaptionModel, cross_entropy
from cutline.text.vocabulary import END, PAD, START, Vocabulary
from cutline.training.batch_inputs import EncoderInput, OnlinePixels, plan_training
from cutline.training.dataloader import open_loader
from cutline.training.losses import CrossEntropy
from cutline.training.trainer import Step, Trainer, Training
from cutline.types import Example

VIEW = View(32)


@pytest.fixture(scope="module")
def examples(drawn) -> list[Example]:
    return list(Shapes(drawn, count=20, size=32))


@pytest.fixture(scope="module")
def vocabulary(examples) -> Vocabulary:
    return Vocabulary.of((c for example in examples for c in example.captions), min_count=1)


def read_all(loader, vocabulary) -> list[str]:
    return [" ".join(vocabulary.decode(row)) for _, words, _ in loader for row in words]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_caption_comes_once_an_epoch(examples, vocabulary, shuffle):
    loader = open_loader(examples, vocabulary, VIEW, batch_size=7, shuffle=shuffle)

    read = read_all(loader, vocabulary)

    assert sorted(read) == sorted(caption for e in examples for caption in e.captions)
    assert len(loader) == len(list(loader)) == 9


def test_a_row_is_a_picture_as_the_model_sees_it_with_one_of_its_captions(examples, vocabulary):
    by_pixels = {open_image(e.image, VIEW).tobytes(): e.captions for e in examples}

    for pixels, words, lengths in open_loader(examples, vocabulary, VIEW, batch_size=7):
        assert (pixels.dtype, pixels.shape[1:]) == (torch.uint8, (3, 32, 32))
        for picture, row, length in zip(pixels, words, lengths, strict=True):
            captions = by_pixels[np.ascontiguousarray(picture.permute(1, 2, 0).numpy()).tobytes()]
            assert " ".join(vocabulary.decode(row)) in captions
            assert (row[0], row[length - 1]) == (START, END)
            assert set(row[length:].tolist()) <= {PAD}


def test_epochs_differ_and_follow_from_seed_and_number(examples, vocabulary):
    def epoch(seed: int, number: int) -> list[str]:
        return read_all(
            open_loader(examples, vocabulary, VIEW, seed=seed, epoch=number), vocabulary
        )

    loader = open_loader(examples, vocabulary, VIEW, seed=3)

    assert [read_all(loader, vocabulary) for _ in range(2)] == [epoch(3, 0), epoch(3, 1)]
    assert epoch(3, 0) != epoch(3, 1)
    assert epoch(3, 0) != epoch(4, 0)


def test_without_shuffling_the_order_is_that_of_the_examples(examples, vocabulary):
    loader = open_loader(examples, vocabulary, VIEW, batch_size=7, shuffle=False)

    assert read_all(loader, vocabulary) == [c for example in examples for c in example.captions]


def test_a_pass_leaves_everybodys_random_numbers_alone(examples, vocabulary):
    torch.manual_seed(5)
    before = torch.get_rng_state()

    list(open_loader(examples, vocabulary, VIEW))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch's way of making processes
def test_processes_that_read_ahead_change_nothing(examples, vocabulary):
    alone = open_loader(examples, vocabulary, VIEW, batch_size=20)
    ahead = open_loader(examples, vocabulary, VIEW, batch_size=20, workers=1)

    for _ in range(2):
        for one, other in zip(alone, ahead, strict=True):
            assert all(map(torch.equal, one, other))


def test_a_damaged_picture_is_named_and_left_out(examples, vocabulary, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(examples[0].image.read_bytes()[:60])
    damaged = Example("broken", broken, ("a red circle",), "train")

    loader = open_loader([damaged, *examples[:2]], vocabulary, VIEW, shuffle=False)
    with pytest.warns(UserWarning, match="left out: .*broken.png is"):
        [(pixels, words, _)] = list(loader)

    assert len(pixels) == len(words) == 6
    with pytest.warns(UserWarning), pytest.raises(ImageError, match=r"broken.png"):
        list(open_loader([damaged], vocabulary, VIEW))


def test_nothing_to_load_is_told(examples, vocabulary):
    with pytest.raises(DataError, match="0 captions in batches of 4"):
        open_loader([], vocabulary, VIEW, batch_size=4)
    with pytest.raises(DataError, match="in batches of 0"):
        open_loader(examples, vocabulary, VIEW, batch_size=0)


@pytest.mark.slow
def test_a_loop_of_ones_own_has_the_losses_of_the_trainer(examples, vocabulary, tmp_path):
    def make() -> CaptionModel:
        torch.manual_seed(0)
        decoder = ShowAndTell(Mosaic().width, len(vocabulary), embedding=16, hidden=16, dropout=0.0)
        return CaptionModel(Mosaic(), decoder)

    options = Training(
        epochs=3, captions_a_step=8, learning_rate=1e-2, schedule="constant", warmup=0.0, seed=2
    )
    model = make()
    material = OnlinePixels(EncoderInput(model.encoder, VIEW, tmp_path), options)
    plan = plan_training(material, examples, vocabulary, options)
    trainer = Trainer(model, options, CrossEntropy(), steps_an_epoch=len(plan(0)), device="cpu")
    expected = [event.loss for event in trainer.run(plan) if isinstance(event, Step)]

    model, losses = make(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    loader = open_loader(examples, vocabulary, VIEW, batch_size=8, seed=2)
    for _ in range(3):
        for pixels, words, _ in loader:
            loss = cross_entropy(model(pixels, words[:, :-1]), words[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            losses.append(loss.item())

    assert losses == pytest.approx(expected, rel=1e-4)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_a_loop_of_ten_lines_learns_four_pictures_by_heart(examples, vocabulary):
    four = [Example(e.id, e.image, e.captions[:1], e.split) for e in examples[:4]]
    torch.manual_seed(0)
    decoder = ShowAndTell(Mosaic().width, len(vocabulary), embedding=32, hidden=64, dropout=0.0)
    model = CaptionModel(Mosaic(), decoder)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loader = open_loader(four, vocabulary, VIEW, batch_size=2)
    losses = []

    for _ in range(60):
        for pixels, words, _ in loader:
            loss = cross_entropy(model(pixels, words[:, :-1]), words[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    assert losses[0] == pytest.approx(np.log(len(vocabulary)), rel=0.1)  # knows nothing yet
    assert max(losses[-2:]) < 0.02
    pictures = torch.stack([torch.from_numpy(open_image(e.image, VIEW)) for e in four])
    found = greedy(decoder, model.encoder(pictures.permute(0, 3, 1, 2)), max_words=12)
    written = [" ".join(vocabulary.decode(row)) for row in found.words[:, 0]]
    assert written == [caption for e in four for caption in e.captions]
