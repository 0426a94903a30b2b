"""Models of the classic projects say here what their own code says; pickles run nothing.

`Encoder` and `Decoder` are plain re-creations of those projects' modules, with their names.
"""

import os
import pickle
import sys
import tracemalloc
from collections import OrderedDict
from functools import cache
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from cutline.errors import ModelError
from cutline.inference.torch import TorchEngine
from cutline.models.encoders.resnet import ResNet
from cutline.models.legacy import adopt
from cutline.models.legacy_vocabulary import read_vocabulary
from naive import shake

COURSE = ["<start>", "<end>", "<unk>", "a", "dog", "cat", "runs", "on", "grass", "."]
TUTORIAL = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "cat", "runs", "on", "grass"]
SHADES = np.random.default_rng(0).integers(0, 256, (8, 7, 7, 3), dtype=np.uint8)
PICTURES = SHADES.repeat(32, axis=1).repeat(32, axis=2)


class Encoder(nn.Module):
    """A ResNet taken to pieces, then a linear layer; the tutorial's normalises after it."""

    def __init__(self, embed_size: int, *, tutorial: bool) -> None:
        super().__init__()
        whole = shake(ResNet(18))
        parts = [whole.conv1, whole.bn1, whole.relu, whole.maxpool, whole.layer1, whole.layer2]
        self.resnet = nn.Sequential(*parts, whole.layer3, whole.layer4, nn.AdaptiveAvgPool2d(1))
        name = "linear" if tutorial else "embed"
        setattr(self, name, nn.Linear(512, embed_size))
        self.last = name
        if tutorial:
            self.bn = shake(nn.BatchNorm1d(embed_size, momentum=0.01))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.resnet(images).flatten(1)
        features = getattr(self, self.last)(features)
        return self.bn(features) if hasattr(self, "bn") else features


class Decoder(nn.Module):
    def __init__(self, embed_size: int, hidden_size: int, vocab_size: int, last: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, embed_size)
        self.lstm = nn.LSTM(embed_size, hidden_size, 1, batch_first=True)
        setattr(self, last, nn.Linear(hidden_size, vocab_size))
        self.last = last

    def sample(self, inputs: torch.Tensor, start: int, max_len: int = 19) -> list[int]:
        """The picture, then the start marker (which these models say first), then words."""
        states, said = None, []
        _, states = self.lstm(inputs[:, None], states)
        word = torch.tensor([start])
        for _ in range(max_len):
            hidden, states = self.lstm(self.embed(word)[:, None], states)
            word = getattr(self, self.last)(hidden[:, 0]).argmax(1)
            said.append(int(word))
        return said


@pytest.fixture(params=["course", "tutorial"])
def classic(request, tmp_path):
    """Files of an old model, its modules, its words."""
    torch.manual_seed(3)
    tutorial = request.param == "tutorial"
    words = TUTORIAL if tutorial else COURSE
    encoder = Encoder(16, tutorial=tutorial).eval()
    decoder = Decoder(16, 16 if tutorial else 24, len(words), "linear" if tutorial else "fc").eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.7)
    with torch.no_grad():  # untrained features are nearly the same for all pictures
        features, layer = encoder.resnet(normalised()).flatten(1), getattr(encoder, encoder.last)
        layer.weight.div_(((features - features.mean(0)) @ layer.weight.T).std() / 5)
        layer.bias.copy_(-layer.weight @ features.mean(0))
    torch.save(encoder.state_dict(), tmp_path / "encoder-5.pkl")
    torch.save(decoder.state_dict(), tmp_path / "decoder-5.pkl")
    return tmp_path, encoder, decoder, words


