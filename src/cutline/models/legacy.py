"""Converts models of the classic image captioning projects to model folders.

Such a model is a Show and Tell: a ResNet in an `nn.Sequential`, a linear layer (with batch
normalisation in yunjey's tutorial), an embedding, an LSTM and a linear layer. Its first prediction,
of the start marker after the image, is dropped; everything after it is the same. It counts as one
of the 20 words of those projects, which leaves 19. Models that say the first word at once, without
a start marker, keep doing so. Because projects
name tensors differently, they are matched by shape, and each match is reported. A model with
tensors that match nothing is refused: it has another architecture and would give other captions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from cutline.errors import ModelError
from cutline.models.checkpoint import create_folder, save_model
from cutline.models.encoders.resnet import BLOCKS
from cutline.models.weights import CaptionModel, fingerprint, load_weights, part_of, read_tensors
from cutline.recipe import Recipe
from cutline.text.vocabulary import MARKERS, PAD, START, Vocabulary
from cutline.version import __version__

SEQUENTIAL = {"0": "conv1", "1": "bn1", **{str(n + 3): f"layer{n}" for n in range(1, 5)}}
"""Positions of a ResNet's modules in an `nn.Sequential`; relu and maxpool are 2 and 3."""
CLASSES = 1000
"""Rows of a ResNet's ImageNet classifier, which captioning does not need."""
NAMED = 6
"""The largest number of tensors named in an error message."""
LONGEST = 20
"""Words of the longest caption in those projects, the start marker included."""
NEVER = -30.0
"""The output bias of words that the old model did not have, so that they never occur."""


@dataclass
class ConvertedModel:
    """A converted model, and a sentence on how each tensor was matched."""

    model: CaptionModel
    recipe: Recipe
    vocabulary: Vocabulary
    matches: list[str] = field(default_factory=list)


def adopt(
    encoder: Path,
    decoder: Path,
    words: list[str],
    *,
    fit: str = "crop",
    says_start: bool = True,
) -> ConvertedModel:
    """Convert the state dictionaries of a classic encoder and decoder.

    `words` is the vocabulary in the order of its ids, and `fit` how images were made square. With
    `says_start` the model predicts `<start>` first, unless its vocabulary has no such word. Raises
    `ModelError` if a file holds pickled modules, whose code would have to be run, or tensors that
    do not match.
    """
    seen, decoder_tensors = _read(encoder), _read(decoder)
    matches: list[str] = []
    lstm = _find_lstm(decoder_tensors, decoder)
    width, hidden = lstm["weight_ih"].shape[1], lstm["weight_hh"].shape[1]
    rows, vocabulary = _number_anew(words)
    says_start &= MARKERS[START] in words
    read, speak, bias = _find_words(decoder_tensors, len(words), width, hidden, decoder, matches)
    _refuse_leftovers(decoder_tensors, decoder)
    resnet, rest = _find_resnet(seen, encoder)
    depth = _find_depth(resnet, encoder)
    recipe = _describe(decoder, depth, width, hidden, fit=fit, says_start=says_start)
    network = recipe.build("encoder")
    load_weights(network, resnet, encoder)
    matches.insert(0, f"{len(resnet)} tensors of {encoder.name} are a ResNet-{depth}")
    weight, shift = _find_layer(rest, network.width, width, encoder, matches)
    _refuse_leftovers(rest, encoder)
    captioner = recipe.build("decoder", network.width, len(vocabulary))
    tensors = {
        **captioner.state_dict(),
        "see.weight": weight,
        "see.bias": shift,
        "read.weight": _arrange(read, rows, 0.0),
        "speak.weight": _arrange(speak, rows, 0.0),
        "speak.bias": _arrange(bias, rows, NEVER),
        **{f"remember.{name}": tensor for name, tensor in lstm.items()},
    }
    load_weights(captioner, tensors, decoder)
    matches.append(
        "its first prediction, of <start>, is dropped"
        if says_start
        else "its first prediction is the first word of the caption"
    )
    return ConvertedModel(CaptionModel(network, captioner).eval(), recipe, vocabulary, matches)


def _describe(
    decoder: Path, depth: int, width: int, hidden: int, *, fit: str, says_start: bool
) -> Recipe:
    """The recipe of a converted model."""
    table = {
        "title": f"Show and Tell, adopted from {decoder.name}",
        "source": {"kind": "coco", "year": 2014},
        "view": {"fit": fit},
        "encoder": {"kind": "resnet", "depth": depth, "pool": True},
        "decoder": {
            "kind": "show-and-tell",
            "embedding": width,
            "hidden": hidden,
            "reads_start": says_start,
        },
        "search": {"kind": "greedy", "max_words": LONGEST - says_start},
    }
    return Recipe.of(table)


def save(adopted: ConvertedModel, folder: Path, command: str) -> None:
    """Write a new model folder; `command` is recorded in its card."""
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
            f"{path} is a pickled module, and reading it would run its code: load it where that "
            f"code is, and save `module.state_dict()` instead"
        ) from None


