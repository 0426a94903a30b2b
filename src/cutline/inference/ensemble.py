"""Ensembles: several models write one caption, with the mean of their word probabilities."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from cutline.errors import ModelError
from cutline.images.load import View
from cutline.inference.network import Network
from cutline.inference.torch import TorchEngine
from cutline.models.search import InitialState, State, StepOutput
from cutline.models.weights import encode
from cutline.text.style import UNCONSTRAINED, Style
from cutline.text.vocabulary import Vocabulary
from cutline.types import Written


class EnsembleEngine(Network):
    """An ensemble of models with the same vocabulary and view, which uses the first one's search.

    Raises `ModelError` if their vocabularies or views differ.
    """

    def __init__(self, members: Sequence[TorchEngine]) -> None:
        self.members, first = members, members[0]
        self.vocabulary: Vocabulary = first.vocabulary
        self.view: View = first.view
        self.card: Mapping[str, Any] = first.card
        for other in members[1:]:
            if other.vocabulary != self.vocabulary or other.view != self.view:
                raise ModelError(
                    "an ensemble needs models with the same vocabulary and the same view"
                )

    def write(self, pixels: NDArray[np.uint8], style: Style = UNCONSTRAINED) -> Written:
        """Captions of pictures of shape (rows, size, size, 3)."""
        device = next(self.members[0].model.decoder.parameters()).device
        seen = [encode(member.model.encoder, pixels).to(device) for member in self.members]
        together = EnsembleDecoder([member.model.decoder for member in self.members], seen)
        regions = torch.cat([each.flatten(1) for each in seen], dim=1)
        return self.members[0].read_with(together, regions, style)


class EnsembleDecoder:
    """Several decoders as one; `start` gets the regions for each, `seen`, in a single tensor."""

    def __init__(self, decoders: Sequence[Any], seen: Sequence[Tensor]) -> None:
        self.decoders = decoders
        self._shapes = [regions.shape[1:] for regions in seen]

    def start(self, regions: Float[Tensor, "pictures all"], max_words: int) -> InitialState:
        """The states of all decoders, concatenated."""
        parts = regions.split([shape.numel() for shape in self._shapes], dim=1)
        begun = [
            decoder.start(part.view(-1, *shape), max_words)
            for decoder, part, shape in zip(self.decoders, parts, self._shapes, strict=True)
        ]
        self._pictures, self._states = (
            np.cumsum([0, *(len(each[side]) for each in begun)]).tolist() for side in (0, 1)
        )
        pictures, states = (tuple(t for each in begun for t in each[side]) for side in (0, 1))
        return InitialState(pictures, states, begun[0].regions)

    def step(self, words: Int[Tensor, " rows"], picture: State, state: State) -> StepOutput:
        """The logarithm of the decoders' mean probabilities, and their mean attention."""
        spans = zip(pairwise(self._pictures), pairwise(self._states), strict=True)
        read = [
            decoder.step(words, picture[slice(*own)], state[slice(*remembered)])
            for decoder, (own, remembered) in zip(self.decoders, spans, strict=True)
        ]
        likely = torch.stack([each.log_probs for each in read]).logsumexp(dim=0)
        alike = [each.gaze for each in read if each.gaze.shape == read[0].gaze.shape]
        remembered = tuple(tensor for each in read for tensor in each.state)
        mean = torch.stack(alike).mean(dim=0)
        return StepOutput(likely - np.log(len(read)), mean, remembered)
