"""Untrusted image files to pixels: finding, checking, decoding, prefetching."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.images.load import View as View
    from cutline.images.load import open_image as open_image

__all__ = ["View", "open_image"]
_HOMES = {"View": "load", "open_image": "load"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
