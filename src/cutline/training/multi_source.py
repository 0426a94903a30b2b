"""Training on several sources: images with concepts, and sentences without images.

Every batch of images is paired with a batch of sentences. A sentence's concepts are simulated: the
nouns that it names get probabilities sampled from those of nouns that captions name, and false
positives are those of some training image. Everything random is derived from seed, epoch and batch
number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cutline.datasets.batches import EncodedCaptions, encode_texts, pick_batch, plan_batches
from cutline.datasets.mixture import Mixture
from cutline.datasets.sentences import Sentences
from cutline.errors import DataError
from cutline.models.concepts import Concepts, DecoderInput
from cutline.text.nouns import names_person, nouns_of
from cutline.text.tokenizer import split_words
from cutline.text.vocabulary import UNKNOWN, Vocabulary
from cutline.training import distributed
from cutline.training.batch_inputs import BatchSource, LoadBatch, plan_training
from cutline.training.concept_fitting import FittedConcepts
from cutline.training.losses import (
    CrossEntropy,
    MixedBatch,
    SelfCritical,
    TextOnlyBatch,
    WithSentences,
)
from cutline.training.trainer import Objective, Plan, Training
from cutline.types import Example

SHORTEST, LONGEST = 4, 18
"""The shortest and longest sentence to learn from, in words."""
UNKNOWN_WORDS = 1
"""The largest number of unknown words in a sentence."""
LIKELY, UNLIKELY = 0.5, 0.05
"""Defaults for probabilities of which the training images have no sample."""
SENTENCES, DRAWN = 1, 2
"""Parts of seeds, so that different purposes have independent random numbers."""


def plan_mixture(
    inputs: BatchSource,
    train: Sequence[Example],
    vocabulary: Vocabulary,
    options: Training,
    mixture: Mixture,
    concepts: FittedConcepts | None,
) -> Plan:
    """The batches of every epoch, for any number of sources, with or without concepts."""
    repeats = None
    if mixture.repeats:
        repeats = np.array([mixture.repeats.get(example.id, 1) for example in train])
    shown = WithConcepts(inputs, concepts) if concepts else inputs
    plan = plan_training(shown, train, vocabulary, options, repeats=repeats)
    if concepts is None or not mixture.sentences or not options.sentences:
        return plan
    return _add_sentences(
        plan, _Pool.of(mixture.sentences, vocabulary, concepts), concepts, options
    )


def build_objective(
    options: Training,
    train: Sequence[Example],
    vocabulary: Vocabulary,
    mixture: Mixture,
    *,
    max_words: int,
) -> Objective:
    """The loss of a training, plus that of sentences without images if there are any."""
    objective: Objective = CrossEntropy(
        smoothing=options.label_smoothing,
        sampled=options.scheduled_sampling,
        doubly_stochastic=options.doubly_stochastic,
    )
    if options.objective == "self-critical":
        objective = SelfCritical.of(
            [[vocabulary.encode(c) for c in example.captions] for example in train],
            vocabulary.words,
            bleu=options.bleu,
            meteor=options.meteor,
            samples=options.samples,
            max_words=max_words,
            invented_person=options.invented_person,
            invented_object=options.invented_object,
            greedy=options.baseline == "greedy",
        )
    if mixture.sentences and options.sentences:
        return WithSentences(objective, smoothing=options.label_smoothing)
    return objective


class WithConcepts:
    """Training inputs with the concepts of each training image."""

    def __init__(self, inputs: BatchSource, concepts: FittedConcepts) -> None:
        self.inputs, self.concepts = inputs, concepts

    def make_batch_loader(self, train: Sequence[Example]) -> LoadBatch:
        """A function that gives batches of these images, which are in the order of `concepts`."""
        load_batch, concepts = self.inputs.make_batch_loader(train), self.concepts

        def load_both(
            rows: NDArray[np.int64], flipped: NDArray[np.bool_], random: NDArray[np.float64]
        ) -> DecoderInput:
            top = concepts.head.top(concepts.probabilities[torch.from_numpy(rows)])
            return DecoderInput(load_batch(rows, flipped, random), top)

        return load_both


@dataclass(frozen=True)
class _Pool:
    """The sentences of all sources, one source after another."""

    captions: EncodedCaptions
    things: Sequence[NDArray[np.int64]]
    """The nouns each sentence names, except `person`."""
    people: NDArray[np.bool_]
    """Whether each sentence names a person."""
    counts: Sequence[int]
    """The number of sentences of each source."""
    weights: NDArray[np.float32]
    shares: Sequence[float]

    @classmethod
    def of(
        cls, sources: Sequence[Sentences], vocabulary: Vocabulary, concepts: FittedConcepts
    ) -> "_Pool":
        places = {noun: place for place, noun in enumerate(concepts.nouns) if place}
        texts: list[str] = []
        things, people, counts = [], [], []
        for source in sources:
            before = len(texts)
            for text in source:
                words = split_words(text)
                known = vocabulary.encode(words)
                if SHORTEST <= len(words) <= LONGEST and known.count(UNKNOWN) <= UNKNOWN_WORDS:
                    texts.append(text)
                    named = {places[noun] for noun in nouns_of(words) if noun in places}
                    things.append(np.array(sorted(named), dtype=np.int64))
                    people.append(names_person(words))
            counts.append(len(texts) - before)
            if not counts[-1]:
                raise DataError(
                    f"{source.file} has no sentence of {SHORTEST} to {LONGEST} words that are known"
                )
        weights = np.repeat(np.array([s.weight for s in sources], np.float32), counts)
        shares = [source.share for source in sources]
        captions = encode_texts(list(enumerate(texts)), vocabulary)
        return cls(captions, things, np.array(people), counts, weights, shares)

    def plan(self, steps: int, options: Training, epoch: int) -> list[NDArray[np.int64]]:
        """The sentences of every step: each source's share, sampled anew in every epoch."""
        sizes = [max(1, round(share * options.captions_a_step)) for share in self.shares]
        starts = np.cumsum([0, *self.counts])
        chance = np.random.default_rng((options.seed, epoch, SENTENCES, DRAWN))
        drawn = np.concatenate(
            [
                start + chance.integers(count, size=steps * size)
                for start, count, size in zip(starts, self.counts, sizes, strict=False)
            ]
        )
        lengths = self.captions.lengths[drawn]
        planned = plan_batches(lengths, batch_size=sum(sizes), seed=options.seed, epoch=epoch)
        return [drawn[rows] for rows in planned]


