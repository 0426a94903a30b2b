"""A torch `DataLoader` of images with captions, for custom training loops.

A pass over it is an epoch and contains every caption once. (The loader of the classic project drew
a caption length at random and then captions of that length with replacement, so that in an epoch
some captions occurred often and others never.)
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cutline.datasets.batches import Batch, encode_captions, pick_batch, plan_batches
from cutline.errors import DataError, ImageError
from cutline.images.load import View, open_image
from cutline.text.vocabulary import PAD, Vocabulary
from cutline.types import Example

Rows = NDArray[np.int64]


class Loaded(NamedTuple):
    """A batch: `for pixels, words, lengths in loader`."""

    pixels: UInt8[Tensor, "rows 3 size size"]
    """RGB between 0 and 255; encoders normalise them."""
    words: Int[Tensor, "rows time"]
    """`<start>`, the words, `<end>`, then `<pad>` up to the longest of the batch."""
    lengths: Int[Tensor, " rows"]
    """The number of tokens of each caption, markers included."""


def open_loader(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    view: View,
    *,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    workers: int = 0,
) -> DataLoader[Loaded]:
    """Open a loader of captions with their images; the first pass over it is epoch `epoch`.

    An epoch contains every caption once, in batches of similar length. The batches and their order
    are determined by `seed` and the epoch; without `shuffle` captions keep the order of the
    examples. `workers` is the number of processes that load images ahead; with 0 images are loaded
    as they are needed.

    An unreadable image is left out of its batch with a warning. Raises `ImageError` if no image of
    a batch can be read, and `DataError` if there are no captions or `batch_size` is below 1.
    """
    captions = _Captions(examples, vocabulary, view)
    if batch_size < 1 or not len(captions):
        raise DataError(
            f"{len(captions)} captions in batches of {batch_size}: need at least one caption and a "
            "batch size of at least 1"
        )
    plan = _Epochs(captions.lengths, batch_size, shuffle=shuffle, seed=seed, epoch=epoch)
    own_chance = torch.Generator().manual_seed(
        seed
    )  # a pass must not draw from the global generator
    return DataLoader(
        captions, batch_size=None, sampler=plan, num_workers=workers, generator=own_chance
    )


class _Captions(Dataset[Loaded]):
    """All captions; indexing with an array of caption numbers gives a batch."""

    def __init__(self, examples: Sequence[Example], vocabulary: Vocabulary, view: View) -> None:
        self._images = [example.image for example in examples]
        self._captions, self._view = encode_captions(examples, vocabulary), view
        self.lengths = self._captions.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: Rows) -> Loaded:
        answers = [self._open(number) for number in self._captions.images[rows].tolist()]
        errors = [answer for answer in answers if isinstance(answer, ImageError)]
        if len(errors) == len(answers):
            raise errors[0]
        readable = [not isinstance(answer, ImageError) for answer in answers]
        pixels = np.stack([answer for answer in answers if not isinstance(answer, ImageError)])
        return _as_tensors(pixels, pick_batch(self._captions, rows[readable]))

    def _open(self, number: int) -> NDArray[np.uint8] | ImageError:
        try:
            return open_image(self._images[number], self._view)
        except ImageError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
            return error


class _Epochs(Sampler[Rows]):
    """The batches of one epoch after another, as arrays of caption numbers."""

    def __init__(
        self, lengths: Rows, batch_size: int, *, shuffle: bool, seed: int, epoch: int
    ) -> None:
        self._lengths, self._batch_size = lengths, batch_size
        self._shuffle, self._seed, self._epoch = shuffle, seed, epoch

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch_size)

    def __iter__(self) -> Iterator[Rows]:
        """A generator: with workers torch makes two iterators for a pass and starts only one."""
        epoch, self._epoch = self._epoch, self._epoch + 1
        if self._shuffle:
            size, seed = self._batch_size, self._seed
            yield from plan_batches(self._lengths, batch_size=size, seed=seed, epoch=epoch)
        else:
            order = np.arange(len(self._lengths))
            yield from np.split(order, order[:: self._batch_size][1:])


def _as_tensors(pixels: NDArray[np.uint8], batch: Batch) -> Loaded:
    lengths = (batch.words != PAD).sum(axis=1)
    pictures = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return Loaded(pictures, torch.from_numpy(batch.words), torch.from_numpy(lengths))
