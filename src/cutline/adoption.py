"""Models of the classic image captioning projects become model folders.

They are a ResNet in an `nn.Sequential`, a linear layer (and a batch normalisation, in the tutorial
by yunjey), an embedding, an LSTM and a linear layer: Show and Tell. Their first prediction, of the
start marker after the picture, is left out; everything after it is the same. Tensors are matched by
shape, since everybody names them differently, and each match is told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cutline import __version__
from cutline.checkpoint import create_folder, save_model
from cutline.encoders.resnet import BLOCKS, EPSILON
from cutline.errors import ModelError
from cutline.model import CaptionModel, fill, fingerprint, read_tensors
from cutline.recipe import Recipe
from cutline.vocabulary import MARKERS, PAD, Vocabulary

SEQUENTIAL = {"0": "conv1", "1": "bn1", **{str(n + 3): f"layer{n}" for n in range(1, 5)}}
"""Where a ResNet's parts stand when it is taken to pieces: relu and maxpool are 2 and 3."""
NAMED = 6
"""Tensors named where none fits; a ResNet has hundreds."""
NEVER = -30.0
"""The bias of a word that the old model did not have: it is never said."""


@dataclass
class Adopted:
    """A model, and how each of its tensors was found."""

    model: CaptionModel
    recipe: Recipe
    vocabulary: Vocabulary
    matches: list[str] = field(default_factory=list)


def adopt(encoder: Path, decoder: Path, words: list[str], *, fit: str = "crop") -> Adopted:
    """A captioner from the state dictionaries of a classic encoder and decoder, and its words.

    `fit` is how its pictures were made square. Raises `ModelError` when a file holds whole modules,
    whose code would have to be run, or tensors that do not fit together.
    """
    seen, told = _read(encoder), _read(decoder)
    matches: list[str] = []
    lstm = _find_lstm(told, decoder)
    width, hidden = lstm["weight_ih"].shape[1], lstm["weight_hh"].shape[1]
    rows, vocabulary = _number_anew(words)
    read, speak, bias = _find_words(told, len(words), width, hidden, decoder, matches)
    resnet, rest = _find_resnet(seen, encoder)
    depth = _find_depth(resnet, encoder)
    see = _find_layer(rest, width, encoder, matches)
    table = {
        "title": f"Show and Tell, adopted from {decoder.name}",
        "source": {"kind": "coco", "year": 2014},
        "view": {"fit": fit},
        "encoder": {"kind": "resnet", "depth": depth, "pool": True},
        "decoder": {"kind": "show-and-tell", "embedding": width, "hidden": hidden},
        "search": {"kind": "greedy"},
    }
    recipe = Recipe.of(table)
    network = recipe.build("encoder")
    fill(network, resnet, encoder)
    matches.insert(0, f"{len(resnet)} tensors of {encoder.name} are a ResNet-{depth}")
    captioner = recipe.build("decoder", network.width, len(vocabulary))
    tensors = {
        **captioner.state_dict(),
        "see.weight": see[0],
        "see.bias": see[1],
        "read.weight": _arrange(read, rows, 0.0),
        "speak.weight": _arrange(speak, rows, 0.0),
        "speak.bias": _arrange(bias, rows, NEVER),
        **{f"remember.{name}": tensor for name, tensor in lstm.items()},
    }
    fill(captioner, tensors, decoder)
    return Adopted(CaptionModel(network, captioner).eval(), recipe, vocabulary, matches)


def save(adopted: Adopted, folder: Path, command: str) -> None:
    """A new model folder."""
    create_folder(folder, adopted.recipe, adopted.vocabulary)
    view = adopted.recipe.build("view")
    card = {
        **adopted.recipe.claim,
        "source": dict(adopted.recipe.sections["source"]),
        "data": {},
        "scores": {},
        "epoch": 0,
        "command": command,
        "fingerprint": fingerprint(adopted.model),
        "view": view.as_dict(),
        "encoder": {"weights": "its own"},
        "versions": {"cutline": __version__, "torch": torch.__version__},
    }
    save_model(folder, adopted.model, adopted.vocabulary, card)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path)
    except ModelError as error:
        if "weights only" not in str(error).lower():
            raise
        raise ModelError(
            f"{path} is a whole pickled module, which would run code to be read: load it where its "
            f"code is and save `module.state_dict()` in its place"
        ) from None


