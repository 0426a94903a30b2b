"""The settings of a server: model, limits, access."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutline.inference.library import CaptionOptions

MEGABYTE = 10**6


@dataclass(frozen=True)
class Settings:
    """The options of `cutline serve`, with their defaults."""

    model: Path | str | None = None
    """A model, as `cutline.load` takes it; None: the built-in one."""
    device: str = "auto"
    """The PyTorch device for a model folder, as in `cutline.load`."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Other options of `cutline.load`: `prompt`, `timeout`."""
    threads: int | None = None
    """Number of cores that one process uses; None: all."""
    options: CaptionOptions = CaptionOptions()
    """Style and minimum confidence unless a request overrides them."""
    token: str = ""
    """The bearer token that clients must send; empty: none."""
    origins: tuple[str, ...] = ()
    """Origins whose web pages may send requests and read responses (CORS)."""
    json_logs: bool = False
    body_bytes: int = 27 * MEGABYTE
    """Maximum size of a request body: a picture of 20 MB in base64."""
    queued_bytes: int = 64 * MEGABYTE
    """Maximum total size of the bodies of accepted requests."""
    queued_seconds: float = 2.0
    """Maximum queue length, as the time that captioning it takes at the current speed."""
    megapixels: float = 12.5
    """Maximum size of a picture that is decoded at full size. Progressive JPEGs may have twice as
    many; baseline JPEGs are decoded at a reduced size, and only `cutline.images` limits them."""
