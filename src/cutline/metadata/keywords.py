"""Keywords: the nouns of a caption, added to the keywords that a picture has.

The keywords of a person or another program stay, in their order. Those that cutline added are
recorded with its mark, so that they go when the caption changes; one that somebody removed does not
come back.

Programs read the first field, or the first file, that has keywords, and ignore the others. So a
field without keywords gets those that the picture has elsewhere, too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cutline.errors import WritingError
from cutline.text.nouns import nouns_of
from cutline.text.tokenizer import split_words

SUBJECT, TAGS, HIERARCHY, IPTC = "subject", "tags", "hierarchy", "IPTC keywords"
"""`dc:subject`, `digiKam:TagsList`, `lr:hierarchicalSubject` (only read), IPTC `Keywords`."""
IN_XMP = (SUBJECT, TAGS)
"""The fields that cutline writes into an XMP packet."""
_LONGEST_IPTC = 64
"""Bytes of a keyword (IPTC IIM 4.2, dataset 2:25)."""
_SOURCES = {
    SUBJECT: (SUBJECT, IPTC, TAGS, HIERARCHY),
    TAGS: (TAGS, HIERARCHY, SUBJECT, IPTC),
    IPTC: (IPTC, SUBJECT, TAGS, HIERARCHY),
}
"""Where the keywords of others come from, for each field that cutline writes."""
_LEVEL = re.compile(r"[/|]")
"""Separates the levels of a keyword in `TAGS` and in `HIERARCHY`."""


@dataclass(frozen=True, slots=True)
class Keywords:
    """The keywords in one file."""

    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By field; those without keywords are absent."""
    added: tuple[str, ...] = ()
    """Those that cutline added, also if somebody has removed them since."""

    def hold(self, wanted: "Keywords", fields: Iterable[str]) -> bool:
        """Whether these fields have the wanted keywords, in any order."""
        pairs = [(self.fields.get(name, ()), wanted.fields.get(name, ())) for name in fields]
        pairs.append((self.added, wanted.added))
        return all(sorted(has) == sorted(wants) for has, wants in pairs)

    def of_others(self) -> dict[str, list[str]]:
        """Those that cutline did not add, by field."""
        return {
            name: [each for each in keywords if each not in self.added]
            for name, keywords in self.fields.items()
        }


def keywords_of(text: str) -> tuple[str, ...]:
    """The nouns of an English caption, each once."""
    return tuple(dict.fromkeys(nouns_of(split_words(text.lower()))))


def require_english(language: str) -> None:
    """Raise `WritingError` for captions in another language, whose nouns are not known."""
    if language.partition("-")[0].lower() not in ("en", "x"):
        raise WritingError(f"keywords are nouns of English captions, not of those in {language!r}")


def add_keywords(
    nouns: Iterable[str], held: Keywords, fields: Iterable[str], beside: Keywords = Keywords()
) -> Keywords:
    """What `fields` of a file should hold: the keywords of others, and the nouns of the caption.

    `held` is what the file holds now, `beside` what the picture has elsewhere.
    """
    others = (held.of_others(), beside.of_others())
    everywhere = (each for some in others for keywords in some.values() for each in keywords)
    known = {_LEVEL.split(each)[-1].casefold() for each in everywhere}
    written = [held.fields.get(name, ()) for name in IN_XMP]
    removed = tuple(each for each in held.added if not all(each in some for some in written))
    own = tuple(noun for noun in nouns if noun not in (*known, *removed))
    if not own and not held.added:
        return Keywords({name: held.fields[name] for name in fields if name in held.fields})
    filled = {name: (*_keep(name, others), *own) for name in fields}
    return Keywords({name: some for name, some in filled.items() if some}, (*own, *removed))


def _keep(name: str, others: Iterable[Mapping[str, list[str]]]) -> list[str]:
    """The keywords of others for a field: its own, or those of the first field that has some."""
    found = ((each, some[each]) for some in others for each in _SOURCES[name] if some.get(each))
    source, keywords = next(found, (name, []))
    if source != name and source in (TAGS, HIERARCHY):
        as_tag = name == TAGS
        keywords = [k.replace("|", "/") if as_tag else _LEVEL.split(k)[-1] for k in keywords]
    short = (k for k in dict.fromkeys(keywords) if name != IPTC or len(k.encode()) <= _LONGEST_IPTC)
    return list(short)
