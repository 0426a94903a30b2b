"""A mosaic of mean colours: an encoder without weights.

It is enough to tell drawn shapes apart, so that a whole run takes seconds in a test or notebook.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d


class Mosaic(nn.Module):
    """One region for each image: the mean darkness of `tiles` x `tiles` tiles, 0 (white) to 1."""

    white: Tensor

    def __init__(self, *, tiles: int = 12) -> None:
        super().__init__()
        self.tiles, self.width = tiles, 3 * tiles * tiles
        self.register_buffer("white", torch.tensor(255.0))

    def forward(
        self, pixels: Float[Tensor, "rows 3 height across"] | UInt8[Tensor, "rows 3 height across"]
    ) -> Float[Tensor, "rows 1 width"]:
        """The mosaic of each image; `pixels` are RGB between 0 and 255."""
        tiles = adaptive_avg_pool2d(1 - pixels / self.white, self.tiles)
        return tiles.flatten(1)[:, None]
