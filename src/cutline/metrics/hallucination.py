"""Hallucination: people, objects and dogs that a caption mentions but no reference does.

A person is invented if the caption names one and no reference does; an object if its noun matches
none of the references' nouns: synonyms are one noun, and a hypernym matches (`bird` for a duck).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cutline.metrics.ngrams import Words
from cutline.text.nouns import agree, kind_of, nouns_of

OBJECTS = frozenset(["animal", "vehicle", "food", "furniture", "thing", "clothing"])
"""Kinds of nouns that count as objects; places and parts of the body are rarely invented."""


@dataclass(frozen=True, slots=True)
class Invention:
    """What one caption names, and which of it no reference does."""

    person: bool
    invented_person: bool
    objects: tuple[str, ...]
    invented_objects: tuple[str, ...]
    """Distinct canonical nouns."""

    @property
    def dog(self) -> bool:
        """Whether the caption names a dog."""
        return "dog" in self.objects

    @property
    def wrong_dog(self) -> bool:
        """Whether the caption names a dog and no reference does."""
        return "dog" in self.invented_objects


def find_invented(caption: Words, references: Iterable[Words]) -> Invention:
    """Find what the caption names, and which of it no reference does."""
    named = list(dict.fromkeys(nouns_of(caption)))
    known = {noun for words in references for noun in nouns_of(words)}
    objects = tuple(noun for noun in named if kind_of(noun) in OBJECTS)
    invented = tuple(n for n in objects if not any(agree(n, other) for other in known))
    person = _name_person(named)
    return Invention(person, person and not _name_person(known), objects, invented)


def count_invented(found: Sequence[Invention]) -> Mapping[str, int]:
    """Count captions that name or invent a person, an object or a dog, and all objects."""
    return {
        "captions": len(found),
        "person": sum(each.person for each in found),
        "invented person": sum(each.invented_person for each in found),
        "objects": sum(len(each.objects) for each in found),
        "invented objects": sum(len(each.invented_objects) for each in found),
        "with an invented object": sum(bool(each.invented_objects) for each in found),
        "dog": sum(each.dog for each in found),
        "wrong dog": sum(each.wrong_dog for each in found),
    }


def _name_person(nouns: Iterable[str]) -> bool:
    return any(kind_of(noun) == "person" for noun in nouns)
