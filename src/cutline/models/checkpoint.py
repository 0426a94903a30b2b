"""The model folder: how a trained model is stored.

    recipe.json          every option of every part, defaults included
    vocabulary.txt       one word a line; the line number is the token id
    weights.safetensors  encoder and decoder; its metadata has the vocabulary's hash and the card
    card.json            the same card for people: scores, data, versions
    model.onnx           the one-file model (`cutline export`)
    resume.pt            the state of a run, to resume training

Every file is replaced atomically, and loading one executes no code. Weights and card are in one
file and change together, so after a kill the folder holds either the old model or the new one.
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
    """Create a model folder with the files that stay the same during a run."""
    if folder.exists():
        raise ModelError(f"{folder} exists already; choose another folder with --out")
    with new_folder(folder) as beside:
        save_recipe(beside, recipe)
        vocabulary.save(beside / VOCABULARY)


def save_recipe(folder: Path, recipe: Recipe) -> None:
    """Write, or replace, the recipe of a model folder."""
    with atomic_write(folder / RECIPE) as file:
        file.write((json.dumps(recipe.as_json(), indent=2) + "\n").encode("utf8"))


def read_recipe(folder: Path, *, trust: bool = False) -> Recipe:
    """The recipe of a model folder, with the defaults of the time when its run started."""
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
    """Replace the folder's weights and card in one atomic step."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"vocabulary": vocabulary.hash, "card": json.dumps(card)}
    with atomic_write(folder / WEIGHTS) as file:
        file.write(save(tensors, metadata))
    save_card(folder, card)


def save_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Replace the readable copy of the card."""
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(folder / CARD) as file:
        file.write(text.encode("utf8", "backslashreplace"))  # lone surrogates as JSON's escapes


def record_in_folder(folder: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to the card of a model folder, replacing those of the same names."""
    path = folder / WEIGHTS
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        card = {**_read_table(metadata.get("card", "{}"), "card", path), **entries}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with atomic_write(path) as file:
        file.write(save(tensors, {**metadata, "card": json.dumps(card)}))
    save_card(folder, card)


def read_model(folder: Path, *, trust: bool = False) -> Checkpoint:
    """Read a model from its folder or from a file that `export` wrote.

    Raises `ModelError` if something is missing or damaged or does not match the vocabulary, and
    `RecipeError` if the model needs custom code and `trust` is false.
    """
    if folder.suffix == ".onnx":
        return _read_graph(folder, trust=trust)
    recipe = read_recipe(folder, trust=trust)
    vocabulary = Vocabulary.load(folder / VOCABULARY, language=recipe.language)
    if not (folder / WEIGHTS).exists():
        raise ModelError(f"{folder} has no {WEIGHTS} yet: its training has not completed an epoch")
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
        raise ModelError(f"the network of the recipe cannot be built: {reason}") from None
    model = CaptionModel(encoder, decoder)
    for part in ("encoder", "decoder"):
        load_weights(
            getattr(model, part), part_of(checkpoint.tensors, part), f"the checkpoint's {part}"
        )
    return model.eval()


def save_resume(folder: Path, state: Mapping[str, Any]) -> None:
    """Save the state of a run."""
    try:
        with atomic_write(folder / RESUME) as file:
            torch.save(dict(state), file)
    except RuntimeError:  # torch raises this if the disk is full
        raise OSError(f"{RESUME} could not be saved, perhaps for lack of space") from None


def read_resume(folder: Path) -> dict[str, Any] | None:
    """The saved state of a run, or None if there is none; `ModelError` if it is damaged."""
    path = folder / RESUME
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # for damaged files torch raises almost anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{path} is damaged: {reason} (if you delete it, the run starts from the beginning)"
        ) from None


def _read_graph(path: Path, *, trust: bool) -> Checkpoint:
    """The checkpoint in an exported file: its weights by name, the rest from its metadata."""
    tensors = read_tensors(path)
    graph = onnx.load(path, load_external_data=False)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    if "recipe" not in metadata:
        raise ModelError(f"{path} carries no recipe: it was not made by `cutline export`")
    recipe = Recipe.of(_read_table(metadata["recipe"], "recipe", path), trust=trust)
    return Checkpoint(
        recipe,
        Vocabulary.of_lines(metadata.get("vocabulary", ""), language=recipe.language),
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
