"""How fast the attention decoder trains on stored regions, beside the plain loop.

    python benchmarks/training.py --data FLICKR8K --weights WEIGHTS [--steps 5]
    python benchmarks/training.py --data FLICKR8K --profile    where the time of a step goes
    python benchmarks/training.py --data FLICKR8K --compile    steps beside compiled ones
    python benchmarks/training.py --data FLICKR8K --processes 1,2    steps in several processes
    python benchmarks/training.py --reduction    CIDEr-D with gradients added up in fp32 and bf16

The plain loop is the tutorials': every caption of a batch brings its picture, which is read and
encoded again (single precision, frozen encoder). Ours reads stored regions once for all captions of
a picture, in the recipe's precision. Both take turns in one run; an epoch is the steps it has.

Several processes share the same batches and have one thread each. On a busy machine, read the CPU
seconds: CPU of one process / (n x CPU of one of n) is the efficiency that idle cores would give.
"""

import argparse
import json
import subprocess
import sys
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
from cutline.training import distributed
from cutline.training.batch_inputs import CachedFeatures, EncoderInput, plan_training
from cutline.training.experiment import load_encoder
from cutline.training.losses import CrossEntropy
from cutline.training.trainer import Step, Trainer

RECIPE = Path(__file__).parents[1] / "recipes" / "flickr8k-show-attend-tell.toml"
PICTURES = 320
ROUNDS = 3
"""How often each number of processes takes its turn."""
SEEDS = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--processes", help="numbers of processes, such as 1,2")
    parser.add_argument("--reduction", action="store_true")
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reduction:
        beside_bf16()
        return
    if options.cache:
        work_in_one_process(options)
        return
    with TemporaryDirectory() as cache:
        lesson = ConceptTargets(options.data, options.weights, Path(cache))
        if options.processes:
            beside_more_processes(options, Path(cache))
        elif options.profile:
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


def beside_more_processes(options: argparse.Namespace, cache: Path) -> None:
    """Steps in each number of processes, in turns: medians of the rounds."""
    counts = [int(count) for count in options.processes.split(",")]
    found: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    own = ["--data", options.data, "--cache", cache, "--steps", options.steps]
    own += ["--weights", options.weights] if options.weights else []
    for _ in range(ROUNDS):
        for count in counts:
            launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", count]
            command = map(str, [*launcher, __file__, *own])
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[count].append(json.loads(done.stdout))
    rows = {
        n: {name: median(r[name] for r in rounds) for name in rounds[0]}
        for n, rounds in found.items()
    }
    for count, row in rows.items():
        efficiency = rows[counts[0]]["CPU seconds of a process"] * counts[0]
        row["efficiency by CPU"] = efficiency / count / row["CPU seconds of a process"]
        row["times faster"] = rows[counts[0]]["seconds a step"] / row["seconds a step"]
        print(json.dumps({"processes": count, **{name: round(v, 3) for name, v in row.items()}}))


def work_in_one_process(options: argparse.Namespace) -> None:
    """The share of one of several processes; the first prints what a step took."""
    torch.set_num_threads(1)
    with distributed.joined():
        lesson = ConceptTargets(options.data, options.weights, options.cache)
        steps = lesson.steps()
        next(steps)
        busy = time.process_time()
        seconds = [next(steps) for _ in range(options.steps)]
        busy = time.process_time() - busy
        copy = deepcopy(lesson.decoder)
        for parameter in copy.parameters():
            parameter.grad = torch.zeros_like(parameter)
        sums = []
        for _ in range(options.steps):
            began = time.perf_counter()
            sent = distributed.add_gradients(copy.parameters(), "fp32")
            sums.append(time.perf_counter() - began)
        found = {
            "seconds a step": median(seconds),
            "CPU seconds of a process": busy / options.steps,
            "megabytes added up a step": sent / 1e6,
            "seconds to add them up": median(sums),
        }
        if distributed.is_first():
            print(json.dumps(found))


def beside_bf16() -> None:
    """CIDEr-D on validation of `shapes` by two processes, gradients in fp32 and in bf16."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        for reduction in ("fp32", "bf16"):
            scores = []
            for seed in range(SEEDS):
                out = home / f"{reduction}-{seed}"
                launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
                options = ["--data", home / "data", "--cache", home / "cache", "--out", out]
                options += ["--set", f"training.reduction={reduction}", "--set"]
                options += [f"training.seed={seed}", "--device", "cpu", "--quiet"]
                command = map(str, [*launcher, "-m", "cutline", "train", "shapes", *options])
                subprocess.run(command, check=True, capture_output=True)
                epochs = (out / "epochs.jsonl").read_text().splitlines()
                scores.append(max(json.loads(line)["scores"]["CIDEr-D"] for line in epochs))
            shown = ", ".join(f"{100 * score:.1f}" for score in scores)
            print(f"{reduction}: CIDEr-D {shown} (seeds 0 to {SEEDS - 1})", flush=True)


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
