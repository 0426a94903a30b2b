"""Opens the model that a command names, and says what it cannot do and what it has cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cutline.cli.progress import note
from cutline.errors import ModelError
from cutline.inference.captioner import Captioner, load
from cutline.inference.requests import find_limits
from cutline.text.style import Style


def open_captioner(
    model: Path | str | None,
    style: Style,
    asked: Mapping[str, Any],
    *,
    device: str,
    threads: int | None = None,
    language: str | None = None,
    **wishes: Any,
) -> Captioner:
    """Load a model, and note what it cannot do of a style and other `wishes` (`find_limits`).

    Raises `ModelError` if its card names another language than `language`.
    """
    captioner = load(model, threads=threads, device=device, **asked)
    _require_language(captioner, language)
    for limit in find_limits(captioner, style, **wishes):
        note(limit)
    return captioner


def _require_language(captioner: Captioner, language: str | None) -> None:
    if language and "language" in captioner.card and captioner.language != language:
        raise ModelError(
            f"{captioner.card.get('title') or 'this model'} writes captions in "
            f"{captioner.language!r}, not in {language!r}: name another with --model "
            f"{language}=PATH"
        )


def note_usage(captioner: Captioner) -> None:
    """Note what the calls of a model have cost, if it counts that."""
    if usage := captioner.engine.usage:
        note(usage)
