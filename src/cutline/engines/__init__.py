"""Captioners of other projects behind the same commands: transformers, ONNX pairs, servers.

A model is named `SCHEME:NAME`. Nothing here executes code that comes with a model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMES: Mapping[str, str] = {
    "hf": "FOLDER or OWNER/NAME[@REVISION]: transformers, or a model that cutline put on the hub",
    "onnx": "FOLDER or OWNER/NAME[@REVISION][#VARIANT]: an encoder and a decoder for onnxruntime",
    "openai": "http://HOST:PORT/v1#MODEL: a server of OpenAI's API",
    "ollama": "MODEL, or http://HOST:PORT#MODEL: an Ollama server",
}
"""The schemes of model names, and what follows each."""

__all__ = ["SCHEMES", "split_name"]


def split_name(model: Any) -> tuple[str, str] | None:
    """The scheme and the rest of a name such as `ollama:moondream`; None for a file or folder."""
    if not isinstance(model, str) or Path(model).exists():
        return None
    scheme, colon, rest = model.partition(":")
    return (scheme, rest) if colon and scheme in SCHEMES else None
