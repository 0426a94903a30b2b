"""A model is a folder; every file is written beside and renamed, and none is a pickle that runs.

    recipe.json          every option of every part, defaults written out
    vocabulary.txt       one word a line; line number = word id
    weights.safetensors  encoder and decoder; in its metadata the vocabulary's hash and the card
    card.json            scores, data, versions: the same card, for people
    model.onnx           the one-file form (`cutline export`)
    resume.pt            only to go on training

Weights and card are one file and so change at one moment: whenever a run is killed, the folder
holds the old model or the new one, whole.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cutline.errors import ModelError
from cutline.io.atomic import atomic_write, new_folder
from cutline.models.weights import CaptionModel, load_weights, part_of, read_tensors
from cutline.recipe import BEYOND_USE, Recipe
from cutline.text.vocabulary import Vocabulary

RECIPE, VOCABULARY, WEIGHTS = "recipe.json", "vocabulary.txt", "weights.safetensors"
CARD, GRAPH, RESUME = "card.json", "model.onnx", "resume.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, read from its folder."""

    recipe: Recipe
    vocabulary: Vocabulary
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]


def create_folder(folder: Path, recipe: Recipe, vocabulary: Vocabulary) -> None:
    """A new model folder with what never changes during a run."""
    if folder.exists():
        raise ModelError(f"{folder} exists already; name another with --out")
    with new_folder(folder) as beside:
        told = json.dumps(recipe.as_json(), indent=2) + "\n"
        (beside / RECIPE).write_text(told, encoding="utf8")
        vocabulary.save(beside / VOCABULARY)


def read_recipe(folder: Path, *, trust: bool = False) -> Recipe:
    """The recipe of a model folder, every default as it was when the run began."""
    try:
        table = json.loads((folder / RECIPE).read_text(encoding="utf8"))
    except OSError as error:
        raise ModelError(
            f"{folder} is not a model folder: no {RECIPE} ({error.strerror})"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder / RECIPE} is not JSON: {error}") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{folder / RECIPE} is not JSON: {BEYOND_USE}") from None
    if not isinstance(table, dict):
        raise ModelError(f"{folder / RECIPE} is not a recipe: it holds no sections")
    return Recipe.of(table, trust=trust)


def save_model(
    folder: Path, model: nn.Module, vocabulary: Vocabulary, card: Mapping[str, Any]
) -> None:
    """Replace the folder's weights and card at one moment."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"vocabulary": vocabulary.hash, "card": json.dumps(card)}
    with atomic_write(folder / WEIGHTS) as file:
        file.write(save(tensors, metadata))
    save_card(folder, card)


def save_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Replace the card that people read."""
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(folder / CARD) as file:
        file.write(text.encode("utf8"))


def read_model(folder: Path, *, trust: bool = False) -> Checkpoint:
    """A whole model, from its folder or from a file that `export` wrote.

    Raises `ModelError` when something is missing, damaged or of another vocabulary, `RecipeError`
    when it needs code of somebody's own and nobody said `trust`.
    """
    if folder.suffix == ".onnx":
        return _read_graph(folder, trust=trust)
    recipe, vocabulary = read_recipe(folder, trust=trust), Vocabulary.load(folder / VOCABULARY)
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"{folder} has no {WEIGHTS} yet: its training has not ended an epoch")
    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{folder / WEIGHTS} is damaged: {error}") from None
    vocabulary.check(metadata.get("vocabulary", ""))
    card = _read_table(metadata.get("card", "{}"), "card", folder / WEIGHTS)
    return Checkpoint(recipe, vocabulary, tensors, card)


def build(checkpoint: Checkpoint) -> CaptionModel:
    """The trained network of a checkpoint, in evaluation mode."""
    try:
        encoder = checkpoint.recipe.build("encoder")
        decoder = checkpoint.recipe.build("decoder", encoder.width, len(checkpoint.vocabulary))
    except (RuntimeError, ValueError, AssertionError, ArithmeticError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"the recipe's parts make no network: {reason}") from None
    model = CaptionModel(encoder, decoder)
    for part in ("encoder", "decoder"):
        load_weights(
            getattr(model, part), part_of(checkpoint.tensors, part), f"the checkpoint's {part}"
        )
    return model.eval()


def save_resume(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace what a run needs to go on."""
    try:
        with atomic_write(folder / RESUME) as file:
            torch.save(dict(state), file)
    except RuntimeError:  # what torch makes of a disk that takes no more
        raise OSError(f"{RESUME} could not be saved, perhaps for want of room") from None


def read_resume(folder: Path) -> dict[str, Any] | None:
    """What a run needs to go on, or None when it has not begun; `ModelError` when damaged."""
    path = folder / RESUME
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # for a file that is none, torch raises nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} is damaged: {reason} (without it the run begins anew)") from None


def _read_graph(path: Path, *, trust: bool) -> Checkpoint:
    """What an exported file was made from: its weights by name, the rest from its metadata."""
    tensors = read_tensors(path)
    graph = onnx.load(path, load_external_data=False)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    if "recipe" not in metadata:
        raise ModelError(f"{path} carries no recipe: it was not made by `cutline export`")
    return Checkpoint(
        Recipe.of(_read_table(metadata["recipe"], "recipe", path), trust=trust),
        Vocabulary.of_lines(metadata.get("vocabulary", "")),
        tensors,
        _read_table(metadata.get("card", "{}"), "card", path),
    )


def _read_table(text: str, name: str, path: Path) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ModelError(f"{path} carries no {name} that can be read")
    return table
