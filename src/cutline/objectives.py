"""What training makes small: how surprised the decoder is by what people wrote."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cross_entropy(
    log_probs: Float[Tensor, "rows time vocabulary"],
    words: Int[Tensor, "rows time"],
    *,
    pad: int = 0,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the words, padding left out, in nats a word.

    With label smoothing (Szegedy et al. 2016, section 7) a share `smoothing` of the target is
    spread evenly over the whole vocabulary.
    """
    written = words != pad
    surprise = -log_probs.gather(-1, words[..., None]).squeeze(-1)
    if smoothing:
        surprise = (1 - smoothing) * surprise - smoothing * log_probs.mean(dim=-1)
    return torch.where(written, surprise, 0.0).sum() / written.sum()
