"""Nouns that captions name: words to canonical nouns, and canonical nouns to categories.

The words of a caption, as `split_words` returns them, are mapped to canonical nouns, one for all
synonyms (`puppies` is `dog`, `a hot dog` is `hotdog`). The nouns are a hand-made table,
`data/nouns.tsv`; `data/classes.tsv` maps ImageNet's 1,000 classes to them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLES = Path(__file__).parent / "data"
NOTHING = "-"
"""Marks words that name nothing: `king size` does not mention a king."""
KIN = """
    baby babies mother mothers mom moms father fathers adult adults parent parents family families
    infant infants male males female females elder elders daddy mommy
"""
"""Words for people that also describe animals."""
LABELS = """
    passenger commuter pedestrian tourist visitor fighter police cop twin guest child toddler squad
    team king queen cowboy chef pirate
"""
"""Words for people that, before another noun, only describe it: `a passenger train`."""
PEOPLES = ("person", "body", "sport")
"""Kinds of nouns before which they still mean people: `a baby hand`."""
HOUSEMATES = frozenset(["dog", "cat", "horse"])
"""Animals that appear with a family more often than they form one."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A canonical noun, its kind, and its hypernym (a more general noun) or an empty string."""

    name: str
    kind: str
    wider: str


@dataclass(frozen=True, slots=True)
class Found:
    """A canonical noun, and the span of words, `start` to `end`, that names it."""

    start: int
    end: int
    noun: str


def _read(name: str) -> list[list[str]]:
    lines = (TABLES / name).read_text(encoding="utf8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def _read_nouns() -> tuple[dict[str, Noun], dict[tuple[str, ...], str]]:
    """The nouns by name, and the noun that each word or sequence of words means."""
    nouns: dict[str, Noun] = {}
    spellings: dict[tuple[str, ...], str] = {}
    for name, kind, wider, words in _read("nouns.tsv"):
        nouns[name] = Noun(name, kind, wider)
        spellings |= {tuple(word.split("_")): name for word in words.split(" ")}
    return nouns, spellings


NOUNS, SAID = _read_nouns()
OF_ANIMALS_TOO = frozenset(KIN.split())
FOR_SOMETHING = frozenset(LABELS.split())
LONGEST = max(map(len, SAID))
KINDS = tuple(dict.fromkeys(noun.kind for noun in NOUNS.values() if noun.name != NOTHING))
"""person, animal, vehicle and so on."""
PERSON = frozenset(
    words[0] for words, noun in SAID.items() if len(words) == 1 and NOUNS[noun].kind == "person"
)
"""Single words that mean a person; `names_person` handles the exceptions."""


@cache
def read_classes() -> tuple[tuple[str, ...], ...]:
    """The canonical nouns of each ImageNet class, the most likely first."""
    return tuple(tuple(nouns.split(" ")) for _, _, nouns in _read("classes.tsv"))


def nouns_of(words: Sequence[str]) -> list[str]:
    """The canonical nouns in order: `nouns_of(["two", "puppies", "on", "grass"])  # dog, grass`."""
    return [found.noun for found in find_nouns(words)]


def names_person(words: Sequence[str]) -> bool:
    """Whether the words mention a person; `a baby elephant` does not."""
    return any(kind_of(noun) == "person" for noun in nouns_of(words))


def kind_of(noun: str) -> str:
    """The kind of a canonical noun, one of `KINDS`; `""` for any other word."""
    return NOUNS[noun].kind if noun in NOUNS and noun != NOTHING else ""


def agree(one: str, other: str) -> bool:
    """Whether both may name the same thing: equal, or one is a hypernym: duck and bird."""
    return one in widen(other) or other in widen(one)


def is_wider(one: str, other: str) -> bool:
    """Whether `one` is `other` or a hypernym of it."""
    return one in widen(other)


def find_nouns(words: Sequence[str]) -> list[Found]:
    """The canonical nouns in order, with their spans."""
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
    """The noun and all its hypernyms, which include its kind."""
    found = {noun, kind_of(noun)}
    while noun in NOUNS and (noun := NOUNS[noun].wider):
        found.add(noun)
    return frozenset(found - {""})