class _SimulatedConcepts:
    """Simulates what a concept head would predict for the image of a sentence."""

    def __init__(self, concepts: FittedConcepts) -> None:
        self.head = concepts.head
        named = concepts.named
        seen = concepts.probabilities[: len(named)]
        self.there = _values(seen[named >= 0.5], LIKELY)
        self.with_people = _values(seen[named[:, 0] >= 1, 0], LIKELY)
        self.without_people = _values(seen[named[:, 0] == 0, 0], UNLIKELY)
        wrong = seen.masked_fill(named > 0, 0.0)
        wrong[:, 0] = 0.0
        values, places = wrong.topk(min(concepts.head.count, wrong.shape[1]), dim=1)
        self.wrong, self.wrong_places = values.numpy(), places.numpy()

    def __call__(
        self, things: NDArray[np.int64], somebody: bool, chance: np.random.Generator
    ) -> NDArray[np.float32]:
        """The simulated probability of every noun."""
        likely = np.zeros(len(self.head.words), np.float32)
        row = chance.integers(len(self.wrong))
        likely[self.wrong_places[row]] = self.wrong[row]
        likely[things] = chance.choice(self.there, size=len(things))
        likely[0] = chance.choice(self.with_people if somebody else self.without_people)
        return likely


def _values(known: Tensor, otherwise: float) -> NDArray[np.float32]:
    return known.flatten().numpy() if known.numel() else np.array([otherwise], np.float32)


def _add_sentences(
    pictures: Plan, pool: _Pool, concepts: FittedConcepts, options: Training
) -> Plan:
    simulate = _SimulatedConcepts(concepts)

    def load(
        load_images: Callable[[], tuple[Any, Tensor]],
        rows: NDArray[np.int64],
        epoch: int,
        number: int,
    ) -> tuple[MixedBatch, Tensor]:
        chance = np.random.default_rng((options.seed, epoch, number, SENTENCES))
        likely = [simulate(pool.things[row], bool(pool.people[row]), chance) for row in rows]
        own = distributed.rows_of_process(rows)
        top: Concepts = concepts.head.top(torch.from_numpy(np.stack(likely)[own]))
        words = torch.from_numpy(pick_batch(pool.captions, rows[own]).words)
        weights = torch.from_numpy(options.sentences * pool.weights[rows[own]]).float()
        seen, captions = load_images()
        return MixedBatch(seen, TextOnlyBatch(DecoderInput(None, top), words, weights)), captions

    def plan(epoch: int) -> Sequence[Callable[[], tuple[MixedBatch, Tensor]]]:
        images = pictures(epoch)
        sentences = pool.plan(len(images), options, epoch)
        return [
            partial(load, load_images, rows, epoch, number)
            for number, (load_images, rows) in enumerate(zip(images, sentences, strict=True))
        ]

    return plan
