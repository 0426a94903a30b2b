"""How captions are to read: how long at most, without which words, dressed as a sentence.

What is too long or unwanted is never found, rather than cut away afterwards: an engine searches
within a style, by inputs of the model's own graph.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cutline.errors import DataError
from cutline.text.tokenizer import split_words

MIN_CHARS = 10
"""Characters that a caption may always have: in fewer nothing can be said of a picture."""
UNLIMITED = np.iinfo(np.int32).max
"""Characters of a caption that may have any number."""

Form = Literal["sentence", "phrase", "auto"]

NEEDS_BEAM = (
    "this model keeps one caption in mind, so it has no shorter one to offer: maximal lengths need"
    ' `kind = "beam"` and a `width` of 2 or more in its [search]'
)
"""Why a model cannot keep to `max_chars`."""


@dataclass(frozen=True)
class Style:
    """How a caption is to read: `Style(max_chars=80, avoid={"man", "woman"}, sentence=True)`."""

    max_chars: int | None = None
    """Its length at most, in characters; None: any."""
    avoid: frozenset[str] = frozenset()
    """Words that it never has, as the model writes them: one word, small letters."""
    sentence: bool = False
    """Whether it begins with a capital and ends with a full stop."""
    form: Form = "sentence"
    """A sentence; a phrase that names what the picture surely shows, `a zebra`; or a sentence, and
    a phrase where the sentence is unsure and a noun is sure."""
    any_picture: bool = False
    """Caption pictures, too, that are no photographs: drawings, documents, screenshots."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < MIN_CHARS:
            raise DataError(
                f"a caption of {self.max_chars} characters says nothing: {MIN_CHARS} or more"
            )
        object.__setattr__(self, "avoid", frozenset(map(_single, self.avoid)))

    @property
    def is_unconstrained(self) -> bool:
        """Whether the search may find whatever it likes."""
        return self.max_chars is None and not self.avoid

    @property
    def longest(self) -> int:
        """Characters of the words and the spaces between them, at most."""
        return UNLIMITED if self.max_chars in (None, UNLIMITED) else self.max_chars - self.sentence

    @property
    def without_length_limit(self) -> "Style":
        """The same, for a search that is to find what it likes best first, however long."""
        return self if self.max_chars is None else replace(self, max_chars=UNLIMITED)

    def as_json(self) -> dict[str, Any]:
        """Ready for `json.dumps`, and the same for the same style."""
        return {**asdict(self), "avoid": sorted(self.avoid)}

    def is_short_enough(self, text: str) -> bool:
        """Whether a caption is short enough, before it is dressed."""
        return len(text) <= self.longest

    def avoided(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """For each of these words whether it is never to be written."""
        return np.array([word in self.avoid for word in words])

    def format(self, text: str) -> str:
        """A caption as it leaves the search, as a sentence if that is wanted."""
        return f"{text[0].upper()}{text[1:]}." if self.sentence and text else text


def read_words(path: Path) -> frozenset[str]:
    """The words of a text file, one a line; empty lines and what follows a # are passed over."""
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
    """The word as a model writes it."""
    parts = split_words(word)
    if len(parts) != 1:
        raise DataError(f"{word!r} is {len(parts) or 'no'} words, and words are avoided one by one")
    return parts[0]


UNCONSTRAINED = Style()
"""Captions as the model likes them."""
