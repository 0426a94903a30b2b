"""Thumbnails as data URLs, small enough for a page with thousands of them.

WebP of 256 pixels at quality 55 takes 6.8 kB per Flickr8k photograph (mean of 200), so that 2,000
of them are 18 MB of text.
"""

import io
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from cutline.errors import ImageError
from cutline.images.load import View, open_image, upright_size
from cutline.images.prefetch import DECODERS, in_order

SIDE = 256
"""Length of the longer side, in pixels."""
QUALITY = 55


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, upright, with the aspect ratio of the large one."""

    address: str
    """`data:image/webp;base64,...`"""
    width: int
    height: int


@dataclass(frozen=True)
class Progress:
    """How many of the pictures have been read."""

    done: int
    total: int


def draw_thumbnails(pictures: Iterable[Path]) -> Iterator[Thumbnail | ImageError]:
    """Draw a thumbnail of each picture in threads, or yield what is wrong with it, in order."""
    return in_order(try_thumbnail, pictures, workers=DECODERS)


class WebP(NamedTuple):
    """An encoded picture and its size in pixels."""

    content: bytes
    width: int
    height: int


def draw_thumbnail(picture: Path) -> Thumbnail:
    """Draw one thumbnail. Raises `ImageError` if the picture cannot be read."""
    content, width, height = encode_thumbnail(picture, side=SIDE)
    return Thumbnail(f"data:image/webp;base64,{b64encode(content).decode()}", width, height)


def encode_thumbnail(picture: Path, *, side: int) -> WebP:
    """Encode a picture with `side` pixels on its longer side. Raises `ImageError`."""
    square = Image.fromarray(open_image(picture, View(side)))
    width, height = upright_size(picture)
    scale = side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    file = io.BytesIO()
    square.resize(size, Image.Resampling.BILINEAR).save(file, "WEBP", quality=QUALITY, method=2)
    return WebP(file.getvalue(), *size)


def try_thumbnail(picture: Path) -> Thumbnail | ImageError:
    """Draw one thumbnail, or return what is wrong with the picture."""
    try:
        return draw_thumbnail(picture)
    except ImageError as error:
        return error
