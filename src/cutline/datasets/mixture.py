"""All that a recipe learns from: the pairs of one source, or `[[source]]`, several of them.

Enters: a recipe and where its data is. Leaves: examples, how often an epoch shows each, sentences
without pictures and labelled pictures without sentences.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cutline.datasets import MIXTURE_ONLY
from cutline.datasets.labels import Labels
from cutline.datasets.sentences import Sentences
from cutline.errors import DataError, RecipeError, nearest
from cutline.recipe import Recipe, find, split_share
from cutline.text.nouns import names_person
from cutline.text.tokenizer import split_words
from cutline.types import Example

Places = Path | Mapping[str, Path]
"""Where the data is: one source's folder, or of each source by its name."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often an epoch shows each training picture of a source."""

    repeat: int = 1
    repeat_without_people: int = 0
    """Those of which no caption names a person; 0: as often as the others."""

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.repeat_without_people < 0:
            raise RecipeError(f"source.repeat is {self.repeat}, but it must be 1 or more")

    def of(self, example: Example) -> int:
        """How often this one is shown."""
        if not self.repeat_without_people:
            return self.repeat
        somebody = any(names_person(split_words(caption)) for caption in example.captions)
        return self.repeat if somebody else self.repeat_without_people


@dataclass(frozen=True)
class Mixture:
    """What there is to learn from."""

    examples: tuple[Example, ...]
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often an epoch shows a training picture, by its id; those not named: once."""
    sentences: tuple[Sentences, ...] = ()
    labels: tuple[Labels, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()
    """Of a mixture: every source as the recipe has it, and how much there is of it."""

    def fingerprint(self) -> str:
        """SHA-256 of what the data says, in hexadecimal digits: ids, splits, captions, labels."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(json.dumps([example.id, example.split, *example.captions]).encode())
        for sentences in self.sentences:
            digest.update("\n".join(sentences).encode())
        for labels in self.labels:
            told = [
                [each.image.name, sorted(each.nouns), each.person, each.photograph]
                for each in labels
            ]
            digest.update(json.dumps(told).encode())
        return digest.hexdigest()


def read_mixture(recipe: Recipe, data: Places) -> Mixture:
    """Read every source; `DataError` where one is missing or broken."""
    if not recipe.mixed:
        return Mixture(tuple(recipe.build("source", _insist_on_one(data))))
    examples: list[Example] = []
    repeats: dict[str, int] = {}
    beside: dict[str, list[Any]] = {kind: [] for kind in MIXTURE_ONLY}
    sources = []
    for options in recipe.mixed:
        name, kind, place = options["name"], options["kind"], _place(recipe, data, options["name"])
        share, own = split_share(options)
        chosen = {option: value for option, value in own.items() if option != "kind"}
        if kind in MIXTURE_ONLY:
            part = _find_beside(kind)(place, **chosen)
            beside[kind].append(part)
            sources.append({**options, "count": sum(1 for _ in part)})
            continue
        read = [_rename(example, name) for example in find("source", own)(place, **chosen)]
        often = Share(**share)
        repeats |= {each.id: often.of(each) for each in read if each.split == "train"}
        examples += read
        sources.append({**options, "count": sum(each.split == "train" for each in read)})
    return Mixture(
        tuple(examples),
        repeats,
        tuple(beside["sentences"]),
        tuple(beside["labels"]),
        tuple(sources),
    )


def locate(recipe: Recipe, given: Sequence[str]) -> Places:
    """What `--data` says, once or several times: a PATH, or for a mixture every NAME=PATH."""
    if not recipe.mixed:
        if len(given) > 1:
            raise RecipeError("this recipe has one source, so --data may be said once only")
        return Path(given[0])
    names = [options["name"] for options in recipe.mixed]
    places = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            hint = f"--data {names[0]}=PATH"
            raise RecipeError(f"this recipe mixes {', '.join(names)}: say where each is, {hint}")
        if name not in names:
            raise RecipeError(f"this recipe has no source {name!r}{nearest(name, names)}")
        places[name] = Path(path)
    for name in names:
        _place(recipe, places, name)
    return places


def describe_places(data: Places) -> str:
    """Where the data is, for sentences: a path, or every NAME=PATH."""
    if isinstance(data, Path):
        return str(data)
    return ", ".join(f"{name}={path}" for name, path in data.items())


def _place(recipe: Recipe, data: Places, name: str) -> Path:
    if isinstance(data, Mapping) and name in data:
        return data[name]
    names = ", ".join(options["name"] for options in recipe.mixed)
    raise DataError(f"this recipe mixes {names}: say where {name} is, --data {name}=PATH")


def _insist_on_one(data: Places) -> Path:
    if isinstance(data, Mapping):
        raise DataError("this recipe has one source: its data is one path")
    return data


def _find_beside(kind: str) -> type[Sentences] | type[Labels]:
    return Sentences if kind == "sentences" else Labels


def _rename(example: Example, source: str) -> Example:
    """Two sources may name two pictures alike."""
    return replace(example, id=f"{source}/{example.id}")
