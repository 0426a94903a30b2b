"""Batches: examples -> padded batches of captions, grouped by length.

Enters: the examples of one split and the vocabulary. Leaves: batches of numbers, with the index of
the picture that each caption belongs to; opening pictures is the training's affair. The plan of an
epoch is a function of seed and epoch alone: nothing is kept between epochs, so a resumed run goes
on with the very same batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cutline.text.vocabulary import END, PAD, START, Vocabulary
from cutline.types import Example

GROUP = 128
"""Batches sorted by length together: more pad less, fewer mix better. Of Flickr8k's batches of 128
captions, half is padding with 1, 4 % with 32, 1 % with 128, 0.5 % when all are sorted."""


class Source(Protocol):
    """Where examples come from; what it promises is written in `cutline.datasets`."""

    def __iter__(self) -> Iterator[Example]:
        """Every example once, in a fixed order."""


@dataclass(frozen=True, slots=True)
class EncodedCaptions:
    """All captions of a split as numbers, one after the other in one array."""

    images: NDArray[np.int64]
    """(captions,): index of the example that each caption belongs to."""
    words: NDArray[np.int64]
    """(all words,): every caption with its `<start>` and `<end>`."""
    starts: NDArray[np.int64]
    """(captions + 1,): caption k is `words[starts[k]:starts[k + 1]]`."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(captions,): words of each caption, its markers included."""
        return np.diff(self.starts)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some captions of about the same length."""

    images: NDArray[np.int64]
    """(rows,): index into the examples; two captions of one picture may meet."""
    words: NDArray[np.int64]
    """(rows, time): `<start>`, the words, `<end>`, then `<pad>`."""


def encode_captions(
    examples: Sequence[Example], vocabulary: Vocabulary, *, max_words: int = 50
) -> EncodedCaptions:
    """Every caption of every example. Of a longer caption the first `max_words` words are kept.

    What is cut off gets no `<end>`: nobody is taught to stop in mid-sentence.
    """
    captions = [
        (index, text) for index, example in enumerate(examples) for text in example.captions
    ]
    return encode_texts(captions, vocabulary, max_words=max_words)


def encode_texts(
    captions: Sequence[tuple[int, str]], vocabulary: Vocabulary, *, max_words: int = 50
) -> EncodedCaptions:
    """The same of captions with the number of what each belongs to."""
    rows = [_mark(vocabulary.encode(text), max_words) for _, text in captions]
    return EncodedCaptions(
        np.array([index for index, _ in captions], dtype=np.int64),
        np.fromiter(chain.from_iterable(rows), dtype=np.int64),
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
    )


def plan_batches(
    lengths: NDArray[np.int64],
    *,
    batch_size: int = 128,
    seed: int = 0,
    epoch: int = 0,
    repeats: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Which captions come together and in which order: indices into `lengths`, each exactly once,
    or as often as `repeats` says.

    Captions are shuffled, sorted by length within groups of `GROUP` batches, cut into batches, and
    the batches are shuffled. All batches are full but one, which may be anywhere.
    """
    chance = np.random.default_rng((seed, epoch))
    each = np.arange(len(lengths))
    order = chance.permutation(each if repeats is None else np.repeat(each, repeats))
    groups = _cut(order, batch_size * GROUP)
    sorted_groups = (group[np.argsort(lengths[group], kind="stable")] for group in groups)
    batches = [batch for group in sorted_groups for batch in _cut(group, batch_size)]
    return [batches[index] for index in chance.permutation(len(batches))]


def plan_pictures(
    captions: EncodedCaptions,
    *,
    captions_a_batch: int = 80,
    seed: int = 0,
    epoch: int = 0,
    repeats: NDArray[np.int64] | None = None,
    most: int = 0,
) -> list[NDArray[np.int64]]:
    """Which pictures come together, with all their captions (or `most`): each exactly once, or as
    often as `repeats` says of every picture that has captions.

    For decoders whose captions of a picture share what is costly: its regions. Pictures are
    shuffled and grouped by their longest caption as captions are in `plan_batches`.
    """
    pictures, own, counts = np.unique(captions.images, return_inverse=True, return_counts=True)
    longest = np.zeros(len(pictures), np.int64)
    np.maximum.at(longest, own, captions.lengths)
    each = int(counts.max(initial=1))
    batch_size = max(1, captions_a_batch // (min(each, most) if most else each))
    planned = plan_batches(longest, batch_size=batch_size, seed=seed, epoch=epoch, repeats=repeats)
    return [pictures[rows] for rows in planned]


def pick_pictures(
    captions: EncodedCaptions,
    pictures: NDArray[np.int64],
    *,
    most: int = 0,
    chance: np.random.Generator | None = None,
) -> Batch:
    """The pictures of one element of a plan and all their captions, or `most` of them drawn by
    `chance`, as many rows for each.

    A picture with fewer captions than another has rows of nothing but `<pad>`.
    """
    first = np.searchsorted(captions.images, [pictures, pictures + 1])
    rows = [np.arange(start, end) for start, end in first.T]
    if most and chance:
        rows = [chance.permutation(own)[:most] for own in rows]
    each = max(map(len, rows))
    places = [row * each + np.arange(len(own)) for row, own in enumerate(rows)]
    written = pick_batch(captions, np.concatenate(rows)).words
    words = np.full((len(pictures) * each, written.shape[1]), PAD)
    words[np.concatenate(places)] = written
    return Batch(pictures, words)


def pick_batch(captions: EncodedCaptions, rows: NDArray[np.int64]) -> Batch:
    """The captions of one element of a plan, padded to the longest of them."""
    starts = captions.starts[rows]
    lengths = captions.starts[rows + 1] - starts
    time = np.arange(lengths.max(initial=0))
    inside = time < lengths[:, None]
    places = np.where(inside, starts[:, None] + time, 0)
    return Batch(captions.images[rows], np.where(inside, captions.words[places], PAD))


def padding_share(lengths: NDArray[np.int64], plan: Sequence[NDArray[np.int64]]) -> float:
    """The share of `<pad>` in all batches of a plan, between 0 and 1."""
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in plan)
    return 1 - float(lengths.sum()) / padded


def _mark(words: list[int], max_words: int) -> list[int]:
    end = [END] if len(words) <= max_words else []
    return [START, *words[:max_words], *end]


def _cut(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (order[start : start + size] for start in range(0, len(order), size))
