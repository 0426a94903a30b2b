"""The things that captions name: words to plain nouns, plain nouns to kinds.

Words of a caption enter, as `split_words` leaves them; its plain nouns leave, one word for all that
say the same (`puppies` is `dog`, `a hot dog` is `hotdog`). The nouns are a table that people made,
`data/nouns.tsv`; `data/classes.tsv` has the nouns of ImageNet's 1,000 classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = Path(__file__).parent / "data"
NOTHING = "-"
"""Stands for a noun at the words that say none: `king size` says nothing of a king."""
KIN = """
    baby babies mother mothers mom moms father fathers adult adults parent parents family families
    infant infants male males female females elder elders daddy mommy
"""
"""Words for a person that are said of animals too."""
LABELS = """
    passenger commuter pedestrian tourist visitor fighter police cop twin guest child toddler squad
    team king queen cowboy chef pirate
"""
"""Words for a person that say what a thing is for where it follows: `a passenger train`."""
PEOPLES = ("person", "body", "sport")
"""Kinds of nouns after which they are persons still: `a baby hand`."""
HOUSEMATES = frozenset(["dog", "cat", "horse"])
"""Animals that are in a picture with a family more often than they are one."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A plain noun: what kind of thing it is, and a wider noun that is true of it as well."""

    name: str
    kind: str
    wider: str


@dataclass(frozen=True, slots=True)
class Found:
    """A plain noun, and the words from `start` to `end` that say it."""

    start: int
    end: int
    noun: str


def _read(name: str) -> list[list[str]]:
    lines = (TABLES / name).read_text(encoding="utf8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def _read_nouns() -> tuple[dict[str, Noun], dict[tuple[str, ...], str]]:
    """The nouns by name, and which of them each word says, several words too."""
    nouns: dict[str, Noun] = {}
    said: dict[tuple[str, ...], str] = {}
    for name, kind, wider, words in _read("nouns.tsv"):
        nouns[name] = Noun(name, kind, wider)
        said |= {tuple(word.split("_")): name for word in words.split(" ")}
    return nouns, said


NOUNS, SAID = _read_nouns()
OF_ANIMALS_TOO = frozenset(KIN.split())
FOR_SOMETHING = frozenset(LABELS.split())
LONGEST = max(map(len, SAID))
KINDS = tuple(dict.fromkeys(noun.kind for noun in NOUNS.values() if noun.name != NOTHING))
"""person, animal, vehicle and so on."""
PERSON = frozenset(
    words[0] for words, noun in SAID.items() if len(words) == 1 and NOUNS[noun].kind == "person"
)
"""Single words that say that somebody is there; `names_person` knows their exceptions."""


@cache
def read_classes() -> tuple[tuple[str, ...], ...]:
    """The plain nouns of ImageNet's classes, the likeliest first, in the order of the classes."""
    return tuple(tuple(nouns.split(" ")) for _, _, nouns in _read("classes.tsv"))


def nouns_of(words: Sequence[str]) -> list[str]:
    """The plain nouns in order: `nouns_of(["two", "puppies", "on", "grass"])  # dog, grass`."""
    return [found.noun for found in find_nouns(words)]


def names_person(words: Sequence[str]) -> bool:
    """Whether the words say that somebody is there; `a baby elephant` is nobody."""
    return any(kind_of(noun) == "person" for noun in nouns_of(words))


def kind_of(noun: str) -> str:
    """The kind of a plain noun, one of `KINDS`; of any other word `""`."""
    return NOUNS[noun].kind if noun in NOUNS and noun != NOTHING else ""


def agree(one: str, other: str) -> bool:
    """Whether both may be said of one thing: the same noun, or one is the wider: duck and bird."""
    return one in widen(other) or other in widen(one)


def is_wider(one: str, other: str) -> bool:
    """Whether whatever is called `other` may be called `one`; so may it be by its own noun."""
    return one in widen(other)


def find_nouns(words: Sequence[str]) -> list[Found]:
    """The plain nouns in order, each with its place."""
    found = list(_match(words))
    kinds = {each.start: kind_of(each.noun) for each in found}
    animals = {each.noun for each in found if kinds[each.start] == "animal"}
    wild = not HOUSEMATES.issuperset(animals)

    def says_somebody(each: Found) -> bool:
        word = words[each.start]
        if word in OF_ANIMALS_TOO and wild:
            return False
        alone = word not in OF_ANIMALS_TOO | FOR_SOMETHING
        return alone or kinds.get(each.end, "person") in PEOPLES

    return [each for each in found if kinds[each.start] != "person" or says_somebody(each)]


def _match(words: Sequence[str]) -> Iterator[Found]:
    at = 0
    while at < len(words):
        lengths = range(min(LONGEST, len(words) - at), 0, -1)
        length = next((n for n in lengths if tuple(words[at : at + n]) in SAID), 0)
        if length and (noun := SAID[tuple(words[at : at + length])]) != NOTHING:
            yield Found(at, at + length, noun)
        at += max(length, 1)


@cache
def widen(noun: str) -> frozenset[str]:
    """The noun and all that are wider; the name of a kind is wider than all of the kind."""
    found = {noun, kind_of(noun)}
    while noun in NOUNS and (noun := NOUNS[noun].wider):
        found.add(noun)
    return frozenset(found - {""})
