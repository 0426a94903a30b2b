"""Caption style: maximum length, words to avoid, formatting as a sentence.

Captions that are too long or contain an avoided word are excluded during the search, not cut
afterwards: the limits are inputs of the model's graph.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cutline.errors import DataError
from cutline.text.neutral import NEUTRAL
from cutline.text.tokenizer import split_words

MIN_CHARS = 10
"""The smallest `max_chars`, in characters: shorter captions cannot describe a picture."""
UNLIMITED = np.iinfo(np.int32).max
"""The length limit, in characters, of a caption without one."""

ENDINGS = """
    a an and are as at be by for from has have his her in into is its near next of off on onto or
    over some that the their there to two under was were while with
"""
UNFINISHED = frozenset(ENDINGS.split())
"""Words in which no caption should end; self-critical training and length limits lead to such
endings."""
ADJECTIVES = """
    black blue brown doing four green hot large little no orange pink purple red small three top
    white yellow young
"""
BEFORE_NOUNS = frozenset(ADJECTIVES.split())
"""Words that a noun follows; a length limit may leave it away: `a plane is parked on a no`."""

Form = Literal["sentence", "phrase", "auto"]

NEEDS_BEAM = (
    "this model keeps a single hypothesis, so it cannot offer a shorter caption: max_chars needs"
    ' `kind = "beam"` and a `width` of 2 or more in its [search]'
)
"""The error for `max_chars` with a model that keeps a single hypothesis."""


@dataclass(frozen=True)
class Style:
    """Constraints on captions: `Style(max_chars=80, avoid={"man", "woman"}, sentence=True)`."""

    max_chars: int | None = None
    """Maximum length in characters; None: unlimited."""
    avoid: frozenset[str] = frozenset()
    """Words that never occur in captions, one word each, in lower case."""
    sentence: bool = False
    """Whether captions begin with a capital and end with a full stop."""
    form: Form = "sentence"
    """`sentence`; `phrase`: what the picture certainly shows, such as `a zebra`; `auto`: a
    sentence, or a phrase if the sentence is uncertain and a noun is certain."""
    any_picture: bool = False
    """Whether to caption pictures that are not photographs: drawings, documents, screenshots."""
    neutral: bool = False
    """Whether English captions say `person`, `people` and `child` in place of words for gender. The
    words are replaced after the search, so that the rest of the caption stays; only with
    `max_chars` they are words to avoid."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < MIN_CHARS:
            raise DataError(f"max_chars is {self.max_chars}, but must be at least {MIN_CHARS}")
        avoid = frozenset(map(_single, self.avoid))
        if self.neutral and self.max_chars is not None:
            avoid |= NEUTRAL.keys()
        object.__setattr__(self, "avoid", avoid)

    @property
    def is_unconstrained(self) -> bool:
        """Whether the search is unconstrained."""
        return self.max_chars is None and not self.avoid

    @property
    def longest(self) -> int:
        """Maximum number of characters of the words and the spaces between them."""
        return UNLIMITED if self.max_chars in (None, UNLIMITED) else self.max_chars - self.sentence

    @property
    def without_length_limit(self) -> "Style":
        """The same style without a length limit."""
        return self if self.max_chars is None else replace(self, max_chars=UNLIMITED)

    def as_json(self) -> dict[str, Any]:
        """A dictionary for `json.dumps`, equal for equal styles."""
        return {**asdict(self), "avoid": sorted(self.avoid)}

    def is_short_enough(self, text: str) -> bool:
        """Whether a caption is within the limit, before it is formatted."""
        return len(text) <= self.longest

    def avoided(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """A mask (words,): whether each word is to be avoided."""
        return np.array([word.lower() in self.avoid for word in words])

    def format(self, text: str) -> str:
        """Format the search's output as a sentence if `sentence` is set."""
        return f"{text[0].upper()}{text[1:]}." if self.sentence and text else text


def read_words(path: Path) -> frozenset[str]:
    """Read words from a text file, one per line, ignoring blank lines and comments after `#`."""
    try:
        lines = path.read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(f"cannot read the words {path}: {reason}") from None
    words = set()
    for number, line in enumerate(lines, start=1):
        if word := line.partition("#")[0].strip():
            try:
                words.add(_single(word))
            except DataError as error:
                raise DataError(f"{path}:{number}: {error}") from None
    return frozenset(words)


def _single(word: str) -> str:
    """The word as models write it; `DataError` unless it is a single word."""
    parts = split_words(word)
    if len(parts) != 1:
        raise DataError(f"{word!r} is {len(parts) or 'no'} words; give one word at a time")
    return parts[0]


def is_unfinished(words: Sequence[str]) -> bool:
    """Whether an English caption is empty or breaks off: `a girl in a blue shirt is`."""
    return not words or words[-1] in UNFINISHED


def is_cut_short(words: Sequence[str]) -> bool:
    """Whether an English caption that was written within a length limit breaks off."""
    return is_unfinished(words) or words[-1] in BEFORE_NOUNS


UNCONSTRAINED = Style()
"""No constraints."""
