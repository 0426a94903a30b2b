"""Replaces captions that the model's concepts contradict by a phrase, or by nothing.

Takes a caption as the search found it, a style, and two thresholds from the model card.
"""

from dataclasses import replace
from functools import cache
from math import log

from cutline.text.neutral import neutralize
from cutline.text.nouns import TABLES, agree, is_wider, kind_of, nouns_of
from cutline.text.style import Style, is_cut_short
from cutline.text.tokenizer import article_of, join_words, mend_articles
from cutline.types import Caption, Concept

NOT_A_PHOTOGRAPH = "not a photograph"
MIN_NOUN_PROBABILITY = 0.7
"""Minimum probability of a noun that is used as a phrase."""
DOUBTED = 0.05
"""Probability below which a noun in a caption is doubted."""
THINGS = frozenset(["animal", "vehicle", "food", "furniture", "thing", "sport", "nature", "place"])
"""Kinds of nouns that describe a picture without guessing about people."""
CHECKED = frozenset(["animal", "vehicle"])
"""Kinds of nouns that the concept head predicts reliably enough to override a caption."""


def finish(
    caption: Caption,
    style: Style,
    *,
    photograph: float,
    min_confidence: float,
    english: bool = False,
) -> Caption:
    """Apply a style; empty the text of a picture that is not a photograph.

    A picture whose probability is below `photograph` is not one. In the form `auto`, a caption
    with a confidence below `min_confidence` becomes a phrase if it does not name the likeliest
    concept, or names an unlikely thing.
    """
    known = caption.photograph
    if known is not None and known < photograph and not style.any_picture:
        return replace(caption, text="", alternatives=(), left_out=NOT_A_PHOTOGRAPH)
    if caption.left_out:
        return caption
    confidence = caption.confidence or 0.0  # of a network, never None
    unsure = style.form == "auto" and confidence < min_confidence and _is_doubtful(caption)
    if style.form == "phrase" or unsure:
        caption = _as_phrase(caption, style)
    if english and style.neutral:
        caption = _neutralize(caption)
    return _format(_mend(caption, style) if english else caption, style)


def shorten(caption: Caption, style: Style) -> Caption:
    """The first whole candidate within a length limit, or a phrase; without either, no caption."""
    candidates = (replace(caption, alternatives=()), *caption.alternatives)
    whole = [c for c in candidates if style.is_short_enough(c.text) and not is_cut_short(c.words)]
    if whole:
        return replace(whole[0], alternatives=tuple(whole[1:]))
    phrase = _as_phrase(replace(caption, alternatives=()), style)
    if not is_cut_short(phrase.words):
        return phrase
    why = f"no whole caption has {style.max_chars} characters or fewer"
    return replace(phrase, text="", left_out=why)


def _neutralize(caption: Caption) -> Caption:
    """The caption and its alternatives without words for gender."""
    words = neutralize(caption.words)
    others = tuple(map(_neutralize, caption.alternatives))
    text = join_words(words) if caption.text else ""
    return replace(caption, words=words, text=text, alternatives=others)


def _mend(caption: Caption, style: Style) -> Caption:
    """Put `an` before vowels in the caption and its alternatives, if the style has room."""
    words = mend_articles(caption.words)
    text = join_words(words)
    fits = caption.text and style.is_short_enough(text) and "an" not in style.avoid
    others = tuple(_mend(other, style) for other in caption.alternatives)
    caption = replace(caption, alternatives=others)
    return replace(caption, words=words, text=text) if fits else caption


def _is_doubtful(caption: Caption) -> bool:
    """Whether the caption does not name the likeliest concept, or names an unlikely thing."""
    likeliest, nouns = _likeliest(caption), nouns_of(caption.words)
    if likeliest is None:
        return False
    likely = {each.noun for each in caption.concepts if each.probability >= DOUBTED}
    doubted = [noun for noun in nouns if kind_of(noun) in CHECKED and noun not in likely]
    return bool(doubted) or not any(agree(noun, likeliest.noun) for noun in nouns)


def _as_phrase(caption: Caption, style: Style) -> Caption:
    """The caption as a phrase; unchanged if no noun is likely enough."""
    concept = _likeliest(caption)
    if concept is None:
        return caption
    text = phrase_of(concept.noun)
    *articles, noun = text.split()
    if not style.is_short_enough(text) or style.avoid & {*articles, noun}:
        return caption
    chance = log(concept.probability)
    return replace(
        caption,
        text=text,
        words=(*articles, noun),
        log_prob=chance,
        word_log_probs=(*(0.0 for _ in articles), chance),
        chance=concept.probability,
        gaze=None,
    )


def _likeliest(caption: Caption) -> Concept | None:
    """The likeliest confident noun for an object, ignoring hypernyms of other confident nouns."""
    confident = [
        concept
        for concept in caption.concepts
        if concept.probability >= MIN_NOUN_PROBABILITY and kind_of(concept.noun) in THINGS
    ]
    narrow = [
        concept
        for concept in confident
        if not any(is_wider(concept.noun, c.noun) for c in confident if c is not concept)
    ]
    return max(narrow, key=lambda concept: concept.probability, default=None)


@cache
def read_phrases() -> dict[str, str]:
    """Phrases of the nouns that are not written `a ...` or `an ...`, by noun."""
    lines = (TABLES / "phrases.tsv").read_text(encoding="utf8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


def phrase_of(noun: str) -> str:
    """A noun as a phrase: `a zebra`, `an orange`, `grass`, `scissors`."""
    return read_phrases().get(noun, f"{article_of(noun)} {noun}")


def _format(caption: Caption, style: Style) -> Caption:
    fitting = (other for other in caption.alternatives if style.is_short_enough(other.text))
    others = tuple(_format(other, style) for other in fitting)
    return replace(caption, text=style.format(caption.text), alternatives=others)
