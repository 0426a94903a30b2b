"""Weight averaging of several models ("model soups", Wortsman et al. 2022, arXiv 2203.05482)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cutline.errors import ModelError
from cutline.models.checkpoint import Checkpoint, build, create_folder, save_model
from cutline.models.weights import fingerprint


def mix(models: Sequence[Checkpoint]) -> Checkpoint:
    """A model with the mean of these models' weights.

    Raises `ModelError` unless all have the same encoder, decoder, view and vocabulary.
    """
    first = models[0]
    for other in models[1:]:
        same = all(
            first.recipe.sections[part] == other.recipe.sections[part]
            for part in ("encoder", "decoder", "view")
        )
        if not same or first.vocabulary != other.vocabulary:
            raise ModelError("only models with the same parts and vocabulary can be averaged")
    tensors = {
        name: torch.stack([model.tensors[name].float() for model in models]).mean(dim=0)
        for name in first.tensors
    }
    card = {
        **first.card,
        "scores": {},
        "mixed": [model.card.get("fingerprint") for model in models],
    }
    card.pop("calibration", None)
    return replace(first, tensors=tensors, card=card)


def save(mixed: Checkpoint, folder: Path) -> None:
    """Write a new model folder."""
    model = build(mixed)
    create_folder(folder, mixed.recipe, mixed.vocabulary)
    card = {**mixed.card, "fingerprint": fingerprint(model)}
    save_model(folder, model, mixed.vocabulary, card)
