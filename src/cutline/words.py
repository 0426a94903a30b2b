"""Text to words and back: one rule for the vocabulary and for the metrics.

A caption comes in as people write it; lower-case words leave, without punctuation, split the way
the COCO evaluator splits them, which is the way of the Penn Treebank: `don't` is `do n't`,
`t-shirt` stays one word. The rules were found by asking the Stanford tokeniser (CoreNLP 3.4.1) that
the evaluator calls, never by reading its source. A caption is read alone; the evaluator reads all
of them as one text, where a full stop may depend on how the next caption begins.
"""

import re
from collections.abc import Iterable
from html import unescape
from unicodedata import category

DROPPED = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""The punctuation that the COCO evaluator takes away after splitting. Its list has `-LRB-` and
other brackets too, but when it looks they are in small letters, and so they stay."""

RESPELT = str.maketrans(
    dict.fromkeys("‘’‛‹›", "'")
    | dict.fromkeys("“”«»", '"')
    | dict.fromkeys("―—–‒", "--")
    | dict.fromkeys("\u200b\u200c\ufeff", " ")
    | {"…": "...", "\u00ad": None}
    | {"¼": " 1/4", "½": " 1/2", "¾": " 3/4", "⅓": " 1/3", "⅔": " 2/3"}
    | {"€": "$", "¤": "$", "£": "#", "¢": " cents "}
)
"""Signs outside ASCII that are read as if they were written with signs inside it."""

SPELT = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"} | {
    eyes + mouth: eyes + name
    for eyes in (":", ":-", ";", ";-", "=", "=-")
    for mouth, name in (("(", "-lrb-"), (")", "-rrb-"))
}
"""Signs that leave as words of letters: brackets, and the faces made of them."""

ABBREVIATIONS = """
    adm al ala alex apr ariz assn asst atty attys aug ave bhd bldg blvd brig bros calif capt cf
    cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept dr drs elec esq est etc ext feb
    fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut
    lt ltd maj mar md messrs mich minn mlle mme mo mon mont mr mrs ms msgr mt natl neb nev nov
    oct okla penn pfc ph plc pres prof profs pty pvt rd rep reps rev rt sen sens sep sept seq
    sgt spc sq sr st ste supt supts tel tenn thu thurs tue tues univ va vs vt wed wis wisc wm
    wyo
"""
"""Words that keep their full stop."""
PLACES = "Ark Del Ill La Mass Miss Ore Pa Tex Wash"
"""Words that keep it when they begin with a capital."""
COUNTERS = "art ca fig figs no nos op p pp"
"""Words that keep it before a number."""
OPENINGS = """
    A About After An As At But He Her Here However If In It Last Many More Now One Other She
    Since So Some Such That The Their Then There These They This We What When While You
"""
"""Words that begin a sentence: a single letter before them gives up its full stop."""

MARKS = "".join(chr(code) for code in range(0x300, 0x3100) if category(chr(code)) in ("Mn", "Mc"))
"""Accents and vowels written over, under or after a letter, which `re` takes for signs."""

LETTER = rf"(?:[^\W\d_]|[{MARKS}])"
PART = rf"(?:[^\W_]|[{MARKS}])+(?:_+[^\W_]+)*"


def _any_of(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(map(re.escape, words), reverse=True))})"


RULES = {
    "can|not": r"(?i:can(?=not\b)|(?:gim|lem)(?=me\b)|gon(?=na\b)|got(?=ta\b)|wan(?=na\b))(?!\w+-)",
    "dog": r"[^\W\d_]+(?![^\s,])",
    "do|n't": rf"(?i:{LETTER}+?(?=n't)|n't)",
    "'s": rf"'(?i:s|m|d|ll|re|ve)(?!{LETTER})",
    "'em": rf"(?i:'n'|'(?:cause|em|n|till?|\d\ds?(?!'))(?!{PART})|'t(?=is\b|was\b))",
    "ol'": rf"(?i:(?:ol|j|y)'|[dl]'(?!{LETTER}))",
    "o'clock": rf"(?i:[dlno]'{LETTER}{{2,}})|[A-HJ-XZ]'{LETTER}{{2,}}",
    "ma'am": r"(?i:ma'ams?|c'est|c'mon|[eo]'er|nor'easter|qu'(?:elle|ils?)|s'mores)(?!\w)",
    "Pe'e": rf"(?i:{LETTER}+[aeiouy]'[aeiou]{LETTER}*)",
    "dog@toys.com": r"\w[\w.-]{,63}@[\w.-]*\w",
    "toys.com/dog": r"https?://[^\s\"<>]+|(?:\w+\.){1,9}(?:com|edu|net|org)/[\w/]+",
    "St.": rf"(?:(?i:{_any_of(ABBREVIATIONS.split())})|{_any_of(PLACES.split())})\.(?!{LETTER})",
    "no. 1": rf"(?i:{_any_of(COUNTERS.split())})\.(?=\s?\d)",
    "U.S.": rf"(?i:ph\.d\.)|{LETTER}(?:\.{LETTER})+\.(?:-{PART})*(?!{LETTER})",
    "B.": rf"{LETTER}\.(?!{LETTER}|\s+{_any_of(OPENINGS.split())}(?!\S))",
    "dog.The": rf"{LETTER}+(?:\.{LETTER}+)+(?:-{PART})*",
    "dog.,": rf"{LETTER}+\.(?=[,;:])",
    "AT&T": r"[A-Z]+&[A-Z]+",
    "US$": r"(?:US|[AC])\$|[CcFf]#|[Cc]\+\+",
    "1:30": rf"[-+]?(?:\d+(?:[.,:]\d+)+|[.,:]\d+)(?:-{LETTER}(?:{PART})?)*|[-+]\d+",
    "t-shirt": rf"{PART}(?:[-‐‑/](?:[DLOdlo]'(?={LETTER}{{2}}))?{PART})*",
    "#dog": r"[#@](?:[^\W\d]|_)+|</?[A-Za-z!][^<>\s]*>",
    ":-)": rf"{_any_of(SPELT)}|[:;=]-?[DdPp|](?!{PART})|\^_\^|(?i:-[lr][rcs]b-)",
    "?!": r"\.\.\.|--|''|[?!]{2,}|\*{2,}|#{2,}|_+",
    "&": r"[^\s\x00-\x1f\x7f\ufe0f\U00010000-\U0010ffff]",
}
"""An example of each kind of word, and how to find it; the first rule that fits has the word."""
TOKEN = re.compile(rf"(?!\s)(?:{'|'.join(RULES.values())})")
ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp);")
CLITIC = re.compile(r" (?=(?:n't|'(?:s|m|d|ll|re|ve))(?: |$))")


def split_words(text: str) -> list[str]:
    """The words of a caption: `split_words("A dog's toy.")  # ['a', 'dog', "'s", 'toy']`."""
    if not text.isascii():
        text = text.translate(RESPELT)
    if "&" in text:
        text = ENTITY.sub(lambda entity: unescape(entity[0]), text)
    return [SPELT.get(word, word).lower() for word in TOKEN.findall(text) if word not in DROPPED]


def join_words(words: Iterable[str]) -> str:
    """The caption that people read: `join_words(["a", "dog", "'s", "toy"])  # "a dog's toy"`."""
    return CLITIC.sub("", " ".join(words))
