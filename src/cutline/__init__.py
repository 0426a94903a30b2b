"""Train, measure and run image captioners.

>>> import cutline
>>> cutline.load().caption("photo.jpg").text
'a dog runs through the grass'
"""

import os
from typing import TYPE_CHECKING, Any

from cutline.version import __version__

if TYPE_CHECKING:
    from cutline.errors import CutlineError as CutlineError
    from cutline.errors import ImageError as ImageError
    from cutline.inference.captioner import Captioner as Captioner
    from cutline.inference.captioner import load as load
    from cutline.text.style import Style as Style
    from cutline.types import Caption as Caption

__all__ = ["Caption", "Captioner", "CutlineError", "ImageError", "Style", "__version__", "load"]

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported: see `models.runtime`

_HOMES = {
    "Caption": "types",
    "Captioner": "inference.captioner",
    "CutlineError": "errors",
    "ImageError": "errors",
    "Style": "text.style",
    "load": "inference.captioner",
}


if not TYPE_CHECKING:  # else a misspelt name would be of type Any

    def __getattr__(name: str) -> Any:
        """Import the rest when it is asked for: `import cutline` itself costs nothing."""
        if name not in _HOMES:
            raise AttributeError(f"module 'cutline' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"cutline.{_HOMES[name]}"), name)
