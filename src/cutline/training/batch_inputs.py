"""What a training is shown: batches of regions or of pixels, and the words that people wrote.

Enters: the examples of a run and one training's options. Leaves: the plan of an epoch, and what a
model sees in validation pictures. A frozen encoder's regions are stored once, mirrored ones too if
they are asked for; for one that learns, pictures are read from disk and varied each time. All that
is random follows from seed, epoch and batch, so a resumed run is shown the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
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
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import Vocabulary
from cutline.training.augmentation import may_be_mirrored, mirror, random_crop
from cutline.training.feature_store import Encoded, FeatureStore
from cutline.training.trainer import Plan, Training
from cutline.types import Example

AT_ONCE = 8
"""Validation pictures encoded together."""

LoadBatch = Callable[[NDArray[np.int64], NDArray[np.bool_], np.random.Generator], Any]
"""Training pictures by number, which of them mirrored, as the model is to see them."""


class EncoderInput(NamedTuple):
    """How pictures are turned into what the model is shown."""

    encoder: nn.Module
    view: View
    cache: Path


class CachedFeatures:
    """Regions of a frozen encoder, from disk."""

    def __init__(self, sight: EncoderInput, options: Training) -> None:
        self._stores = [
            FeatureStore(
                sight.cache,
                sight.encoder,
                sight.view,
                mirrored=mirrored,
                precision=options.precision,
            )
            for mirrored in ([False, True] if options.horizontal_flip else [False])
        ]

    def prepare(self, train: Sequence[Example], validation: Sequence[Example]) -> Iterator[Encoded]:
        """Encode what is not stored yet."""
        plain, *mirrored = self._stores
        yield from plain.encode([example.image for example in (*train, *validation)])
        for store in mirrored:
            for event in store.encode([example.image for example in train]):
                yield replace(event, damaged=())  # told once, by the store before

    def keep_readable(self, examples: Sequence[Example]) -> list[Example]:
        """Without those whose picture is damaged."""
        seen = self._stores[0].load([example.image for example in examples])
        return [e for e, regions in zip(examples, seen, strict=True) if regions is not None]

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """Show these pictures' regions."""
        images = [example.image for example in train]
        sides = [store.load(images) for store in self._stores]

        def show(
            rows: NDArray[np.int64], mirrored: NDArray[np.bool_], _: np.random.Generator
        ) -> Tensor:
            chosen = [sides[int(side)][row] for row, side in zip(rows, mirrored, strict=True)]
            return torch.stack([regions for regions in chosen if regions is not None]).float()

        return show

    def encode(self, examples: Sequence[Example], _: nn.Module) -> Tensor:
        """The regions of pictures, in half precision."""
        seen = self._stores[0].load([example.image for example in examples])
        return torch.stack([regions for regions in seen if regions is not None])


class OnlinePixels:
    """Pixels, read from disk every time, for an encoder that learns."""

    def __init__(self, sight: EncoderInput, options: Training) -> None:
        self.view, self._options = sight.view, options

    def prepare(self, train: Sequence[Example], validation: Sequence[Example]) -> Iterator[Encoded]:
        """Look which pictures cannot be read."""
        examples = [*train, *validation]
        self._damaged: set[Path] = set()
        done = 0
        for batch in decode_ahead((e.image for e in examples), self.view, batch=AT_ONCE):
            wrong = [
                (example.image, answer)
                for example, answer in zip(examples[done : done + AT_ONCE], batch, strict=True)
                if isinstance(answer, ImageError)
            ]
            done += len(batch)
            self._damaged |= {image for image, _ in wrong}
            yield Encoded(done, len(examples), tuple(str(error) for _, error in wrong))

    def keep_readable(self, examples: Sequence[Example]) -> list[Example]:
        """Without those whose picture is damaged."""
        return [example for example in examples if example.image not in self._damaged]

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """Show these pictures, each a little differently every time."""

        def show(
            rows: NDArray[np.int64], mirrored: NDArray[np.bool_], chance: np.random.Generator
        ) -> Tensor:
            varied = []
            for row, side in zip(rows, mirrored, strict=True):
                pixels = open_image(train[row].image, self.view)
                if self._options.random_crop:
                    pixels = random_crop(pixels, self._options.random_crop, chance)
                varied.append(mirror(pixels) if side else pixels)
            return torch.from_numpy(np.stack(varied)).permute(0, 3, 1, 2)

        return show

    def encode(self, examples: Sequence[Example], encoder: nn.Module) -> Tensor:
        """The regions of pictures as the encoder sees them now."""
        pictures = decode_ahead((e.image for e in examples), self.view, batch=AT_ONCE)
        readable = ([p for p in batch if not isinstance(p, ImageError)] for batch in pictures)
        seen = [encode(encoder, np.stack(batch), self._options.precision) for batch in readable]
        return torch.cat(seen)


TrainingInputs = CachedFeatures | OnlinePixels


@runtime_checkable
class BatchSource(Protocol):
    """What shows training pictures to a model."""

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """Show these pictures."""


def plan_training(
    inputs: BatchSource,
    train: Sequence[Example],
    vocabulary: Vocabulary,
    options: Training,
    *,
    repeats: NDArray[np.int64] | None = None,
) -> Plan:
    """The batches of every epoch of a training; `repeats`: how often each picture is shown."""
    captions = encode_captions(train, vocabulary)
    allowed = np.array([_may_be_mirrored(example) for example in train])
    show = inputs.make_batch_loader(train)
    pictures, most = options.batch_by == "picture", options.captions_per_image

    def load(rows: NDArray[np.int64], epoch: int, number: int) -> tuple[Any, Tensor]:
        chance = np.random.default_rng((options.seed, epoch, number))
        if pictures:
            batch = pick_pictures(captions, rows, most=most, chance=chance)
        else:
            batch = pick_batch(captions, rows)
        mirrored = allowed[batch.images] & (
            chance.random(len(batch.images)) < options.horizontal_flip
        )
        return show(batch.images, mirrored, chance), torch.from_numpy(batch.words)

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


def _may_be_mirrored(example: Example) -> bool:
    return may_be_mirrored(word for caption in example.captions for word in split_words(caption))
