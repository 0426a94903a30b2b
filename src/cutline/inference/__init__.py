"""Captioners and the engines that run them: pixels in, word ids and log-probabilities out.

Every engine gives the same words for the same model, and the result of a batch equals that of its
pictures one by one. `onnx`, the default, needs neither torch nor anything else of training.
"""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.inference.captioner import Captioner as Captioner
    from cutline.inference.captioner import load as load
    from cutline.inference.library import caption_library as caption_library
    from cutline.inference.library import watch as watch

__all__ = ["Captioner", "caption_library", "load", "watch"]
_HOMES = {
    "Captioner": "captioner",
    "caption_library": "library",
    "load": "captioner",
    "watch": "library",
}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
