"""How fast the attention decoder trains on stored regions, beside the plain loop.

    python benchmarks/training.py --data FLICKR8K --weights WEIGHTS [--steps 5]
    python benchmarks/training.py --data FLICKR8K --profile    where the time of a step goes
    python benchmarks/training.py --data FLICKR8K --compile    steps beside compiled ones

The plain loop is the tutorials': every caption of a batch brings its picture, which is read and
encoded again (single precision, frozen encoder). Ours reads stored regions once for all captions of
a picture, in the recipe's precision. Both take turns in one run; an epoch is the steps it has.
"""

import argparse
import json
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from cutline.datasets.batches import encode_captions, pick_batch, plan_batches
from cutline.images.load import open_image
from cutline.models.weights import CaptionModel, cross_entropy, encode
from cutline.recipe import Recipe
from cutline.text.vocabulary import Vocabulary
from cutline.training.batch_inputs import CachedFeatures, EncoderInput, plan_training
from cutline.training.experiment import load_encoder
from cutline.training.losses import CrossEntropy
from cutline.training.trainer import Step, Trainer

RECIPE = Path(__file__).parents[1] / "recipes" / "flickr8k-show-attend-tell.toml"
PICTURES = 320


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as cache:
        lesson = ConceptTargets(options.data, options.weights, Path(cache))
        if options.profile:
            profile(lesson.steps(), options.steps)
        elif options.compile:
            beside_compiled(lesson, options.steps)
        else:
            beside_plain(lesson, options.steps)


class ConceptTargets:
    """Some training pictures, and an untrained decoder to learn from them."""

    def __init__(self, data: Path, weights: Path | None, cache: Path) -> None:
        recipe = Recipe.read(RECIPE)
        [self.training] = recipe.trainings
        examples = [e for e in recipe.build("source", data) if e.split == "train"]
        self.captions = sum(len(example.captions) for example in examples)
        self.vocabulary = Vocabulary.of((c for e in examples for c in e.captions), min_count=5)
        self.examples = examples[:PICTURES]
        self.encoder, self.view = load_encoder(recipe, weights, None), recipe.build("view")
        self.decoder = recipe.build("decoder", self.encoder.width, len(self.vocabulary))
        material = CachedFeatures(EncoderInput(self.encoder, self.view, cache), self.training)
        list(material.prepare(self.examples, []))
        self.plan = plan_training(material, self.examples, self.vocabulary, self.training)

    def steps(self, *, compiled: bool = False) -> Iterator[float]:
        """Seconds of each step on stored regions."""
        model = CaptionModel(torch.nn.Identity(), deepcopy(self.decoder))
        if compiled:
            model.compile(dynamic=True)
        count = len(self.plan(0))
        trainer = Trainer(model, self.training, CrossEntropy(), steps_an_epoch=count)
        return (event.seconds for event in trainer.run(self.plan) if isinstance(event, Step))

    def plain_steps(self) -> Iterator[float]:
        """Seconds of each step of the plain loop, for as many captions."""
        encoded = encode_captions(self.examples, self.vocabulary)
        decoder = deepcopy(self.decoder)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-4)
        size = self.training.captions_a_step
        for rows in plan_batches(encoded.lengths, batch_size=size, seed=0, epoch=0):
            began = time.perf_counter()
            batch = pick_batch(encoded, rows)
            pixels = np.stack([open_image(self.examples[i].image, self.view) for i in batch.images])
            words = torch.from_numpy(batch.words)
            seen = encode(self.encoder, pixels)
            loss = cross_entropy(decoder(seen, words[:, :-1]), words[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield (time.perf_counter() - began) / len(words) * size


def beside_plain(lesson: ConceptTargets, count: int) -> None:
    """An epoch on stored regions and one of the plain loop."""
    stored, again = in_turns(lesson.steps(), lesson.plain_steps(), count)
    steps = lesson.captions / lesson.training.captions_a_step
    found = {
        "an epoch on stored regions, minutes": round(stored * steps / 60, 2),
        "an epoch of the plain loop, minutes": round(again * steps / 60, 1),
        "times faster": round(again / stored, 1),
    }
    print(json.dumps(found, indent=2))


def beside_compiled(lesson: ConceptTargets, count: int) -> None:
    """A step as it is, and one by `torch.compile`."""
    compiled = lesson.steps(compiled=True)
    first = next(compiled)
    eager, fast = in_turns(lesson.steps(), compiled, count)
    print(f"a step: eager {eager:.3f} s, compiled {fast:.3f} s, the first compiled {first:.0f} s")


def in_turns(one: Iterator[float], other: Iterator[float], count: int) -> tuple[float, float]:
    """Medians of both, after one to warm up."""
    pairs = [(next(one), next(other)) for _ in range(count + 1)][1:]
    first, second = zip(*pairs, strict=True)
    return median(first), median(second)


def profile(steps: Iterator[float], count: int) -> None:
    """What the operations of some steps took, the longest first, and how busy the cores were."""
    next(steps)
    cores, began = time.process_time(), time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        for _ in range(count):
            next(steps)
    busy = (time.process_time() - cores) / (time.perf_counter() - began)
    print(watched.key_averages().table(sort_by="self_cpu_time_total", row_limit=14))
    print(f"cores busy: {busy:.2f}")


if __name__ == "__main__":
    main()
