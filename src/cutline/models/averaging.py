"""One model from several of one kind: the mean of their weights (Wortsman et al. 2022)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cutline.errors import ModelError
from cutline.models.checkpoint import Checkpoint, build, create_folder, save_model
from cutline.models.weights import fingerprint


def mix(models: Sequence[Checkpoint]) -> Checkpoint:
    """The mean of their weights; `ModelError` unless all have the same parts and words."""
    first = models[0]
    for other in models[1:]:
        same = all(
            first.recipe.sections[part] == other.recipe.sections[part]
            for part in ("encoder", "decoder", "view")
        )
        if not same or first.vocabulary != other.vocabulary:
            raise ModelError("weights can be averaged only of models with the same parts and words")
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
    """A new model folder."""
    model = build(mixed)
    create_folder(folder, mixed.recipe, mixed.vocabulary)
    card = {**mixed.card, "fingerprint": fingerprint(model)}
    save_model(folder, model, mixed.vocabulary, card)
