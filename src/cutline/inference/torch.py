"""The engine for model folders: PyTorch, on any device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cutline.errors import ModelError
from cutline.images.load import View
from cutline.inference.network import Network
from cutline.models.checkpoint import build, read_model
from cutline.models.concepts import predict_concepts
from cutline.models.device import resolve_device
from cutline.models.search import Limits, can_limit_length
from cutline.models.weights import CaptionModel, encode
from cutline.recipe import Recipe
from cutline.text.style import NEEDS_BEAM, UNCONSTRAINED, Style
from cutline.text.vocabulary import Vocabulary
from cutline.types import Written


class TorchEngine(Network):
    """A captioner from a model folder or a one-file model."""

    def __init__(
        self,
        model: CaptionModel,
        recipe: Recipe,
        vocabulary: Vocabulary,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.vocabulary, self.card = model, vocabulary, card or {}
        self.view: View = recipe.build("view")
        self._search = recipe.partial("search")

    @classmethod
    def open(cls, path: Path, *, device: str = "cpu") -> "TorchEngine":
        """The captioner in a model folder or in a file that `cutline export` wrote.

        `device` is what `resolve_device` accepts.
        """
        saved = read_model(path)
        return cls(
            build(saved).to(resolve_device(device)), saved.recipe, saved.vocabulary, saved.card
        )

    def write(self, pixels: NDArray[np.uint8], style: Style = UNCONSTRAINED) -> Written:
        """Captions of pictures of shape (rows, size, size, 3)."""
        return self.read(encode(self.model.encoder, pixels), style)

    @torch.inference_mode()
    def read(
        self, regions: Float[Tensor, "rows regions width"], style: Style = UNCONSTRAINED
    ) -> Written:
        """Captions of pictures that were encoded before."""
        device = next(self.model.decoder.parameters()).device
        return self.read_with(self.model.decoder, regions.float().to(device), style)

    @torch.inference_mode()
    def read_with(self, decoder: Any, regions: Tensor, style: Style = UNCONSTRAINED) -> Written:
        """Caption with another decoder, using this engine's search."""
        limits = None if style.is_unconstrained else self._limits(style, regions.device)
        found = self._search(decoder, regions, limits=limits)
        named = predict_concepts(decoder, regions) or ()
        return Written(*(tensor.cpu().numpy() for tensor in (*found, *named)))

    def _limits(self, style: Style, device: torch.device) -> Limits:
        if style.max_chars is not None and not can_limit_length(self._search):
            raise ModelError(NEEDS_BEAM)
        return Limits(
            torch.from_numpy(style.avoided(self.vocabulary.words)).to(device),
            torch.tensor(self.vocabulary.lengths, device=device),
            torch.tensor(style.longest, device=device),
        )
