"""The language and the script of captions, and the words by which they tell left from right."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from unicodedata import name

FREQUENT = {
    "en": "a an the of on with and is are at his her two man woman dog people to near while",
    "de": "ein eine einen einem einer der die das und mit auf im ist sind ihr zwei von dem den",
    "fr": "un une le la les des du et avec sur est dans sont deux au qui homme femme en",
    "es": "un una el la los las del y con en es está están dos que sobre por hombre mujer",
    "it": "un una il la lo gli dei e con su è sono due che di nel della uomo donna in",
    "pt": "um uma o a os as da e com em é está dois que na ao homem mulher sobre",
    "nl": "een het de van en met op is zijn twee in die dat man vrouw aan voor bij",
    "sv": "en ett och med på är som av den det två i till man kvinna hund för står",
}
"""Frequent words of captions, by language (ISO 639-1)."""
_TABLES = {language: frozenset(words.split()) for language, words in FREQUENT.items()}

SIDED = re.compile(
    r"""(?:left|right)(?:hand|handed|hander|most|ward|wards|side|field|y|ie)?|clockwise
    |(?:counter|anti)clockwise|southpaw
    |link(?:s|e|em|en|er|es)|recht(?:s|e|em|en|er|es)|(?:links|rechts)\w+
    |gauches?|droite?s?|gaucher|gauchère|droitier|droitière
    |izquierd\w*|derech\w*|zurd\w*|diestr\w*
    |sinistr\w*|destr\w*|mancin\w*
    |esquerd\w*|direit\w*|canhot\w*
    |linker\w*|rechter\w*
    |vänster\w*|höger\w*""",
    re.VERBOSE,
)
"""Words that a horizontal flip makes wrong, in the languages of `FREQUENT`. A part of a compound
such as `left-handed` is a word."""
SAMPLE = 2_000
"""Captions from which the language of a data set is guessed."""
SHARE, AHEAD = 0.15, 1.25
"""The share of words that must be frequent in a language, and how far ahead it must be."""


def names_side(words: Iterable[str]) -> bool:
    """Whether any of these lower-case words names a side: left, right, and what contains them."""
    return any(SIDED.fullmatch(part) for word in words for part in re.split(r"[\W_]+", word))


def guess_language(captions: Iterable[str]) -> str | None:
    """The language of most of these captions, one of `FREQUENT`; None if it is none of them."""
    words = [word for text in islice(captions, SAMPLE) for word in re.findall(r"\w+", text.lower())]
    found = {language: sum(w in table for w in words) for language, table in _TABLES.items()}
    best, second, *_ = sorted(found.values(), reverse=True)
    if best < SHARE * len(words) or best < AHEAD * second or not best:
        return None
    return max(found, key=lambda language: found[language])


def guess_other_language(caption: str, language: str) -> str | None:
    """The language of a single caption, if it has no frequent word of `language`."""
    words = set(re.findall(r"\w+", caption.lower()))
    if words & _TABLES[language]:
        return None
    other = guess_language([caption])
    return other if other and len(words & _TABLES[other]) > 1 else None


def find_script(text: str) -> str:
    """The script of most letters, as Unicode names it: `latin`, `arabic`, `cjk`; "" without any."""
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else ""
    letters = (name(letter, "").split(" ")[0].lower() for letter in text if letter.isalpha())
    common = Counter(letters).most_common(1)
    return common[0][0] if common else ""
