"""What a caption says that nobody saw: people and things that no reference names.

Words of a caption and of its references enter, as `split_words` leaves them. People are one thing
(`a man` for a woman is a mistake, not an invention); a thing is invented when no reference names it
or anything wider or narrower (`bird` for a duck is none).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cutline.nouns import agree, kind_of, nouns_of


class Seen(NamedTuple):
    """What the references of a picture name."""

    nouns: frozenset[str]
    somebody: bool


class Invented(NamedTuple):
    """What a caption names and no reference does."""

    somebody: bool
    things: frozenset[str]


def read_references(references: Iterable[Sequence[str]]) -> Seen:
    """All that any of them names."""
    nouns = frozenset(noun for reference in references for noun in nouns_of(reference))
    return Seen(nouns, any(kind_of(noun) == "person" for noun in nouns))


def find_invented(words: Sequence[str], seen: Seen) -> Invented:
    """What of a caption is in no reference."""
    said = frozenset(nouns_of(words))
    people = {noun for noun in said if kind_of(noun) == "person"}
    things = {noun for noun in said - people if not any(agree(noun, known) for known in seen.nouns)}
    return Invented(bool(people) and not seen.somebody, frozenset(things))
