"""What a server may be told: its model, its limits, who may use it."""

from dataclasses import dataclass
from pathlib import Path

from cutline.inference.library import Wanted

MEGABYTE = 10**6


@dataclass(frozen=True)
class Settings:
    """Options of `cutline serve`, with their defaults."""

    model: Path | None = None
    """A model folder or one-file model; None: the built-in one."""
    threads: int | None = None
    """Cores that one process uses; None: all."""
    wanted: Wanted = Wanted()
    """How captions read where a request does not say."""
    token: str = ""
    """What clients must show as bearer token; empty: nothing."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may read answers (CORS)."""
    json_logs: bool = False
    body_bytes: int = 27 * MEGABYTE
    """The largest request: a picture of 20 MB in base64."""
    queued_bytes: int = 64 * MEGABYTE
    """All accepted requests together."""
    queued_seconds: float = 2.0
    """The work that may wait, by the speed of the last pictures."""
    megapixels: float = 12.5
    """Of a picture that is decoded whole; a progressive JPEG may have twice as many, and a JPEG
    that is decoded by rows is limited by `cutline.images` only."""
