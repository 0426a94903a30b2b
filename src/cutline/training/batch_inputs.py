"""The inputs of a training: batches of regions or pixels, each with its captions.

With a frozen encoder every image is encoded once and its regions are read from disk
(`CachedFeatures`), those of the flipped image too if needed. An encoder that learns gets pixels,
read and augmented anew each time (`OnlinePixels`). Everything random is derived from seed, epoch
and batch number, so a resumed run gets the same batches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutline.datasets.batches import (
    encode_captions,
    pick_batch,
    pick_pictures,
    plan_batches,
    plan_pictures,
)
from cutline.errors import ImageError
from cutline.images.load import View, open_image
from cutline.images.prefetch import decode_ahead
from cutline.models.weights import encode
from cutline.text.language import guess_language, names_side
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import Vocabulary
from cutline.training import distributed
from cutline.training.augmentation import mirror, random_crop
from cutline.training.feature_store import Encoded, FeatureStore
from cutline.training.trainer import Plan, Training
from cutline.types import Example

AT_ONCE = 8
"""Images encoded together."""

LoadBatch = Callable[[NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]], Any]
"""(indices of training images, which of them to flip, four random numbers for the crop of each) →
the model's input."""


class EncoderInput(NamedTuple):
    """What turns image files into regions: the encoder, its view, and the folder of the cache."""

    encoder: nn.Module
    view: View
    cache: Path


class CachedFeatures:
    """Regions of a frozen encoder, read from disk."""

    def __init__(self, source: EncoderInput, options: Training) -> None:
        self._stores = [
            FeatureStore(
                source.cache,
                source.encoder,
                source.view,
                mirrored=mirrored,
                precision=options.precision,
            )
            for mirrored in ([False, True] if options.horizontal_flip else [False])
        ]

    def prepare(self, train: Sequence[Example], validation: Sequence[Example]) -> Iterator[Encoded]:
        """Encode the images that are not stored yet."""
        plain, *mirrored = self._stores
        yield from plain.encode([example.image for example in (*train, *validation)])
        for store in mirrored:
            for event in store.encode([example.image for example in train]):
                yield replace(event, damaged=())  # the first store has reported these

    def keep_readable(self, examples: Sequence[Example]) -> list[Example]:
        """The examples whose image can be read."""
        stored = self._stores[0].load([example.image for example in examples])
        return [e for e, regions in zip(examples, stored, strict=True) if regions is not None]

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """A function that gives batches of these images' regions."""
        images = [example.image for example in train]
        sides = [store.load(images) for store in self._stores]

        def load_batch(
            rows: NDArray[np.int64], flipped: NDArray[np.bool_], _: NDArray[np.float64]
        ) -> Tensor:
            chosen = [sides[int(side)][row] for row, side in zip(rows, flipped, strict=True)]
            return torch.stack([regions for regions in chosen if regions is not None]).float()

        return load_batch

    def encode(self, examples: Sequence[Example], _: nn.Module) -> Tensor:
        """The regions of images, (images, regions, width), in half precision."""
        seen = self._stores[0].load([example.image for example in examples])
        return torch.stack([regions for regions in seen if regions is not None])


