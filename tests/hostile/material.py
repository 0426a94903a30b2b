"""What makers start from: a tiny model in every form, and a picture."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Material:
    """A model folder with `model.onnx` in it, as `conftest.tiny` makes it."""

    model: Path

    @cached_property
    def onnx(self) -> bytes:
        """The one-file form."""
        return (self.model / "model.onnx").read_bytes()

    @cached_property
    def folder(self) -> Mapping[str, bytes]:
        """Every file of the model folder but the one-file form."""
        files = {path.name: path.read_bytes() for path in self.model.iterdir() if path.is_file()}
        files.pop("model.onnx", None)
        return files

    @cached_property
    def picture(self) -> bytes:
        """A small PNG."""
        file = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()


def prepare(folder: Path) -> Material:
    """Train and export the tiny model, unless it is there from before."""
    model = folder / "tiny"
    if not (model / "model.onnx").exists():
        from conftest import _train_tiny
        from cutline.datasets.shapes import Shapes

        folder.mkdir(parents=True, exist_ok=True)
        list(Shapes(folder / "shapes", count=120, size=32))
        _train_tiny(folder / "shapes", model)
    return Material(model)
