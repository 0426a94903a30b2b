"""One run: a recipe and a folder of data go in, a model folder comes out, events on the way.

The same call goes on with a run that was stopped or killed: `resume.pt` is replaced whole every so
often, and everything after it happens again, to the last bit. Nothing here prints.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cutline import __version__, metrics
from cutline.batches import (
    encode_captions,
    pick_batch,
    pick_pictures,
    plan_batches,
    plan_pictures,
)
from cutline.captioner import PACKAGED, captions_of
from cutline.checkpoint import (
    create_folder,
    read_recipe,
    read_resume,
    replace,
    save_model,
    save_resume,
    sweep,
)
from cutline.engines.torch import TorchEngine
from cutline.errors import DataError, ModelError
from cutline.features import Encoded, FeatureStore
from cutline.model import CaptionModel, fill, fingerprint, part_of, read_tensors
from cutline.recipe import Recipe
from cutline.records import SPLITS, Caption, Example, Report
from cutline.training import Batch, EpochEnd, Plan, Step, Trainer, Training, pick_device
from cutline.vocabulary import Vocabulary

HISTORY = "history.jsonl"
CHOSEN_BY = "CIDEr-D"
SAMPLES = 3
VALIDATION_BATCH = 64


@dataclass(frozen=True)
class Begun:
    """The data is read; training begins or goes on."""

    pictures: dict[str, int]
    """How many of each split."""
    words: int
    """In the vocabulary."""
    step: int
    steps: int
    """Where the run is, and where it ends if it is not stopped early."""


@dataclass(frozen=True)
class Validated:
    """An epoch is over and its captions are scored."""

    epoch: int
    loss: float
    report: Report | None
    """None with fewer than two validation pictures: CIDEr-D means nothing then."""
    samples: tuple[tuple[Example, Caption], ...]
    is_best: bool


Event = Encoded | Begun | Step | Validated


Pairs = list[tuple[Example, Tensor]]
"""Examples of one split with their regions; damaged pictures are left out."""


@dataclass
class _Standing:
    """How the run stands after its last epoch."""

    best: float | None = None
    epochs_since: int = 0


class Experiment:
    """A recipe on its way to a model folder.

    `weights` are the encoder's (default: those of the packaged model); `save_every` is in seconds.
    Raises `ModelError` when `folder` holds a run of another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        folder: Path,
        *,
        weights: Path | None = None,
        cache: Path | None = None,
        device: str = "auto",
        save_every: float = 60.0,
        command: str = "",
    ) -> None:
        if folder.exists() and read_recipe(folder, trust=True).sections != recipe.sections:
            raise ModelError(f"{folder} holds a run of another recipe; name another with --out")
        self.recipe, self.data, self.folder = recipe, data, folder
        self.device, self.save_every, self.command = device, save_every, command
        self.options: Training = recipe.build("training")
        self.encoder = _load_encoder(recipe, weights).to(pick_device(device))
        self.encoder_hash = fingerprint(self.encoder)
        self.weights = (weights or PACKAGED).name if list(self.encoder.parameters()) else None
        cache = cache or Path.home() / ".cache" / "cutline"
        self.store = FeatureStore(cache, self.encoder, recipe.build("view"))

    def run(self) -> Generator[Event]:
        """Train to the end; what happens is yielded. Closing the iterator saves where it is."""
        examples = list(self.recipe.build("source", self.data))
        learnt = [example for example in examples if example.split != "test"]
        yield from self.store.encode([example.image for example in learnt])
        splits = self._split(learnt)
        self.engine = self._build_engine(splits["train"])
        plan = self._plan(splits["train"])
        trainer = Trainer(
            self.engine.model.decoder, self.options, steps_an_epoch=len(plan(0)), device=self.device
        )
        counts = {split: len(pairs) for split, pairs in splits.items()}
        counts["test"] = len(examples) - len(learnt)
        self._data = {**counts, "sha256": _fingerprint(examples)}
        standing = self._resume(trainer)
        yield Begun(counts, len(self.engine.vocabulary), trainer.step, trainer.steps)
        yield from self._train(trainer, plan, standing, splits["validation"])

    def _split(self, examples: Sequence[Example]) -> dict[str, Pairs]:
        splits: dict[str, Pairs] = {split: [] for split in SPLITS}
        regions = self.store.load([example.image for example in examples])
        for example, seen in zip(examples, regions, strict=True):
            if seen is not None:
                splits[example.split].append((example, seen))
        if not splits["train"]:
            raise DataError(f"{self.data} has no training pictures that can be read")
        return splits

    def _build_engine(self, train: Pairs) -> TorchEngine:
        captions = (caption for example, _ in train for caption in example.captions)
        vocabulary = self.recipe.partial("vocabulary")(captions)
        if not self.folder.exists():
            create_folder(self.folder, self.recipe, vocabulary)
        elif Vocabulary.load(self.folder / "vocabulary.txt") != vocabulary:
            raise DataError(f"the captions of {self.data} have changed since {self.folder} began")
        torch.manual_seed(self.options.seed)
        decoder = self.recipe.build("decoder", self.encoder.width, len(vocabulary))
        if hasattr(decoder, "adapt"):
            decoder.adapt(torch.stack([regions for _, regions in train]))
        return TorchEngine(CaptionModel(self.encoder, decoder), self.recipe, vocabulary)

    def _plan(self, train: Pairs) -> Plan:
        captions = encode_captions([example for example, _ in train], self.engine.vocabulary)
        regions = [seen for _, seen in train]

        by_picture = self.options.together == "picture"

        def load(rows: NDArray[np.int64]) -> Batch:
            batch = pick_pictures(captions, rows) if by_picture else pick_batch(captions, rows)
            seen = torch.stack([regions[image] for image in batch.images])
            return seen.float(), torch.from_numpy(batch.words)

        def plan(epoch: int) -> Sequence[Callable[[], Batch]]:
            size, seed = self.options.captions_a_step, self.options.seed
            if by_picture:
                planned = plan_pictures(captions, captions_a_batch=size, seed=seed, epoch=epoch)
            else:
                planned = plan_batches(captions.lengths, batch_size=size, seed=seed, epoch=epoch)
            return [partial(load, rows) for rows in planned]

        return plan

    def _resume(self, trainer: Trainer) -> _Standing:
        sweep(self.folder)
        state = read_resume(self.folder)
        if state:
            self._check(state["given"])
            trainer.load_state_dict(state["trainer"])
        return _Standing(**state["standing"]) if state else _Standing()

    def _check(self, given: dict[str, Any]) -> None:
        """A run goes on only with what it began with."""
        if given["data"] != self._data:
            raise DataError(f"{self.data} has changed since {self.folder} began")
        if given["encoder"] != self.encoder_hash:
            raise ModelError(f"{self.folder} began with other weights of its encoder")

    def _train(
        self,
        trainer: Trainer,
        plan: Plan,
        standing: _Standing,
        validation: Pairs,
    ) -> Generator[Event]:
        saved, patience = time.monotonic(), max(1, self.options.patience)
        events = trainer.run(plan)
        self._history = _History(self.folder / HISTORY, trainer.step)
        try:
            while standing.epochs_since < patience and (event := next(events, None)):
                if isinstance(event, Step):
                    self._history.add(event)
                    yield event
                else:
                    yield self._end_epoch(event, standing, validation)
                if isinstance(event, EpochEnd) or time.monotonic() - saved >= self.save_every:
                    self._save(trainer, standing)
                    saved = time.monotonic()
        except GeneratorExit:  # whoever listens has had enough; a step is whole at every `yield`
            self._save(trainer, standing)
            raise
        finally:
            self._history.close()

    def _end_epoch(self, ended: EpochEnd, standing: _Standing, validation: Pairs) -> Validated:
        """Score the epoch, and keep its weights if they are the best so far."""
        captions = self._caption(validation)
        predictions = {e.id: c.text for (e, _), c in zip(validation, captions, strict=True)}
        references = {example.id: example.captions for example, _ in validation}
        report = (
            metrics.score(predictions, references, partial=True) if len(validation) > 1 else None
        )
        score = report.scores[CHOSEN_BY] if report else None
        is_best = score is None or standing.best is None or score > standing.best
        if is_best:
            standing.best, standing.epochs_since = score, 0
            save_model(
                self.folder, self.engine.model, self.engine.vocabulary, self._card(ended, report)
            )
        else:
            standing.epochs_since += 1
        pairs = [
            (example, caption) for (example, _), caption in zip(validation, captions, strict=True)
        ]
        samples = tuple(pairs[:: max(1, len(pairs) // SAMPLES)][:SAMPLES])
        return Validated(ended.epoch, ended.loss, report, samples, is_best)

    def _caption(self, pairs: Pairs) -> list[Caption]:
        self.engine.model.eval()
        captions = []
        for start in range(0, len(pairs), VALIDATION_BATCH):
            regions = torch.stack([seen for _, seen in pairs[start : start + VALIDATION_BATCH]])
            captions += captions_of(self.engine.read(regions), self.engine.vocabulary)
        return captions

    def _save(self, trainer: Trainer, standing: _Standing) -> None:
        self._history.flush()
        given = {"data": self._data, "encoder": self.encoder_hash}
        state = {"trainer": trainer.state_dict(), "standing": asdict(standing), "given": given}
        save_resume(self.folder, state)

    def _card(self, ended: EpochEnd, report: Report | None) -> dict[str, Any]:
        return {
            **self.recipe.claim,
            "source": dict(self.recipe.sections["source"]),
            "data": self._data,
            "scores": {"validation": report.as_json()} if report else {},
            "epoch": ended.epoch + 1,
            "training_loss": ended.loss,
            "command": self.command,
            "fingerprint": fingerprint(self.engine.model),
            "view": self.engine.view.as_dict(),
            "encoder": {"weights": self.weights, "sha256": self.encoder_hash},
            "versions": {
                "cutline": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }


class _History:
    """The loss of every step, a line each; what came after the point of resuming is cut off."""

    def __init__(self, path: Path, step: int) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        kept = "".join(line + "\n" for line in lines[:step])
        replace(path, lambda beside: beside.write_text(kept))
        self._file = path.open("a")

    def add(self, step: Step) -> None:
        self._file.write(json.dumps(asdict(step)) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of what the data says, in hexadecimal digits: ids, splits and captions."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.id, example.split, *example.captions]).encode())
    return digest.hexdigest()


def _load_encoder(recipe: Recipe, weights: Path | None) -> nn.Module:
    """The recipe's encoder with its weights, frozen."""
    encoder = recipe.build("encoder").requires_grad_(False).eval()
    if list(encoder.parameters()):
        path = weights or PACKAGED
        tensors = read_tensors(path)
        fill(encoder, part_of(tensors, "encoder") or tensors, path)
    return encoder.to(memory_format=torch.channels_last)
