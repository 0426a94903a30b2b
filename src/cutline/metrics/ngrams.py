"""Words to counted n-grams, as columns of tables: what BLEU and CIDEr-D have in common.

Every word and n-gram gets a number, so that counting, matching and weighting half a million of them
is sorting and searching in NumPy arrays. An n-gram's key is the number of its beginning, one word
shorter, and that of its last word.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Words = Sequence[str]
Watch = Callable[[int, int], None]
"""Told how far long counting is: comparisons done, and all of them."""

_BASE = 2**31
"""More than there are words or n-grams, so that two numbers fit into one."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each sentence has each n-gram of one length: columns, sorted by the first two."""

    sentence: Ints
    gram: Ints
    times: Ints

    @classmethod
    def of(cls, sentence: Ints, gram: Ints) -> "Counts":
        """Counts n-grams that are given one by one, each with its sentence."""
        keys, times = np.unique(sentence * _BASE + gram, return_counts=True)
        return cls(keys // _BASE, keys % _BASE, times)

    def part(self, sentences: int) -> tuple["Counts", "Counts"]:
        """The first so many sentences, and the others numbered from zero again."""
        row = np.searchsorted(self.sentence, sentences)
        first = Counts(self.sentence[:row], self.gram[:row], self.times[:row])
        return first, Counts(self.sentence[row:] - sentences, self.gram[row:], self.times[row:])

    def keys(self, owner: Ints) -> Ints:
        """One number a row for the n-gram together with the owner of the sentence."""
        return owner[self.sentence] * _BASE + self.gram


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers for the words and n-grams of some sentences; what others bring is numbered on."""

    words: dict[str, int]
    longer: tuple[Ints, ...]
    """For two words, three, ...: an n-gram's number is its place in this sorted column."""

    @classmethod
    def of(cls, sentences: Sequence[Words], *, order: int) -> "Numbering":
        """Numbers all n-grams up to `order` words."""
        words: dict[str, int] = {}
        text = _Text.of(sentences, words)
        place, gram, longer = text.places(), text.word, []
        for length in range(2, order + 1):
            place, keys = text.lengthen(place, gram, length)
            longer.append(np.unique(keys))
            gram = np.searchsorted(longer[-1], keys)
        return cls(words, tuple(longer))

    def split(self, order: int) -> tuple[list[int], list[int]]:
        """Of each n-gram one word longer than `order`: its beginning's number, its last word's."""
        keys = self.longer[order - 1]
        return (keys // _BASE).tolist(), (keys % _BASE).tolist()

    def count(self, sentences: Sequence[Words]) -> Iterator[Counts]:
        """Counts single words, then pairs, and so on."""
        text = _Text.of(sentences, dict(self.words))
        place, gram = text.places(), text.word
        yield Counts.of(text.sentence, gram)
        for length, known in enumerate(self.longer, start=2):
            place, keys = text.lengthen(place, gram, length)
            gram = _number(keys, known)
            yield Counts.of(text.sentence[place], gram)


def flatten(references: Sequence[Sequence[Words]]) -> tuple[list[Words], Ints]:
    """All references one after another, and which image each belongs to."""
    sizes = [len(own) for own in references]
    return list(chain.from_iterable(references)), np.repeat(np.arange(len(sizes)), sizes)


def join(beginning: int, last: int) -> int:
    """The key of an n-gram, from the number of its beginning and of its last word."""
    return beginning * _BASE + last


def look_up(keys: Ints, values: Ints | Floats, wanted: Ints) -> Ints | Floats:
    """The value at each wanted key, 0 where there is none; `keys` are sorted."""
    place = np.searchsorted(keys, wanted)
    return np.where(np.append(keys, -1)[place] == wanted, np.append(values, 0)[place], 0)


def add_up(rows: Ints, values: Ints | Floats, size: int) -> Floats:
    """The sum of the values of each row, 0 for a row without any."""
    return np.bincount(rows, values, minlength=size).astype(float)  # of nothing: whole numbers


@dataclass(frozen=True, slots=True)
class _Text:
    """Sentences as columns, one row a word."""

    word: Ints
    sentence: Ints
    left: Ints
    """How many words are left in the sentence, this one included."""

    @classmethod
    def of(cls, sentences: Sequence[Words], numbers: dict[str, int]) -> "_Text":
        """Numbers new words on, in `numbers`."""
        words = chain.from_iterable(sentences)
        column = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
        sizes = np.array([len(sentence) for sentence in sentences], np.int64)
        sentence = np.repeat(np.arange(len(sizes)), sizes)
        return cls(column, sentence, sizes.cumsum()[sentence] - np.arange(len(column)))

    def places(self) -> Ints:
        """Where single words begin: everywhere."""
        return np.arange(len(self.word))

    def lengthen(self, place: Ints, gram: Ints, length: int) -> tuple[Ints, Ints]:
        """The n-grams that can have one more word: where they begin, and their keys with it."""
        inside = self.left[place] >= length
        place = place[inside]
        return place, gram[inside] * _BASE + self.word[place + length - 1]


def _number(keys: Ints, known: Ints) -> Ints:
    place = np.searchsorted(known, keys)
    strange = np.append(known, -1)[place] != keys
    place[strange] = len(known) + np.unique(keys[strange], return_inverse=True)[1]
    return place
