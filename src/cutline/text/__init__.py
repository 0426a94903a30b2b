"""Words: tokenizer, vocabulary, style, plain nouns."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.text.style import Style as Style
    from cutline.text.tokenizer import split_words as split_words
    from cutline.text.vocabulary import Vocabulary as Vocabulary

__all__ = ["Style", "Vocabulary", "split_words"]
_HOMES = {"Style": "style", "Vocabulary": "vocabulary", "split_words": "tokenizer"}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