def _refuse_leftovers(tensors: Mapping[str, Tensor], path: Path) -> None:
    if left := sorted(tensors):
        count = f"{len(left)} tensor{'s' * (len(left) > 1)} that a Show and Tell does not have"
        raise ModelError(
            f"{path} has {count}: {_some(left)}; without them its captions would differ; if "
            f"its code never uses them, save it without them"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def _find_lstm(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Remove and return the LSTM's four tensors, found by the names that torch gives them."""
    found, names = {}, dict[str, str]()
    for name in list(tensors):
        if match := re.search(r"((?:weight|bias)_[ih]h)(_l(\d+))?(_reverse)?$", name):
            if match[3] not in (None, "0") or match[4]:
                raise ModelError(
                    f"{path}: {name}: only an LSTM of one layer and one direction fits"
                )
            if before := names.get(match[1]):
                raise ModelError(
                    f"{path} has more than one LSTM ({before}, {name}); a Show and Tell has one"
                )
            found[match[1]], names[match[1]] = tensors.pop(name), name
    if set(found) != {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}:
        raise ModelError(
            f"{path} has no LSTM with biases; is it the decoder? Its {len(tensors)} tensors: "
            f"{_some(sorted(tensors))}"
        )
    if found["weight_ih"].shape[0] != 4 * found["weight_hh"].shape[1]:
        raise ModelError(f"{path} has a GRU or another cell instead of an LSTM")
    return found


def _find_words(
    tensors: dict[str, Tensor],
    words: int,
    width: int,
    hidden: int,
    path: Path,
    matches: list[str],
) -> tuple[Tensor, Tensor, Tensor]:
    """Remove and return the embedding, and weight and bias of the output layer.

    If both tables have the same shape, the output layer is the one named like the bias.
    """
    biases = [name for name, tensor in tensors.items() if tensor.shape == (words,)]
    tables = [n for n, t in tensors.items() if t.shape in ((words, width), (words, hidden))]
    if len(biases) != 1 or len(tables) != 2:
        sizes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise ModelError(
            f"{path} does not fit {words} words: it needs an embedding of {words} x {width} and a "
            f"layer of {words} x {hidden}, but it has {sizes}"
        )
    [bias] = biases
    speak = next((n for n in tables if n.rpartition(".")[0] == bias.rpartition(".")[0]), tables[1])
    read = tables[1 - tables.index(speak)]
    for old, new in ((read, "read.weight"), (speak, "speak.weight"), (bias, "speak.bias")):
        matches.append(f"{old} {list(tensors[old].shape)} is {new}")
    return tensors.pop(read), tensors.pop(speak), tensors.pop(bias)


def _find_resnet(
    tensors: dict[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The ResNet's tensors under torchvision's names, and all others but an ImageNet classifier.

    Many models have the layer after the ResNet in place of its classifier.
    """
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
        elif own != "fc" or not name.startswith(start) or tensor.shape[:1] != (CLASSES,):
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
        raise ModelError(f"{path} has a ResNet of {blocks} blocks, which is not a standard depth")
    return found[0]


def _find_layer(
    tensors: dict[str, Tensor], seen: int, width: int, path: Path, matches: list[str]
) -> tuple[Tensor, Tensor]:
    """Remove and return weight and bias of the layer after the ResNet.

    A batch normalisation before or after the layer is folded in.
    """
    names = list(tensors)
    weights = [name for name in names if tensors[name].shape == (width, seen)]
    if len(weights) != 1:
        raise ModelError(f"{path} has no single layer of {width} x {seen} after its ResNet")
    [name] = weights
    place, layer = name.rpartition(".")[0], nn.Linear(seen, width)
    load_weights(layer, {"bias": torch.zeros(width), **_take(tensors, place)}, path)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    matches.append(f"{name} {list(weight.shape)} is see.weight")
    norms = {n: len(t) for n, t in tensors.items() if n.endswith(".running_mean") and t.ndim}
    mean = next((norm for norm, size in norms.items() if size in (seen, width)), None)
    if mean is None:
        return weight, bias
    place, size = mean.rpartition(".")[0], norms[mean]
    scale, shift = _read_norm(_take(tensors, place), size, path)
    # if the sizes do not tell, the order of the tensors does
    is_before = size == seen and (seen != width or names.index(mean) < names.index(name))
    matches.append(
        f"{place}, a batch normalisation {'before' if is_before else 'after'} that layer, is "
        f"folded into see"
    )
    if is_before:
        return weight * scale, bias + weight @ shift
    return weight * scale[:, None], bias * scale + shift


def _take(tensors: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    """Remove and return the tensors of a module."""
    part = part_of(tensors, place)
    for name in part:
        del tensors[f"{place}.{name}"]
    return part


def _read_norm(tensors: Mapping[str, Tensor], size: int, path: Path) -> tuple[Tensor, Tensor]:
    """The scale and shift of a trained batch normalisation."""
    plain = {"weight": torch.ones(size), "bias": torch.zeros(size)}
    norm = nn.BatchNorm1d(size)
    load_weights(norm, {**plain, **tensors}, path)
    state = norm.state_dict()
    scale = state["weight"] / (state["running_var"] + norm.eps).sqrt()
    return scale, state["bias"] - state["running_mean"] * scale


def _number_anew(words: list[str]) -> tuple[list[int | None], Vocabulary]:
    """The new vocabulary, markers first, and for each new id the old one, or None."""
    before = {word: number for number, word in enumerate(words)}
    optional = (MARKERS[PAD], MARKERS[START])
    absent = [marker for marker in MARKERS if marker not in before and marker not in optional]
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
