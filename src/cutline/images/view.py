"""How pictures become the input of a model; stored with the model as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cutline.errors import ModelError, nearest

FITS = ("squash", "crop")
LARGEST = 1024
CROPPED = 7 / 8
"""The fraction of the short side that a crop keeps: 224 of 256, as usual for ImageNet models."""


@dataclass(frozen=True, slots=True)
class View:
    """Preprocessing of images for a model; stored with the model as JSON."""

    size: int = 224
    """Width and height of the model's input, in pixels."""
    fit: str = "squash"
    """`squash`: the whole picture, resized to a square. `crop`: the central square."""

    def __post_init__(self) -> None:
        _check_view(self.size, self.fit)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> "View":
        """The view that `as_dict` describes; raises `ModelError` for unknown fields or values."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise ModelError(f"a view has no field {name!r}{nearest(str(name), known)}")
        _check_view(options.get("size", 1), options.get("fit", FITS[0]))
        return cls(**options)

    def as_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: `{"size": 224, "fit": "squash"}`."""
        return asdict(self)

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """The visible part of a picture: left, top, right, bottom."""
        if self.fit == "squash":
            return (0.0, 0.0, width, height)
        side = min(width, height) * CROPPED
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)

    def shape(self, width: float, height: float) -> tuple[int, int]:
        """Width and height of the model's input."""
        return self.size, self.size


@dataclass(frozen=True, slots=True)
class WholeView(View):
    """The whole picture in its own proportions, with at most `size` pixels a side; for models that
    do the rest of the preprocessing themselves. Small pictures are not enlarged."""

    size: int = LARGEST
    fit: str = "whole"

    def __post_init__(self) -> None:
        _check_view(self.size, FITS[0])

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """All of it."""
        return (0.0, 0.0, width, height)

    def shape(self, width: float, height: float) -> tuple[int, int]:
        """Width and height of the model's input."""
        scale = min(1.0, self.size / max(width, height))
        return max(1, round(scale * width)), max(1, round(scale * height))


def _check_view(size: Any, fit: Any) -> None:
    if type(size) is not int or not 1 <= size <= LARGEST:
        raise ModelError(f"a view has a size from 1 to {LARGEST} pixels, not {size!r}")
    if fit not in FITS:
        raise ModelError(f"a view cannot fit by {fit!r}{nearest(str(fit), FITS)}")
