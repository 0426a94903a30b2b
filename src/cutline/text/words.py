"""Words of captions in any language but English: text to words, as written, and back.

English has the rules of the COCO evaluator (`tokenizer`). All other languages have one rule: a word
is a run of letters, marks and digits, with hyphens, apostrophes and full stops only inside it, and
punctuation is dropped. Nothing is split off a word and no word is spelled differently, so that
umlauts, accents and capitals remain. Scripts that are written without spaces are split into
characters. Arabic vowel signs and the tatweel are dropped, as most people do not write them.
"""

import re
from collections.abc import Iterable
from unicodedata import normalize

from cutline.text.tokenizer import MARKS, split_words

ENGLISH = "en"
SPACELESS = frozenset(["ja", "km", "lo", "my", "th", "yue", "zh"])
"""Languages that are written without spaces between words."""

_OPTIONAL = re.compile("[\u0640\u064b-\u0652\u0670\xad\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
"""Tatweel, Arabic vowel signs, soft hyphens, and marks of direction and width."""
_SINGLE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, kana and Han."""
_PART = rf"(?:(?![{_SINGLE}])(?:\w|[{MARKS}]))+"
_WORD = re.compile(rf"[{_SINGLE}][{MARKS}]*|{_PART}(?:[-‐‑'’.,]{_PART})*")
_TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{2,8})*")


def primary_language(tag: str) -> str:
    """The language of a tag, without region and script: `de` of `de-AT`, `DE` and `de_CH.UTF-8`.

    Empty if it is not a language tag.
    """
    found = _TAG.fullmatch(tag.strip().partition(".")[0])
    return found[1].lower() if found else ""


def split_as_written(text: str) -> list[str]:
    """The words of a caption with their capitals: `["Zwei", "Hunde", "kämpfen"]`."""
    return _WORD.findall(_OPTIONAL.sub("", normalize("NFC", text)).replace("’", "'"))


def words_in(text: str, language: str) -> list[str]:
    """The words of a caption in lower case, for counting and comparing."""
    if language == ENGLISH:
        return split_words(text)
    return [word.lower() for word in split_as_written(text)]


def join_as_written(words: Iterable[str], language: str) -> str:
    """The caption that people read."""
    return ("" if language in SPACELESS else " ").join(words)
