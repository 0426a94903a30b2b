"""Evaluate models: caption a split, score the captions, diagnose what is wrong."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.evaluation.evaluate import caption_split as caption_split
    from cutline.evaluation.evaluate import score_split as score_split

__all__ = ["caption_split", "score_split"]
_HOMES = {"caption_split": "evaluate", "score_split": "evaluate"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
