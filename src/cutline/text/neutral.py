"""Captions without words for gender, which a picture does not show: `a woman` → `a person`."""

import re
from collections.abc import Sequence

_TABLE = """
    man person, men people, woman person, women people, boy child, boys children, girl child,
    girls children, guy person, guys people, gal person, gals people, lady person, ladies people,
    gentleman person, gentlemen people, male person, males people, female person, females people,
    dude person, dudes people, schoolboy student, schoolgirl student, cowboy rider, cowboys riders,
    cowgirl rider, businessman person, businessmen people, businesswoman person, policeman officer,
    policemen officers, policewoman officer, fireman firefighter, firemen firefighters,
    fisherman angler, fishermen anglers, sportsman athlete, workman worker, workmen workers,
    salesman seller, mother parent, father parent, mom parent, dad parent, son child,
    daughter child, brother sibling, sister sibling, brothers siblings, sisters siblings,
    husband partner, wife partner, grandmother grandparent, grandfather grandparent,
    he they, she they, him them, her their, his their, hers theirs, himself themselves,
    herself themselves
"""
NEUTRAL: dict[str, str] = dict(pair.split() for pair in _TABLE.split(","))
"""The neutral word for each word that says a person's gender."""
_PLURAL_VERBS = {"is": "are", "was": "were", "has": "have", "does": "do", "goes": "go"}


def neutralize(words: Sequence[str]) -> tuple[str, ...]:
    """As many words, with `NEUTRAL` in place of words for gender, in grammatical English."""
    neutral = [NEUTRAL.get(word, word) for word in words]
    for place, (word, before) in enumerate(zip(words, ("", *words), strict=False)):
        if before in ("he", "she"):
            neutral[place] = _as_plural(word)
        if tuple(neutral[max(0, place - 4) : place + 1]) == _twice(neutral[place]):
            neutral[place - 1] = "another"
        if neutral[max(0, place - 2) : place + 1] == ["people", "and", "people"]:
            neutral[place] = "others"
    return tuple(neutral)


def _twice(noun: str) -> tuple[str, ...]:
    return ("a", noun, "and", "a", noun)


def _as_plural(verb: str) -> str:
    """`jumps` → `jump`, `catches` → `catch`; what does not end like a verb stays."""
    if verb in _PLURAL_VERBS:
        return _PLURAL_VERBS[verb]
    if verb.endswith(("ches", "shes", "sses", "xes")):
        return verb.removesuffix("es")
    return verb.removesuffix("s") if verb.endswith("s") and not verb.endswith("ss") else verb


def neutralize_text(text: str) -> str:
    """The same for a text with capitals and punctuation, if it is English: has `a`, `an`, `the`."""
    parts = re.split(r"([^\W\d_]+)", text)
    words = [word.lower() for word in parts[1::2]]
    if not {"a", "an", "the"}.intersection(words):
        return text
    for place, (before, after) in enumerate(zip(words, neutralize(words), strict=True)):
        if before != after:
            word = parts[2 * place + 1]
            parts[2 * place + 1] = after.capitalize() if word[0].isupper() else after
    return "".join(parts)
