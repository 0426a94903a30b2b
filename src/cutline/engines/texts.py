"""Texts of other captioners: cleaned, with the probability of each word, and within a style."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cutline.errors import ModelError
from cutline.text.neutral import neutralize_text
from cutline.text.style import Style
from cutline.text.tokenizer import split_words
from cutline.types import Caption

PROMPT = (
    "Describe this photograph in one short, plain English sentence, as an alternative text. "
    "Answer with the sentence only."
)
"""What models that read a prompt are asked, unless told otherwise."""
TOKENS = 60
"""The longest caption, in tokens, of a model that runs here."""
LONGEST = 2_000
"""Characters of a caption; what is longer is no caption."""
_THOUGHTS = re.compile(r"^\s*<think>.*?(</think>|$)", re.DOTALL)


def clean(text: str) -> str:
    """The text in one line, without control characters, quotes around it, or a model's thoughts."""
    text = _THOUGHTS.sub("", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    is_quoted = len(text) > 1 and (text[0], text[-1]) in (('"', '"'), ("“", "”"))
    return text[1:-1].strip() if is_quoted and '"' not in text[1:-1] else text


def caption_of(
    ids: Sequence[int], log_probs: Sequence[float], decode: Callable[[Sequence[int]], str]
) -> Caption:
    """The caption of some tokens; the probability of a word is that of all its tokens.

    `decode` turns tokens into text. Tokens without text, such as the end, come after the words.
    """
    texts = [decode(ids[:number]) for number in range(len(ids) + 1)]
    words = texts[-1].split()
    sums, end = [0.0] * len(words), 0.0
    for before, after, log_prob in zip(texts, texts[1:], log_probs, strict=False):
        if after == before or not words:
            end += log_prob
        else:
            sums[min(max(1, len(after.split())), len(words)) - 1] += log_prob
    return Caption(clean(texts[-1]), tuple(words), sum(log_probs), (*sums, end))


def choose(candidates: Sequence[Caption], best: int, style: Style) -> Caption:
    """The first candidate within a style, with up to `best` - 1 others; left out if there is none.

    The candidates come best first. Limits on length and words do not steer the search of these
    models, so candidates that break them are dropped.
    """
    if style.neutral:
        candidates = [_neutralize(caption) for caption in candidates]
    fitting = [c for c in candidates if c.text and not _find_fault(c.text, style)]
    if not fitting:
        refused, fault = candidates[0].left_out, _find_fault(candidates[0].text, style)
        return replace(
            candidates[0], text="", left_out=refused or fault or "the model wrote nothing"
        )
    first, *others = [replace(c, text=_format(c.text, style), left_out="") for c in fitting]
    return replace(first, alternatives=tuple(others[: best - 1]))


def _find_fault(text: str, style: Style) -> str:
    if not style.is_short_enough(text):
        return f"no whole caption has {style.max_chars} characters or fewer"
    if style.avoid and (said := style.avoid.intersection(split_words(text))):
        return f"it has the word {min(said)!r}, which is to be avoided"
    return ""


def _neutralize(caption: Caption) -> Caption:
    text = neutralize_text(caption.text)
    return replace(caption, text=text, words=tuple(text.split()))


def _format(text: str, style: Style) -> str:
    return style.format(text.rstrip(". ")) if style.sentence and text[-1] not in "!?" else text


def require_candidates(best: int, candidates: int) -> None:
    """Raise `ModelError` unless a model has that many candidates."""
    if not 1 <= best <= candidates:
        if candidates == 1:
            raise ModelError(f"this model produces one candidate per picture, not {best}")
        raise ModelError(
            f"this model produces {candidates} candidates per picture: choose a number from 1 to "
            f"{candidates}"
        )


def as_text(value: Any) -> str:
    """A caption that a server sent, cleaned. Raises `ValueError` if it is none."""
    if not isinstance(value, str):
        raise ValueError("no text")
    text = clean(value[: 10 * LONGEST])
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text):,} characters")
    return text
