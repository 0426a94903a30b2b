"""Encoders, decoders and search; weights and checkpoints; export to a single ONNX file."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.models.checkpoint import Checkpoint as Checkpoint
    from cutline.models.checkpoint import read_model as read_model
    from cutline.models.onnx_export import export as export

__all__ = ["Checkpoint", "export", "read_model"]
_HOMES = {"Checkpoint": "checkpoint", "export": "onnx_export", "read_model": "checkpoint"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
