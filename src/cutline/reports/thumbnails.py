"""Pictures, small enough that a page can carry thousands: each an address that holds its own bytes.

WebP of 256 pixels and quality 55 is 6.8 kB a photograph of Flickr8k in the mean of 200, so that
2,000 of them are 18 MB of text.
"""

import io
import warnings
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cutline.errors import ImageError
from cutline.images.formats import FORMATS
from cutline.images.load import View, open_image
from cutline.images.prefetch import DECODERS, in_order

SIDE = 256
"""Pixels of the longer side."""
QUALITY = 55
ORIENTATION = 0x0112
"""The EXIF tag; from 5 on a picture lies on its side."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, upright, of the proportions of the large one."""

    address: str
    """`data:image/webp;base64,...`"""
    width: int
    height: int


def draw_thumbnails(pictures: Iterable[Path]) -> Iterator[Thumbnail | ImageError]:
    """One for each picture, in order, drawn by threads; or what is wrong with the picture."""
    return in_order(try_thumbnail, pictures, workers=DECODERS)


def draw_thumbnail(picture: Path) -> Thumbnail:
    """Raises `ImageError` for a picture that cannot be read."""
    square = Image.fromarray(open_image(picture, View(SIDE)))
    width, height = _find_size(picture)
    scale = SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    file = io.BytesIO()
    square.resize(size, Image.Resampling.BILINEAR).save(file, "WEBP", quality=QUALITY, method=2)
    return Thumbnail(f"data:image/webp;base64,{b64encode(file.getvalue()).decode()}", *size)


def _find_size(picture: Path) -> tuple[int, int]:
    """Width and height, upright, from the file's head; a square where that does not tell."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        with Image.open(picture, formats=tuple(FORMATS)) as opened:
            width, height = opened.size
            lies = opened.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (height, width) if lies else (width, height)
    return 1, 1


def try_thumbnail(picture: Path) -> Thumbnail | ImageError:
    """A thumbnail, or what is wrong with the picture."""
    try:
        return draw_thumbnail(picture)
    except ImageError as error:
        return error
