"""examples/show_and_tell.py, Show and Tell in one file: short, and right in each of its parts."""

import importlib.util
import sys

import pytest
import torch
from PIL import Image

from conftest import ROOT
from cutline.inference.captioner import PACKAGED
from cutline.models.checkpoint import read_model
from cutline.models.weights import load_weights, part_of

FILE = ROOT / "examples" / "show_and_tell.py"


@pytest.fixture(scope="module")
def one_file():
    spec = importlib.util.spec_from_file_location("show_and_tell", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def planted(tmp_path):
    """A folder in Flickr8k's format, and its new pictures: what each shows is plain to see."""
    colours = {"red": (200, 40, 40), "blue": (40, 60, 200), "green": (40, 160, 60)}
    (tmp_path / "images").mkdir()
    names, lines = {"train": [], "dev": []}, []
    for number, (name, colour) in enumerate(list(colours.items()) * 6):
        picture = Image.effect_noise((64, 64), 40).convert("RGB")
        file = f"{number}.png"
        Image.blend(picture, Image.new("RGB", (64, 64), colour), 0.8).save(
            tmp_path / "images" / file
        )
        names["train" if number < 15 else "dev"].append(file)
        lines += [f"{file}#{line}\tA {name} wall ." for line in range(5)]
    for split, own in names.items():
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text("\n".join(own))
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    new = [str(tmp_path / "images" / file) for file in names["dev"]]
    return tmp_path, dict(zip(new, (f"a {name} wall" for name in colours), strict=True))


def test_it_can_be_read_in_one_sitting():
    assert len(FILE.read_text(encoding="utf8").splitlines()) <= 300


@pytest.mark.slow
def test_it_trains_and_then_captions_new_pictures(one_file, planted, capsys, monkeypatch):
    folder, captions = planted
    one_file.train(folder, folder / "model.pt", epochs=8, limit=None, size=64)
    monkeypatch.setattr(sys, "argv", [FILE.name, "caption", str(folder / "model.pt"), *captions])
    one_file.main()

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("epoch") for line in lines) == 8
    assert dict(line.split("\t") for line in lines if "\t" in line) == captions


def test_its_memory_is_torchs(one_file):
    own, cell = one_file.LSTM(5, 7), torch.nn.LSTMCell(5, 7)
    order = torch.arange(28).view(4, 7)[[0, 1, 3, 2]].flatten()  # torch: i, f, g, o
    with torch.no_grad():
        cell.weight_ih.copy_(own.wx.weight[order])
        cell.bias_ih.copy_(own.wx.bias[order])
        cell.weight_hh.copy_(own.wm.weight[order])
        cell.bias_hh.zero_()
    x, m, c = torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7)

    for ours, theirs in zip(own(x, m, c), cell(x, (m, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_its_encoder_is_the_packages(one_file):
    model = read_model(PACKAGED)
    encoder = model.recipe.build("encoder").eval()
    load_weights(encoder, part_of(model.tensors, "encoder"), "the packaged model")
    pixels = torch.rand(2, 3, 64, 64)

    found = one_file.open_encoder()(pixels)

    torch.testing.assert_close(found, encoder(pixels * 255).mean(dim=1), atol=1e-4, rtol=1e-4)
