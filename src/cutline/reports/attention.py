"""Attention maps drawn over the picture, and contact sheets.

Input: a picture as the model saw it and a caption with its attention (`gaze`). Output: one picture
with a panel for each word, in colour where the model looked and pale grey elsewhere.
"""

import math
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from cutline.errors import CutlineError, ModelError
from cutline.io.atomic import atomic_write
from cutline.io.outputs import SOFTWARE
from cutline.types import Caption
from cutline.version import __version__

FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf")
"""Fonts with the letters of most languages, on Linux, macOS and Windows."""
COLUMNS = 5
"""Panels in a row; the first shows the picture itself."""
LABEL_HEIGHT = 18
"""Pixels above each panel, for its word."""
PALENESS = 0.65
"""The share of white in a region without attention: what is there can still be seen."""


def draw_gaze(pixels: NDArray[np.uint8], caption: Caption) -> Image.Image:
    """Draw the picture, then a panel for each word. `pixels` are (size, size, 3), uint8, RGB.

    Raises `ModelError` if the caption has no attention, or attention to the whole picture only.
    """
    if caption.gaze is None:
        raise ModelError(
            "this model does not report its attention: it was made by a different version of "
            "cutline; export it again"
        )
    if caption.gaze.shape[1] < 2:
        raise ModelError("this model has no attention: it sees each picture as a whole")
    panels = [(caption.text, Image.fromarray(pixels))]
    for word, gaze in zip(caption.words, caption.gaze, strict=False):  # none for the end marker
        panels.append((word, _highlight(pixels, gaze)))
    size, rows = pixels.shape[0], math.ceil(len(panels) / COLUMNS)
    columns, row_height = min(len(panels), COLUMNS), size + LABEL_HEIGHT
    drawn = Image.new("RGB", (columns * size, rows * row_height), "white")
    pen = ImageDraw.Draw(drawn)
    for number, (word, panel) in enumerate(panels):
        left, top = number % COLUMNS * size, number // COLUMNS * row_height
        drawn.paste(panel, (left, top + LABEL_HEIGHT))
        pen.text((left + 4, top + 3), word if number else "", fill="black", font=_font(word))
    return drawn


def draw_contact_sheet(pairs: Sequence[tuple[Path, str]], *, columns: int = 4) -> Image.Image:
    """Draw pictures with their captions under them, in rows of `columns`."""
    width, height, text_height = 240, 180, 46
    rows = math.ceil(len(pairs) / columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + text_height)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (path, text) in enumerate(pairs):
        left = number % columns * width
        top = number // columns * (height + text_height)
        with Image.open(path) as picture:
            small = ImageOps.contain(picture.convert("RGB"), (width - 8, height))
        sheet.paste(small, (left + (width - small.width) // 2, top))
        lines = textwrap.wrap(text, 38)[:3]
        place, written = (left + 4, top + height + 2), "\n".join(lines)
        pen.multiline_text(place, written, fill="black", spacing=2, font=_font(text))
    return sheet


@cache
def _font(text: str) -> ImageFont.FreeTypeFont | None:
    """A font of the system for letters that Pillow's own lacks: umlauts, Cyrillic, Arabic.

    None for Pillow's own font: for English, and where none of `FONTS` is installed.
    """
    for name in () if text.isascii() else FONTS:
        try:
            return ImageFont.truetype(name, 11)
        except OSError:
            continue
    return None


def save_drawing(drawing: Image.Image, out: Path) -> None:
    """Save as the format of the suffix, with cutline in EXIF's Software tag.

    Raises `CutlineError` for a suffix of no picture format and for a file that cannot be written.
    """
    format = Image.registered_extensions().get(out.suffix.lower())
    if format not in Image.SAVE:
        raise CutlineError(f"{out} is not a picture file: choose a name ending in .png or .jpg")
    exif = Image.Exif()
    exif[SOFTWARE] = f"cutline {__version__}"
    try:
        with atomic_write(out) as file:
            drawing.save(file, format, exif=exif)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CutlineError(f"{out} cannot be written: {reason}") from None


def _highlight(pixels: NDArray[np.uint8], gaze: NDArray[np.float32]) -> Image.Image:
    """Make the picture pale and grey except where the attention is; its peak keeps its colours."""
    share = Image.fromarray((255 * gaze / gaze.max()).astype(np.uint8))
    mask = share.resize(pixels.shape[1::-1], Image.Resampling.BICUBIC)
    picture = Image.fromarray(pixels)
    white = Image.new("L", picture.size, 255)
    pale = Image.blend(picture.convert("L"), white, PALENESS).convert("RGB")
    return Image.composite(picture, pale, mask)
