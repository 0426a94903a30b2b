"""What a request asks of a model and what the model can do: sentences about the difference."""

from collections.abc import Iterator

from cutline.engines.texts import require_candidates
from cutline.errors import ModelError
from cutline.inference.captioner import Captioner
from cutline.text.style import Style


def find_limits(
    captioner: Captioner,
    style: Style,
    *,
    best: int = 1,
    gaze: bool = False,
    min_confidence: float | None = None,
) -> list[str]:
    """A sentence for each wish that the model cannot fulfil, so that the captions lack it.

    Raises `ModelError` for those without which the captions would be wrong: more candidates than
    there are, and a minimum of a confidence that is not known.
    """
    able = captioner.engine.abilities
    if able.candidates is not None:
        require_candidates(best, able.candidates)
    name = captioner.card.get("title") or "this model"
    if min_confidence and not able.probabilities:
        raise ModelError(f"{name} does not say how sure it is: leave out the minimum confidence")
    return [f"{name} {limit}" for limit in _limits(captioner, style, gaze)]


def _limits(captioner: Captioner, style: Style, gaze: bool) -> Iterator[str]:
    able = captioner.engine.abilities
    if gaze and not able.attention:
        yield "does not say where it looked: the captions have no attention"
    if not able.style and (style.max_chars is not None or style.avoid):
        yield (
            "cannot search within a style: captions that are too long or have a word to avoid "
            "are left out"
        )
    if style.form == "phrase" and not able.phrases:
        yield "predicts no concepts: it writes sentences, not phrases"
