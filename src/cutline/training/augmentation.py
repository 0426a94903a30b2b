"""Pictures shown differently each time, in ways that leave their captions true.

Enters: a square of pixels, or what people wrote. Leaves: the square mirrored or a part of it.
Whoever calls owns the random numbers, so that a resumed run sees the same again.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDES = frozenset({"left", "right", "leftmost", "rightmost"})
"""Words that a mirrored picture would make a lie."""

Pixels = NDArray[np.uint8]


def may_be_mirrored(words: Iterable[str]) -> bool:
    """Whether captions of these words stay true in a mirror: they name no side."""
    return SIDES.isdisjoint(words)


def mirror(pixels: Pixels) -> Pixels:
    """Left becomes right; `pixels` are (..., height, width, colours)."""
    return np.ascontiguousarray(pixels[..., ::-1, :])


def random_crop(pixels: Pixels, most: float, chance: np.random.Generator) -> Pixels:
    """A part of the picture at its full size: of either side at most this share is left out."""
    height, width = pixels.shape[:2]
    kept = 1 - most * chance.random(2)
    across, down = kept * (width, height)
    left, top = chance.random(2) * (width - across, height - down)
    box = (left, top, left + across, top + down)
    part = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(part)
