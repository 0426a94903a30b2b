"""Image augmentations that keep the captions true: horizontal flips and random crops.

Callers pass the random numbers, so a resumed run repeats the same augmentations.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def mirror(pixels: Pixels) -> Pixels:
    """Flip an image, or a batch of them, (..., height, width, channels), left to right."""
    return np.ascontiguousarray(pixels[..., ::-1, :])


def random_crop(pixels: Pixels, share: float, random: NDArray[np.float64]) -> Pixels:
    """Crop at most `share` of the height and of the width, and resize back to the full size.

    `random` is four numbers from 0 to 1: how much of the width and of the height to cut off, and
    how much of that at the left and at the top.
    """
    height, width = pixels.shape[:2]
    kept = 1 - share * random[:2]
    across, down = kept * (width, height)
    left, top = random[2:] * (width - across, height - down)
    box = (left, top, left + across, top + down)
    part = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
    return np.asarray(part)
