"""Train, measure and run image captioners.

>>> import cutline
>>> cutline.load().caption("photo.jpg").text
'a dog runs through the grass'
"""

import os
from typing import TYPE_CHECKING

from cutline._lazy import lazily
from cutline.version import __version__

if TYPE_CHECKING:
    from cutline.errors import CutlineError as CutlineError
    from cutline.errors import ImageError as ImageError
    from cutline.inference.captioner import Captioner as Captioner
    from cutline.inference.captioner import load as load
    from cutline.text.style import Style as Style
    from cutline.types import Caption as Caption

__all__ = ["Caption", "Captioner", "CutlineError", "ImageError", "Style", "__version__", "load"]

os.environ["ORT_DISABLE_TELEMETRY"] = (
    "1"  # must precede the import of onnxruntime: see `models.onnx_runtime`
)

_HOMES = {
    "Caption": "types",
    "Captioner": "inference.captioner",
    "CutlineError": "errors",
    "ImageError": "errors",
    "Style": "text.style",
    "load": "inference.captioner",
}
if not TYPE_CHECKING:  # for type checkers, a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