class OnlinePixels:
    """Pixels, read and augmented every time, for an encoder that learns."""

    def __init__(self, source: EncoderInput, options: Training) -> None:
        self.view, self._options = source.view, options
        self._damaged: set[Path] = set()

    def prepare(self, train: Sequence[Example], validation: Sequence[Example]) -> Iterator[Encoded]:
        """Read every image once, to find those that are damaged."""
        images = [example.image for example in (*train, *validation)]
        starts = range(0, len(images), AT_ONCE)
        own = [images[at : at + AT_ONCE] for at in starts[distributed.block(len(starts))]]
        decoded = decode_ahead(chain.from_iterable(own), self.view, batch=AT_ONCE)
        answers = (dict(zip(*both, strict=True)) for both in zip(own, decoded, strict=True))
        done = 0
        for batch in distributed.rounds(answers, len(starts)):
            found = batch or {}
            wrong = {str(i): str(e) for i, e in found.items() if isinstance(e, ImageError)}
            counts, errors = zip(
                *distributed.gather([len(found), wrong], patient=False), strict=True
            )
            done += sum(counts)
            self._damaged |= {Path(image) for each in errors for image in each}
            sentences = (sentence for each in errors for sentence in each.values())
            yield Encoded(done, len(images), tuple(sentences))

    def keep_readable(self, examples: Sequence[Example]) -> list[Example]:
        """The examples whose image can be read."""
        return [example for example in examples if example.image not in self._damaged]

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """A function that gives batches of these images' pixels, augmented."""

        def load_batch(
            rows: NDArray[np.int64], flipped: NDArray[np.bool_], random: NDArray[np.float64]
        ) -> Tensor:
            varied = []
            for row, side, numbers in zip(rows, flipped, random, strict=True):
                pixels = open_image(train[row].image, self.view)
                if self._options.random_crop:
                    pixels = random_crop(pixels, self._options.random_crop, numbers)
                varied.append(mirror(pixels) if side else pixels)
            return torch.from_numpy(np.stack(varied)).permute(0, 3, 1, 2)

        return load_batch

    def encode(self, examples: Sequence[Example], encoder: nn.Module) -> Tensor:
        """The regions of images, (images, regions, width), by the encoder as it is now."""
        pictures = decode_ahead((e.image for e in examples), self.view, batch=AT_ONCE)
        readable = ([p for p in batch if not isinstance(p, ImageError)] for batch in pictures)
        seen = [encode(encoder, np.stack(batch), self._options.precision) for batch in readable]
        return torch.cat(seen)


TrainingInputs = CachedFeatures | OnlinePixels


@runtime_checkable
class BatchSource(Protocol):
    """Anything that gives batches of training images."""

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """A function that gives batches of these images."""


def plan_training(
    inputs: BatchSource,
    train: Sequence[Example],
    vocabulary: Vocabulary,
    options: Training,
    *,
    repeats: NDArray[np.int64] | None = None,
) -> Plan:
    """The batches of every epoch; `repeats` is how often each image occurs in one."""
    captions = encode_captions(train, vocabulary)
    is_off = bool(explain_unflipped(train, options))
    allowed = np.array([not is_off and _may_be_flipped(example) for example in train])
    load_batch = inputs.make_batch_loader(train)
    pictures, most = options.batch_by == "picture", options.captions_per_image

    def load(rows: NDArray[np.int64], epoch: int, number: int) -> tuple[Any, Tensor]:
        chance = np.random.default_rng((options.seed, epoch, number))
        if pictures:
            batch = pick_pictures(captions, rows, most=most, rng=chance)
        else:
            batch = pick_batch(captions, rows)
        mirrored = allowed[batch.images] & (
            chance.random(len(batch.images)) < options.horizontal_flip
        )
        own = distributed.rows_of_process(batch.images)
        words = batch.words.reshape(len(batch.images), -1, batch.words.shape[1])[own]
        seen = load_batch(batch.images[own], mirrored[own], chance.random((len(mirrored), 4))[own])
        return seen, torch.from_numpy(words.reshape(-1, batch.words.shape[1]))

    def plan(epoch: int) -> Sequence[Callable[[], tuple[Any, Tensor]]]:
        size, when = options.captions_a_step, {"seed": options.seed, "epoch": epoch}
        if pictures:
            planned = plan_pictures(
                captions, captions_a_batch=size, repeats=repeats, most=most, **when
            )
        else:
            often = None if repeats is None else repeats[captions.images]
            planned = plan_batches(captions.lengths, batch_size=size, repeats=often, **when)
        return [partial(load, rows, epoch, number) for number, rows in enumerate(planned)]

    return plan


def explain_unflipped(train: Sequence[Example], options: Training) -> str:
    """Why no image is flipped though the recipe asks for it; empty if nothing is against it."""
    if not options.horizontal_flip or options.flip_any_language:
        return ""
    if guess_language(caption for example in train for caption in example.captions):
        return ""
    return (
        "no picture is flipped, because the language of the captions is not known, and with it "
        "their words for left and right; training.flip_any_language = true flips nevertheless"
    )


def _may_be_flipped(example: Example) -> bool:
    return not names_side(word for caption in example.captions for word in split_words(caption))