def _find_lstm(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Its four tensors, by the ends of their names, which are torch's own."""
    found = {}
    for name in list(tensors):
        if match := re.search(r"((?:weight|bias)_[ih]h)(_l(\d+))?(_reverse)?$", name):
            if match[3] not in (None, "0") or match[4]:
                raise ModelError(
                    f"{path}: {name}: only an LSTM of one layer and one direction fits"
                )
            found[match[1]] = tensors.pop(name)
    if set(found) != {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}:
        held = ", ".join(sorted(tensors)[:NAMED]) + (" ..." if len(tensors) > NAMED else "")
        raise ModelError(
            f"{path} has no LSTM with biases; is it the decoder? Its {len(tensors)} tensors: {held}"
        )
    if found["weight_ih"].shape[0] != 4 * found["weight_hh"].shape[1]:
        raise ModelError(f"{path} has a GRU or another memory in place of an LSTM")
    return found


def _find_words(
    tensors: dict[str, Tensor],
    words: int,
    width: int,
    hidden: int,
    path: Path,
    matches: list[str],
) -> tuple[Tensor, Tensor, Tensor]:
    """Embedding, and weight and bias of the output layer; where shapes are alike, the bias is the
    output layer's.
    """
    biases = [name for name, tensor in tensors.items() if tensor.shape == (words,)]
    tables = [n for n, t in tensors.items() if t.shape in ((words, width), (words, hidden))]
    if len(biases) != 1 or len(tables) != 2:
        sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise ModelError(
            f"{path} does not fit {words} words: an embedding of {words} x {width} and a layer of "
            f"{words} x {hidden} were looked for among {sizes}"
        )
    [bias] = biases
    speak = next((n for n in tables if n.rpartition(".")[0] == bias.rpartition(".")[0]), tables[1])
    read = tables[1 - tables.index(speak)]
    for old, new in ((read, "read.weight"), (speak, "speak.weight"), (bias, "speak.bias")):
        matches.append(f"{old} {list(tensors[old].shape)} is {new}")
    return tensors[read], tensors[speak], tensors[bias]


def _find_resnet(
    tensors: dict[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Its tensors under torchvision's names, and all others."""
    first = next((n for n, t in tensors.items() if t.shape == (64, 3, 7, 7)), None)
    if first is None:
        raise ModelError(f"{path} has no ResNet: no convolution of 64 x 3 x 7 x 7")
    start = first.removesuffix("conv1.weight").removesuffix("0.weight")
    resnet, rest = {}, {}
    for name, tensor in tensors.items():
        place, _, inner = name.removeprefix(start).partition(".")
        own = SEQUENTIAL.get(place, place)
        if name.startswith(start) and own in SEQUENTIAL.values():
            resnet[f"{own}.{inner}"] = tensor
        elif not (name.startswith(start) and own == "fc"):
            rest[name] = tensor
    return resnet, rest


def _find_depth(resnet: Mapping[str, Tensor], path: Path) -> int:
    blocks = tuple(
        len({name.split(".")[1] for name in resnet if name.startswith(f"layer{n}.")})
        for n in range(1, 5)
    )
    deep = any(name.endswith("conv3.weight") for name in resnet)
    found = [d for d, own in BLOCKS.items() if own == blocks and (d >= 50) == deep]
    if not found:
        raise ModelError(f"{path} has a ResNet of {blocks} blocks, which is none of the usual ones")
    return found[0]


def _find_layer(
    tensors: Mapping[str, Tensor], width: int, path: Path, matches: list[str]
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer after the ResNet, with a normalisation after it folded in."""
    weights = [n for n, t in tensors.items() if t.ndim == 2 and t.shape[0] == width]
    if len(weights) != 1:
        raise ModelError(f"{path} has no single layer to {width} features after its ResNet")
    [name] = weights
    start = name.rpartition(".")[0]
    weight, bias = tensors[name], tensors.get(f"{start}.bias", torch.zeros(width))
    matches.append(f"{name} {list(weight.shape)} is see.weight")
    norms = [n.rpartition(".")[0] for n in tensors if n.endswith("running_mean")]
    for norm in norms:
        gamma, beta = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
        scale = gamma / (tensors[f"{norm}.running_var"] + EPSILON).sqrt()
        bias = (bias - tensors[f"{norm}.running_mean"]) * scale + beta
        weight = weight * scale[:, None]
        matches.append(f"{norm}, a batch normalisation, is folded into see")
    return weight, bias


def _number_anew(words: list[str]) -> tuple[list[int | None], Vocabulary]:
    """Our markers first: of each number now, the number before, or None for a new word."""
    before = {word: number for number, word in enumerate(words)}
    absent = [marker for marker in MARKERS if marker not in before and marker != MARKERS[PAD]]
    if absent:
        raise ModelError(f"the old vocabulary has no {' or '.join(absent)}")
    now = [*MARKERS, *(word for word in words if word not in MARKERS)]
    return [before.get(word) for word in now], Vocabulary(tuple(now))


def _arrange(tensor: Tensor, rows: list[int | None], fresh: float) -> Tensor:
    new = torch.full((len(rows), *tensor.shape[1:]), fresh)
    for number, old in enumerate(rows):
        if old is not None:
            new[number] = tensor[old]
    return new
