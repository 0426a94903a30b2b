"""Captioning on engines that distribute work: a class for any engine, and an adapter for Daft.

The engines themselves (Daft, Ray, Spark, Dask) schedule, retry and move data; nothing here does.
"""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.cluster.columns import CaptionColumns as CaptionColumns
    from cutline.cluster.columns import caption_schema as caption_schema
    from cutline.cluster.on_daft import caption_on_daft as caption_on_daft

__all__ = ["CaptionColumns", "caption_on_daft", "caption_schema"]
_HOMES = {
    "CaptionColumns": "columns",
    "caption_on_daft": "on_daft",
    "caption_schema": "columns",
}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