def normalised() -> torch.Tensor:
    """The pictures as torchvision's transforms leave them."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    return (torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255 - mean) / std


def said_by_the_old_code(encoder, decoder, words) -> list[list[str]]:
    captions = []
    with torch.no_grad():
        for image in normalised():
            numbers = decoder.sample(encoder(image[None]), words.index("<start>"))
            spoken = [words[number] for number in numbers]
            captions.append(spoken[: spoken.index("<end>")] if "<end>" in spoken else spoken)
    return captions


@pytest.mark.slow
def test_an_old_model_says_what_its_own_code_says(classic):
    folder, encoder, decoder, words = classic
    forbidden = {"<start>", "<unk>", "<pad>"}
    expected = said_by_the_old_code(encoder, decoder, words)
    comparable = [n for n, caption in enumerate(expected) if not forbidden & set(caption)]

    adopted = adopt(folder / "encoder-5.pkl", folder / "decoder-5.pkl", words)

    engine = TorchEngine(adopted.model, adopted.recipe, adopted.vocabulary)
    written = engine.write(PICTURES).words[:, 0]
    assert len(comparable) >= 3
    assert len({tuple(expected[n]) for n in comparable}) > 1
    for number in comparable:
        assert list(adopted.vocabulary.decode(written[number])) == expected[number]


def say_first_word(decoder: nn.Module, features: torch.Tensor) -> list[int]:
    """As the projects sample: 20 words, the first of them predicted from the image."""
    entry, states, said = features[:, None], None, []
    for _ in range(20):
        hidden, states = decoder.lstm(entry, states)
        word = getattr(decoder, decoder.last)(hidden[:, 0]).argmax(1)
        entry = decoder.embed(word)[:, None]
        said.append(int(word))
    return said


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_a_model_without_a_start_marker_says_what_its_own_code_says(known, classic):
    folder, encoder, decoder, words = classic
    words = words if known else ["the" if word == "<start>" else word for word in words]
    forbidden = {"<start>", "<unk>", "<pad>", "<end>"}
    files = (folder / "encoder-5.pkl", folder / "decoder-5.pkl")

    adopted = adopt(*files, words, says_start=not known)

    engine = TorchEngine(adopted.model, adopted.recipe, adopted.vocabulary)
    written, compared = engine.write(PICTURES).words[:, 0], 0
    for number, image in enumerate(normalised()):
        with torch.no_grad():
            spoken = [words[n] for n in say_first_word(decoder, encoder(image[None]))]
        spoken = spoken[: spoken.index("<end>")] if "<end>" in spoken else spoken
        if not forbidden & set(spoken):
            compared += 1
            assert list(adopted.vocabulary.decode(written[number])) == spoken
    assert compared >= 2


@pytest.mark.slow
def test_a_caption_without_an_end_is_as_long_as_that_of_the_old_code(classic):
    folder, encoder, decoder, words = classic
    with torch.no_grad():  # it says <start> after the image, and never ends
        last = getattr(decoder, decoder.last)
        last.bias[[words.index(marker) for marker in ("<end>", "<unk>")]] = -99
        last.bias[words.index("a")] = 99
    torch.save(decoder.state_dict(), folder / "decoder-5.pkl")

    adopted = adopt(folder / "encoder-5.pkl", folder / "decoder-5.pkl", words)

    engine = TorchEngine(adopted.model, adopted.recipe, adopted.vocabulary)
    after_start = len(say_first_word(decoder, encoder(normalised()[:1]))) - 1
    assert [len(adopted.vocabulary.decode(row)) for row in engine.write(PICTURES).words[:, 0]] == [
        after_start
    ] * len(PICTURES)


@pytest.mark.slow
def test_how_each_tensor_was_matched_is_told(classic):
    folder, _, _, words = classic

    told = "\n".join(adopt(folder / "encoder-5.pkl", folder / "decoder-5.pkl", words).matches)

    assert "are a ResNet-18" in told
    assert "embed.weight [10, 16] is read.weight" in told
    assert "is speak.weight" in told


@pytest.mark.slow
def test_the_command_makes_a_folder_that_captions(classic, run, tmp_path):
    folder, _, _, words = classic
    (folder / "vocab.pkl").write_bytes(
        pickle.dumps({"word2idx": {w: n for n, w in enumerate(words)}})
    )
    files = [folder / name for name in ("encoder-5.pkl", "decoder-5.pkl", "vocab.pkl")]

    code, _, err = run("import", *files, "--out", folder / "model")
    again, _, sentence = run("import", *files, "--out", folder / "model")

    assert code == 0
    assert "ResNet-18" in err
    assert (again, "exists already" in sentence) == (1, True)
    assert len(TorchEngine.open(folder / "model").write(PICTURES).words) == 8


@pytest.mark.slow
def test_whole_pickled_modules_are_refused_with_the_way_out(classic):
    folder, encoder, _, words = classic
    torch.save(encoder, folder / "whole.pkl")

    with pytest.raises(ModelError, match=r"is a pickled module.*save `module.state_dict\(\)`"):
        adopt(folder / "whole.pkl", folder / "decoder-5.pkl", words)


def test_what_does_not_fit_is_one_sentence(classic):
    folder, encoder, decoder, words = classic
    files = folder / "encoder-5.pkl", folder / "decoder-5.pkl"

    with pytest.raises(ModelError, match=r"decoder-5.pkl does not fit 11 words: it needs an emb"):
        adopt(*files, [*words, "more"])
    with pytest.raises(ModelError, match=r"the old vocabulary has no <end>"):
        adopt(*files, [w if w != "<end>" else "stop" for w in words])
    with pytest.raises(ModelError, match=r"decoder-5.pkl has no ResNet"):
        adopt(files[1], files[1], words)
    with pytest.raises(ModelError, match=r"is it the decoder\? Its \d+ tensors: .{,300} \.\.\.$"):
        adopt(files[1], files[0], words)
    torch.save(nn.LSTM(8, 8, 2).state_dict(), folder / "deep.pkl")
    with pytest.raises(ModelError, match=r"only an LSTM of one layer and one direction"):
        adopt(files[0], folder / "deep.pkl", words)


# ------------------------------------------------------------------------- others than the classic


SEES = {
    "in place of the classifier": {"fc": nn.Linear(512, 16)},
    "without a bias": {"embed": nn.Linear(512, 16, bias=False)},
    "beside the classifier": {"fc": nn.Linear(512, 1000), "embed": nn.Linear(512, 16)},
    "normalised before": {"bn": nn.BatchNorm1d(512), "embed": nn.Linear(512, 16)},
    "normalised after": {"embed": nn.Linear(512, 16), "bn": nn.BatchNorm1d(16)},
    "normalised before, as wide": {"bn": nn.BatchNorm1d(512), "embed": nn.Linear(512, 512)},
    "normalised after, as wide": {"embed": nn.Linear(512, 512), "bn": nn.BatchNorm1d(512)},
    "normalised plainly": {"embed": nn.Linear(512, 16), "bn": nn.BatchNorm1d(16, affine=False)},
}
"""What follows a ResNet in encoders that people write, by where the layer stands."""


@cache
def resnet() -> ResNet:
    return shake(ResNet(18))


def files_of(folder, seeing, telling):
    """An encoder and a decoder as their `state_dict` leaves them."""
    whole = nn.ModuleDict({"resnet": resnet(), **seeing}).state_dict()
    named = {name.replace("fc.", "resnet.fc."): tensor for name, tensor in whole.items()}
    torch.save(named, folder / "encoder.pkl")
    torch.save(telling.state_dict(), folder / "decoder.pkl")
    return folder / "encoder.pkl", folder / "decoder.pkl"


@pytest.mark.slow
@pytest.mark.parametrize("where", SEES)
def test_the_layer_to_the_features_is_found_wherever_it_stands(where, tmp_path):
    seeing = {name: shake(part).eval() for name, part in SEES[where].items()}
    used = [part for name, part in seeing.items() if getattr(part, "out_features", 0) != 1000]
    width = next(part.out_features for part in used if isinstance(part, nn.Linear))
    files = files_of(tmp_path, seeing, Decoder(width, 24, len(COURSE), "fc"))

    model = adopt(*files, COURSE).model

    grid = torch.from_numpy(PICTURES[:2]).permute(0, 3, 1, 2)
    with torch.no_grad():
        pooled = model.encoder(grid)[:, 0]
        torch.testing.assert_close(model.decoder.see(pooled), nn.Sequential(*used)(pooled))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"lstm2": nn.LSTM(16, 24)}, r"more than one LSTM \(lstm.weight_ih_l0, lstm2.weight_ih_l0"),
        ({"init_h": nn.Linear(16, 24)}, r"2 tensors .*not have: init_h.bias, init_h.weight;"),
        ({"attention": nn.Linear(24, 5, bias=False)}, r"1 tensor .*not have: attention.weight;"),
    ],
)
def test_a_decoder_that_does_more_is_refused(more, sentence, tmp_path):
    decoder = Decoder(16, 24, len(COURSE), "fc")
    for name, part in more.items():
        setattr(decoder, name, part)
    files = files_of(tmp_path, {"embed": nn.Linear(512, 16)}, decoder)

    with pytest.raises(ModelError, match=rf"decoder.pkl has {sentence}"):
        adopt(*files, COURSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeing", "sentence"),
    [
        ({}, "no single layer of 16 x 512 after its ResNet"),
        ({"embed": nn.Linear(1000, 16)}, "no single layer of 16 x 512"),
        (
            {"a": nn.Linear(512, 16), "b": nn.Linear(16, 16)},
            "2 tensors .*not have: b.bias, b.weight;",
        ),
        (
            {"a": nn.Linear(512, 16), "bn": nn.BatchNorm1d(9)},
            "5 tensors .*not have: bn.bias, bn.num_batches_tracked, bn.running_mean",
        ),
        (
            {"a": nn.Linear(512, 16), "bn": nn.BatchNorm1d(16, track_running_stats=False)},
            "2 tensors .*not have: bn.bias, bn.weight;",
        ),
    ],
)
def test_an_encoder_that_does_more_or_less_is_refused(seeing, sentence, tmp_path):
    files = files_of(tmp_path, seeing, Decoder(16, 24, len(COURSE), "fc"))

    with pytest.raises(ModelError, match=rf"encoder.pkl has {sentence}"):
        adopt(*files, COURSE)


# ------------------------------------------------------------------------------------ vocab.pkl


class Vocabulary:
    """As the course and the tutorial have it."""

    def __init__(self, words):
        self.word2idx = {word: number for number, word in enumerate(words)}
        self.idx2word = dict(enumerate(words))
        self.idx = len(words)
        self.vocab_threshold = 5


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("module", ["build_vocab", "vocabulary", "__main__"])
def test_the_classic_vocabulary_is_read_whatever_wrote_it(protocol, module, tmp_path, monkeypatch):
    foreign = ModuleType(module)
    foreign.Vocabulary = type("Vocabulary", (Vocabulary,), {"__module__": module})
    monkeypatch.setitem(sys.modules, module, foreign)
    path = tmp_path / "vocab.pkl"
    path.write_bytes(pickle.dumps(foreign.Vocabulary(TUTORIAL), protocol=protocol))

    assert read_vocabulary(path) == TUTORIAL


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_plain_dictionary_will_do(kind, tmp_path):
    ids = kind((word, number) for number, word in enumerate(COURSE))
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps({"word2idx": ids}))

    assert read_vocabulary(tmp_path / "vocab.pkl") == COURSE


class Runs:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize(
    ("hostile", "named"),
    [
        (Runs(os.system, "touch {mark}"), "posix.system"),
        (Runs(eval, "open('{mark}', 'w')"), "builtins.eval"),
        (Runs(getattr, "", "join"), "builtins.getattr"),
        ({"word2idx": Runs(exec, "open('{mark}', 'w')")}, "builtins.exec"),
    ],
)
def test_a_vocabulary_that_would_run_code_runs_nothing(hostile, named, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "vocab.pkl"
    path.write_bytes(pickle.dumps(hostile).replace(b"{mark}", b"mark"))
    if b"{mark}" in pickle.dumps(hostile):  # the length byte before the text, too
        runs = hostile if isinstance(hostile, Runs) else hostile["word2idx"]
        runs.reduced = runs.reduced[0], (runs.reduced[1][0].format(mark=mark),)
        path.write_bytes(pickle.dumps(hostile))

    with pytest.raises(ModelError, match=rf"names '{named}', which a vocabulary does not need"):
        read_vocabulary(path)

    assert not mark.exists()


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ([1, 2], "holds no dictionary `word2idx`"),
        ({"word2idx": {"a": "b"}}, "holds no dictionary `word2idx`"),
        ({"word2idx": {"a": 0, "b": 2}}, "the 2 words are not numbered from 0 without a gap"),
    ],
)
def test_what_is_no_vocabulary_is_one_sentence(held, sentence, tmp_path):
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps(held))

    with pytest.raises(ModelError, match=sentence):
        read_vocabulary(tmp_path / "vocab.pkl")


def test_damaged_and_absent_files_are_one_sentence(tmp_path):
    (tmp_path / "vocab.pkl").write_bytes(pickle.dumps({"word2idx": {}})[:-3])

    with pytest.raises(ModelError, match="is not a pickled vocabulary"):
        read_vocabulary(tmp_path / "vocab.pkl")
    with pytest.raises(ModelError, match="there is no vocabulary"):
        read_vocabulary(tmp_path / "absent.pkl")


EIGHT_BYTES = (10**9).to_bytes(8, "little")
BOMBS = {
    "the number of a memory of four bytes": b"\x80\x02Nr" + (10**8).to_bytes(4, "little") + b".",
    "the number of a memory in digits": b"Np100000000\n.",
    "the length of a frame": b"\x80\x04\x95" + EIGHT_BYTES + b"N.",
    "the length of bytes": b"\x80\x04\x8e" + EIGHT_BYTES + b"N.",
    "the length of a text": b"\x80\x04\x8d" + EIGHT_BYTES + b"N.",
    "the length of a byte array": b"\x80\x05\x96" + EIGHT_BYTES + b"N.",
}


@pytest.mark.parametrize("number", BOMBS)
def test_no_number_in_a_few_bytes_takes_memory(number, tmp_path):
    path = tmp_path / "vocab.pkl"
    path.write_bytes(BOMBS[number])

    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"vocab.pkl (is not a pickled|holds no)"):
            read_vocabulary(path)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert taken < 10**7


def test_words_that_python_2_wrote_are_read(tmp_path):
    words = b"(dp1\nS'word2idx'\np2\n(dp3\nS'caf\\xc3\\xa9'\np4\nI0\nsVdog\np5\nI1\nss."
    (tmp_path / "vocab.pkl").write_bytes(words)

    assert read_vocabulary(tmp_path / "vocab.pkl") == ["café", "dog"]
