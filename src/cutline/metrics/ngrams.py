"""N-gram counts as NumPy columns, shared by BLEU and CIDEr.

Every word and n-gram has an integer id, so that counting, matching and weighting are sorting and
searching in arrays. The key of an n-gram combines the id of its prefix, one word shorter, and that
of its last word.
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
"""Progress callback: comparisons done, and their total number."""

_BASE = 2**31
"""More than there are words or n-grams, so that two ids fit into one integer."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of n-grams of one length per sentence: columns, sorted by the first two."""

    sentence: Ints
    gram: Ints
    times: Ints

    @classmethod
    def of(cls, sentence: Ints, gram: Ints) -> "Counts":
        """Count n-grams given one by one, each with its sentence."""
        keys, times = np.unique(sentence * _BASE + gram, return_counts=True)
        return cls(keys // _BASE, keys % _BASE, times)

    def part(self, sentences: int) -> tuple["Counts", "Counts"]:
        """Split into the first `sentences` and the rest, renumbered from zero."""
        row = np.searchsorted(self.sentence, sentences)
        first = Counts(self.sentence[:row], self.gram[:row], self.times[:row])
        return first, Counts(self.sentence[row:] - sentences, self.gram[row:], self.times[row:])

    def keys(self, owner: Ints) -> Ints:
        """One key per row for the n-gram and the owner of the sentence."""
        return owner[self.sentence] * _BASE + self.gram


@dataclass(frozen=True, slots=True)
class Numbering:
    """Ids of the words and n-grams of some sentences; unknown ones get higher ids."""

    words: dict[str, int]
    longer: tuple[Ints, ...]
    """For bigrams, trigrams, ...: sorted keys; an n-gram's id is its index."""

    @classmethod
    def of(cls, sentences: Sequence[Words], *, order: int) -> "Numbering":
        """Number all n-grams of up to `order` words."""
        words: dict[str, int] = {}
        text = _Text.of(sentences, words)
        place, gram, longer = text.places(), text.word, []
        for length in range(2, order + 1):
            place, keys = text.lengthen(place, gram, length)
            longer.append(np.unique(keys))
            gram = np.searchsorted(longer[-1], keys)
        return cls(words, tuple(longer))

    def join(self, other: "Numbering") -> tuple["Numbering", list[tuple[Ints, Ints]]]:
        """Number what either numbers; for words, bigrams, ...: the new ids of both, by old id.

        The result is that of `of` for both lists of sentences, one after the other.
        """
        words = dict(self.words)
        renamed = np.array([words.setdefault(word, len(words)) for word in other.words], np.int64)
        ours, theirs = np.arange(len(self.words)), renamed
        longer, renumbered = list[Ints](), [(ours, theirs)]
        for mine, own in zip(self.longer, other.longer, strict=True):
            mine = ours[mine // _BASE] * _BASE + mine % _BASE
            own = theirs[own // _BASE] * _BASE + renamed[own % _BASE]
            longer.append(np.union1d(mine, own))
            ours, theirs = np.searchsorted(longer[-1], mine), np.searchsorted(longer[-1], own)
            renumbered.append((ours, theirs))
        return Numbering(words, tuple(longer)), renumbered

    def split(self, order: int) -> tuple[list[int], list[int]]:
        """The ids of prefix and last word of each n-gram of `order` + 1 words."""
        keys = self.longer[order - 1]
        return (keys // _BASE).tolist(), (keys % _BASE).tolist()

    def count(self, sentences: Sequence[Words]) -> Iterator[Counts]:
        """Count single words, then bigrams, and so on."""
        text = _Text.of(sentences, dict(self.words))
        place, gram = text.places(), text.word
        yield Counts.of(text.sentence, gram)
        for length, known in enumerate(self.longer, start=2):
            place, keys = text.lengthen(place, gram, length)
            gram = _number(keys, known)
            yield Counts.of(text.sentence[place], gram)


def flatten(references: Sequence[Sequence[Words]]) -> tuple[list[Words], Ints]:
    """All references in one list, and the index of the image that each belongs to."""
    sizes = [len(own) for own in references]
    return list(chain.from_iterable(references)), np.repeat(np.arange(len(sizes)), sizes)


def join(beginning: int, last: int) -> int:
    """The key of an n-gram, from the ids of its prefix and of its last word."""
    return beginning * _BASE + last


def look_up(keys: Ints, values: Ints | Floats, wanted: Ints) -> Ints | Floats:
    """The value of each wanted key, 0 if it is not among the sorted `keys`."""
    place = np.searchsorted(keys, wanted)
    return np.where(np.append(keys, -1)[place] == wanted, np.append(values, 0)[place], 0)


def add_up(rows: Ints, values: Ints | Floats, size: int) -> Floats:
    """The sum of the values of each row, 0 for rows without values."""
    return np.bincount(rows, values, minlength=size).astype(float)  # integers if empty


@dataclass(frozen=True, slots=True)
class _Text:
    """Sentences as columns, one row per word."""

    word: Ints
    sentence: Ints
    left: Ints
    """Words left in the sentence, including this one."""

    @classmethod
    def of(cls, sentences: Sequence[Words], numbers: dict[str, int]) -> "_Text":
        """Number new words, adding them to `numbers`."""
        words = chain.from_iterable(sentences)
        column = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
        sizes = np.array([len(sentence) for sentence in sentences], np.int64)
        sentence = np.repeat(np.arange(len(sizes)), sizes)
        return cls(column, sentence, sizes.cumsum()[sentence] - np.arange(len(column)))

    def places(self) -> Ints:
        """Positions of unigrams: all of them."""
        return np.arange(len(self.word))

    def lengthen(self, place: Ints, gram: Ints, length: int) -> tuple[Ints, Ints]:
        """Extend n-grams by one word where possible: their positions and new keys."""
        inside = self.left[place] >= length
        place = place[inside]
        return place, gram[inside] * _BASE + self.word[place + length - 1]


def _number(keys: Ints, known: Ints) -> Ints:
    place = np.searchsorted(known, keys)
    strange = np.append(known, -1)[place] != keys
    place[strange] = len(known) + np.unique(keys[strange], return_inverse=True)[1]
    return place
