"""The training data of a recipe: one source, or a mixture of several, `[[source]]`.

A recipe and the location of its data give examples, how often an epoch shows each, sentences
without images and labelled images without captions.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cutline.datasets import MIXTURE_ONLY
from cutline.datasets.labels import Labels
from cutline.datasets.sentences import Sentences
from cutline.datasets.validation import Problem, read
from cutline.errors import DataError, RecipeError, nearest
from cutline.recipe import Recipe, find, split_share
from cutline.text.nouns import names_person
from cutline.text.tokenizer import split_words
from cutline.types import Example

Places = Path | Mapping[str, Path]
"""Location of the data: the folder of the only source, or of each source by name."""


@dataclass(frozen=True, slots=True)
class Share:
    """How often an epoch shows each training picture of a source."""

    repeat: int = 1
    repeat_without_people: int = 0
    """`repeat` of pictures whose captions mention no person; 0: the same as `repeat`."""

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.repeat_without_people < 0:
            raise RecipeError(f"source.repeat is {self.repeat}, but it must be 1 or more")

    def of(self, example: Example) -> int:
        """How often an epoch shows this example."""
        if not self.repeat_without_people:
            return self.repeat
        somebody = any(names_person(split_words(caption)) for caption in example.captions)
        return self.repeat if somebody else self.repeat_without_people


@dataclass(frozen=True)
class Mixture:
    """The training data."""

    examples: tuple[Example, ...]
    repeats: Mapping[str, int] = field(default_factory=dict)
    """How often an epoch shows a training picture, by id; 1 by default."""
    sentences: tuple[Sentences, ...] = ()
    labels: tuple[Labels, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()
    """For a mixture: the options of each source, and its size as `count`."""
    left_out: tuple[Problem, ...] = ()
    """What was left out because it is invalid."""

    def fingerprint(self) -> str:
        """SHA-256 of ids, splits, captions and labels, in hexadecimal."""
        digest = hashlib.sha256()
        for example in self.examples:
            digest.update(json.dumps([example.id, example.split, *example.captions]).encode())
        for sentences in self.sentences:
            digest.update("\n".join(sentences).encode())
        for labels in self.labels:
            entries = [
                [each.image.name, sorted(each.nouns), each.person, each.photograph]
                for each in labels
            ]
            digest.update(json.dumps(entries).encode())
        return digest.hexdigest()


def read_mixture(recipe: Recipe, data: Places, *, skip_bad: bool = False) -> Mixture:
    """Read every source; raises `DataError` if one is missing or invalid.

    With `skip_bad` what is invalid is left out, and listed in the mixture.
    """
    left_out: list[Problem] = []

    def examples_of(source: Iterable[Example]) -> Iterable[Example]:
        if not skip_bad:
            return source
        reading = read(source).without_bad()
        left_out.extend(problem for problem in reading.problems if problem.is_fatal)
        return reading.examples

    if not recipe.mixed:
        source = recipe.build("source", _require_single(data))
        return Mixture(tuple(examples_of(source)), left_out=tuple(left_out))
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
        found = examples_of(find("source", own)(place, **chosen))
        named = [_rename(example, name) for example in found]
        often = Share(**share)
        repeats |= {each.id: often.of(each) for each in named if each.split == "train"}
        examples += named
        sources.append({**options, "count": sum(each.split == "train" for each in named)})
    return Mixture(
        tuple(examples),
        repeats,
        tuple(beside["sentences"]),
        tuple(beside["labels"]),
        tuple(sources),
        tuple(left_out),
    )


def locate(recipe: Recipe, given: Sequence[str]) -> Places:
    """Parse the values of `--data`: a PATH, or for a mixture NAME=PATH for every source."""
    if not recipe.mixed:
        if len(given) > 1:
            raise RecipeError("this recipe has one source, so --data can be given only once")
        return Path(given[0])
    names = [options["name"] for options in recipe.mixed]
    places = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            hint = f"--data {names[0]}=PATH"
            raise RecipeError(
                f"this recipe mixes {', '.join(names)}: give the path of each, {hint}"
            )
        if name not in names:
            raise RecipeError(f"this recipe has no source {name!r}{nearest(name, names)}")
        places[name] = Path(path)
    for name in names:
        _place(recipe, places, name)
    return places


def describe_places(data: Places) -> str:
    """The location of the data for messages: a path, or NAME=PATH for every source."""
    if isinstance(data, Path):
        return str(data)
    return ", ".join(f"{name}={path}" for name, path in data.items())


def _place(recipe: Recipe, data: Places, name: str) -> Path:
    if isinstance(data, Mapping) and name in data:
        return data[name]
    names = ", ".join(options["name"] for options in recipe.mixed)
    raise DataError(f"this recipe mixes {names}: give the path of {name}, --data {name}=PATH")


def _require_single(data: Places) -> Path:
    if isinstance(data, Mapping):
        raise DataError("this recipe has one source, so its data must be one path")
    return data


def _find_beside(kind: str) -> type[Sentences] | type[Labels]:
    return Sentences if kind == "sentences" else Labels


def _rename(example: Example, source: str) -> Example:
    """Prefix the id, because two sources may use the same ids."""
    return replace(example, id=f"{source}/{example.id}")
