"""Where a captioner looked for each word, drawn over the picture.

Enters: a picture as the model saw it and a caption with its gaze. Leaves: one picture with a panel
a word, bright where the word was looked for and dark elsewhere.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from cutline.errors import CutlineError, ModelError
from cutline.io.atomic import atomic_write
from cutline.io.outputs import SOFTWARE
from cutline.types import Caption
from cutline.version import __version__

ACROSS = 5
"""Panels in a row; the first shows the picture itself."""
LINE = 18
"""Height of a word, in pixels."""
DARKEST = 0.15


def draw_gaze(pixels: NDArray[np.uint8], caption: Caption) -> Image.Image:
    """The picture, then a panel for each word. `pixels` are (size, size, 3), uint8, RGB.

    Raises `ModelError` for a caption of a model that looks at its picture once, as a whole.
    """
    if caption.gaze is None:
        raise ModelError("this model does not tell where it looked: export it with this cutline")
    if caption.gaze.shape[1] < 2:
        raise ModelError("this model does not look at parts of a picture: it has no attention")
    panels = [(caption.text, Image.fromarray(pixels))]
    for word, gaze in zip(caption.words, caption.gaze, strict=False):  # the end's is left out
        panels.append((word, _light(pixels, gaze)))
    size, rows = pixels.shape[0], math.ceil(len(panels) / ACROSS)
    drawn = Image.new("RGB", (min(len(panels), ACROSS) * size, rows * (size + LINE)), "white")
    pen = ImageDraw.Draw(drawn)
    for number, (word, panel) in enumerate(panels):
        left, top = number % ACROSS * size, number // ACROSS * (size + LINE)
        drawn.paste(panel, (left, top + LINE))
        pen.text((left + 4, top + 3), word if number else "", fill="black")
    return drawn


def draw_sheet(pairs: Sequence[tuple[Path, str]], *, across: int = 4) -> Image.Image:
    """Pictures with their captions under them, for a person to look through."""
    wide, high, line = 240, 180, 46
    rows = math.ceil(len(pairs) / across)
    sheet = Image.new("RGB", (across * wide, rows * (high + line)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (path, text) in enumerate(pairs):
        left, top = number % across * wide, number // across * (high + line)
        with Image.open(path) as picture:
            small = ImageOps.contain(picture.convert("RGB"), (wide - 8, high))
        sheet.paste(small, (left + (wide - small.width) // 2, top))
        lines = textwrap.wrap(text, 38)[:3]
        pen.multiline_text((left + 4, top + high + 2), "\n".join(lines), fill="black", spacing=2)
    return sheet


def save_drawing(drawing: Image.Image, out: Path) -> None:
    """As the kind that the name says; the file names its maker. Raises `CutlineError`."""
    kind = Image.registered_extensions().get(out.suffix.lower())
    if kind not in Image.SAVE:
        raise CutlineError(f"{out} cannot be written: name a .png or .jpg file")
    maker = Image.Exif()
    maker[SOFTWARE] = f"cutline {__version__}"
    try:
        with atomic_write(out) as file:
            drawing.save(file, kind, exif=maker)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CutlineError(f"{out} cannot be written: {reason}") from None


def _light(pixels: NDArray[np.uint8], gaze: NDArray[np.float32]) -> Image.Image:
    """The picture lit by a grid of shares, its brightest region as bright as it is."""
    share = Image.fromarray((255 * gaze / gaze.max()).astype(np.uint8))
    lit = np.asarray(share.resize(pixels.shape[1::-1], Image.Resampling.BICUBIC)) / 255
    return Image.fromarray((pixels * np.maximum(lit, DARKEST)[..., None]).astype(np.uint8))
