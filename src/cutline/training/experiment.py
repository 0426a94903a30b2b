"""One run: a recipe and a folder of data go in, a model folder comes out, events on the way.

A run is one training or several, each going on from the best epoch of the one before. The same call
goes on with a run that was stopped or killed: `resume.pt` is replaced whole every so often, and
everything after it happens again, to the last bit. Nothing here prints.
"""

import platform
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cutline import metrics
from cutline.datasets.mixture import Places, describe_places, read_mixture
from cutline.errors import CutlineError, DataError, ModelError, TrainingError
from cutline.inference.captioner import captions_of
from cutline.inference.torch import TorchEngine
from cutline.io.atomic import remove_partial_files, try_lock
from cutline.metrics.degeneration import DegenerationStats
from cutline.models.checkpoint import (
    Checkpoint,
    create_folder,
    read_model,
    read_recipe,
    read_resume,
    save_model,
    save_resume,
)
from cutline.models.device import resolve_device
from cutline.models.weights import CaptionModel, fingerprint, load_weights, part_of, unfreeze
from cutline.recipe import Recipe
from cutline.text.vocabulary import Vocabulary
from cutline.training.batch_inputs import CachedFeatures, EncoderInput, OnlinePixels, TrainingInputs
from cutline.training.concept_fitting import FittedConcepts, read_concepts, save_concepts
from cutline.training.events import Notice, TrainingStarted, Validated
from cutline.training.feature_store import Encoded
from cutline.training.history import HISTORY, Epoch, History, Sample, keep_epoch
from cutline.training.initialization import (
    FeaturePooler,
    build_decoder,
    build_vocabulary,
    check_parts,
    describe_weights,
    find_classifier,
    is_same_recipe,
    load_encoder,
    prepare_concepts,
    uses_concepts,
)
from cutline.training.multi_source import build_objective, plan_mixture
from cutline.training.trainer import EpochEnd, Step, Trainer, Training
from cutline.types import SPLITS, Caption, Example, Report
from cutline.version import __version__

CHOSEN_BY = "CIDEr-D"
SAMPLES = 3
VALIDATION_BATCH = 64
MEASURED = 8_000
"""Of more training pictures, so many tell how regions are spread: COCO's would fill 23 GB."""


Event = Encoded | TrainingStarted | Step | Validated | Notice


@dataclass
class _Standing:
    """How the run stands after its last epoch."""

    best: float | None = None
    epochs_since: int = 0
    training: int = 0
    """Which of the recipe's trainings is under way."""
    steps: int = 0
    epochs: int = 0
    """Of the trainings that are over."""


class Experiment:
    """A recipe on its way to a model folder.

    `data` is a path, or of a mixture each source's by its name. `weights` are the encoder's
    (default: those of the packaged model); with `start` both parts are that model's, and the
    vocabulary too, to which new words are added. `classifier` is a file with ImageNet's classifier,
    for a decoder with concepts (default: that of `weights` or of the model). `save_every` is in
    seconds.
    Raises `ModelError` when `folder` holds a run of another recipe.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Places,
        folder: Path,
        *,
        weights: Path | None = None,
        classifier: Path | None = None,
        start: Checkpoint | None = None,
        cache: Path | None = None,
        device: str = "auto",
        save_every: float = 60.0,
        command: str = "",
    ) -> None:
        if folder.exists() and not is_same_recipe(
            read_recipe(folder, trust=recipe.names_code), recipe
        ):
            raise ModelError(f"{folder} holds a run of another recipe; name another with --out")
        check_parts(recipe)
        self.recipe, self.data, self.folder = recipe, data, folder
        self._where = describe_places(data)
        self.device = resolve_device(device)
        self.save_every, self.command = save_every, command
        self.trainings: list[Training] = recipe.trainings
        self.start = start
        self.encoder = load_encoder(recipe, weights, self.start).to(self.device)
        self.encoder_hash = fingerprint(self.encoder)
        self.weights = describe_weights(self.encoder, weights, start)
        self.classifier = partial(
            find_classifier, self.encoder, named=classifier, weights=weights, start=start
        )
        cache = cache or Path.home() / ".cache" / "cutline"
        self.sight = EncoderInput(self.encoder, recipe.build("view"), cache)

    def run(self) -> Generator[Event]:
        """Train to the end; what happens is yielded. Closing the iterator saves where it is.

        Raises `TrainingError` where the disk is full or gone; the same run then goes on. So it does
        where another process trains in the same folder.
        """
        lock = self.folder.with_name(f".{self.folder.name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with try_lock(lock) as alone:
                if not alone:
                    raise TrainingError(
                        f"another cutline is training in {self.folder}: let that end, or name "
                        "another folder with --out"
                    )
                yield from self._run()
        except OSError as error:
            where, why = error.filename or self.folder, error.strerror or error
            kept = "what was saved before is whole, and the same command goes on"
            raise TrainingError(f"{where} cannot be written or read: {why}; {kept}") from None

    def _run(self) -> Generator[Event]:
        self.mixture = read_mixture(self.recipe, self.data)
        self._fingerprint = self.mixture.fingerprint()
        remove_partial_files(self.folder)
        state = read_resume(self.folder)
        standing = _Standing(**state["standing"]) if state else _Standing()
        while standing.training < len(self.trainings):
            yield from self._run_training(standing, state)
            standing.training, standing.epochs_since, state = standing.training + 1, 0, None

    def _run_training(self, standing: _Standing, state: dict[str, Any] | None) -> Generator[Event]:
        number, options = standing.training, self.trainings[standing.training]
        best = read_model(self.folder, trust=True) if number else None
        if best:
            load_weights(self.encoder, part_of(best.tensors, "encoder"), self.folder)
        inputs: TrainingInputs = (OnlinePixels if options.unfrozen_stages else CachedFeatures)(
            self.sight, options
        )
        examples = self.mixture.examples
        splits = {s: [e for e in examples if e.split == s] for s in SPLITS}
        yield from inputs.prepare(splits["train"], splits["validation"])
        train, validation = (inputs.keep_readable(splits[s]) for s in ("train", "validation"))
        if not train:
            raise DataError(f"{self._where} has no training pictures that can be read")
        start = best or self.start
        vocabulary = build_vocabulary(self.recipe, train, self.mixture, start)
        naming = None
        if uses_concepts(self.recipe):
            naming = yield from self._name_things(train, validation, inputs, vocabulary, options)
        found = naming.found if naming and options.objective != "self-critical" else ()
        yield from inputs.prepare(found, ())
        if lost := len(found) - len(inputs.keep_readable(found)):
            raise DataError(
                f"{lost} labelled photographs cannot be read any more that {self.folder} began with"
            )
        torch.manual_seed(options.seed)
        self.engine, told = self._build_engine(train, inputs, vocabulary, naming, start)
        yield from [Notice(told)] if told and not best else []
        shown = [*train, *found]
        plan = plan_mixture(inputs, shown, vocabulary, options, self.mixture, naming)
        trainer = self._build_trainer(options, train, steps_an_epoch=len(plan(0)))
        counts = dict(zip(SPLITS, map(len, (train, validation, splits["test"])), strict=True))
        paired = {"found": len(naming.found)} if naming and naming.found else {}
        self._data = {**counts, **paired, "sha256": self._fingerprint}
        self._refusal = naming.refusal if naming else None
        if state:
            self._check(state["given"])
            trainer.load_state_dict(state["trainer"])
        yield TrainingStarted(
            counts,
            len(self.engine.vocabulary),
            standing.steps + trainer.step,
            standing.steps + trainer.steps,
            number + 1,
            len(self.trainings),
        )
        yield from self._train(trainer, trainer.run(plan), standing, inputs, validation)
        standing.steps += trainer.step
        standing.epochs += trainer.epoch

    def _name_things(
        self,
        train: Sequence[Example],
        validation: Sequence[Example],
        inputs: TrainingInputs,
        vocabulary: Vocabulary,
        options: Training,
    ) -> Generator[Event, None, FittedConcepts]:
        """The concepts of the run: found once and kept in its folder."""
        data = f"{len(train)} of {self._fingerprint}"
        naming = read_concepts(self.folder, data)
        found = naming or (
            yield from prepare_concepts(
                self.recipe,
                train,
                validation,
                vocabulary,
                self.mixture,
                FeaturePooler(inputs, self.sight, options),
                options,
                classifier=self.classifier,
                start=self.start,
            )
        )
        self.recipe = self.recipe.with_options("decoder", nouns=len(found.nouns))
        self._keep_words(vocabulary)
        if naming is None:
            save_concepts(found, self.folder, data)
        return found

    def _build_engine(
        self,
        train: Sequence[Example],
        inputs: TrainingInputs,
        vocabulary: Vocabulary,
        naming: FittedConcepts | None,
        start: Checkpoint | None,
    ) -> tuple[TorchEngine, str]:
        """The model at its beginning; what there is to tell of it."""
        self._keep_words(vocabulary)
        decoder, told = build_decoder(
            self.recipe, self.encoder, vocabulary, naming=naming, start=start
        )
        if not start and hasattr(decoder, "adapt"):
            some = train[:: -(-len(train) // MEASURED)]
            decoder.adapt(inputs.encode(some, self.encoder))
        return TorchEngine(CaptionModel(self.encoder, decoder), self.recipe, vocabulary), told

    def _keep_words(self, vocabulary: Vocabulary) -> None:
        """Make the run's folder, or see that it has these words."""
        if not self.folder.exists():
            create_folder(self.folder, self.recipe, vocabulary)
        elif Vocabulary.load(self.folder / "vocabulary.txt") != vocabulary:
            raise DataError(f"the captions of {self._where} have changed since {self.folder} began")

    def _build_trainer(
        self, options: Training, train: Sequence[Example], *, steps_an_epoch: int
    ) -> Trainer:
        decoder, vocabulary = self.engine.model.decoder, self.engine.vocabulary
        unfreeze(self.encoder, stages=options.unfrozen_stages)
        shown = (
            self.encoder if options.unfrozen_stages else nn.Identity()
        )  # stored regions are seen already
        objective = build_objective(
            options,
            train,
            vocabulary,
            self.mixture,
            max_words=self.recipe.sections["search"]["max_words"],
        )
        return Trainer(
            CaptionModel(shown, decoder),
            options,
            objective,
            steps_an_epoch=steps_an_epoch,
            device=str(self.device),
        )

    def _check(self, given: dict[str, Any]) -> None:
        """A run goes on only with what it began with."""
        if given["data"] != self._data:
            raise DataError(f"{self._where} has changed since {self.folder} began")
        if given["encoder"] != self.encoder_hash:
            raise ModelError(f"{self.folder} began with other weights of its encoder")

    def _train(
        self,
        trainer: Trainer,
        events: Iterator[Step | EpochEnd],
        standing: _Standing,
        inputs: TrainingInputs,
        validation: Sequence[Example],
    ) -> Generator[Event]:
        saved, patience = time.monotonic(), max(1, trainer.options.patience)
        self._history = History(self.folder / HISTORY, standing.steps + trainer.step)
        try:
            while standing.epochs_since < patience and (event := next(events, None)):
                if isinstance(event, Step):
                    event = replace(event, number=standing.steps + event.number)
                    self._history.add(event)
                    yield event
                else:
                    shown = trainer.shown
                    encoder = shown.encoder if trainer.options.unfrozen_stages else self.encoder
                    self.engine.model = CaptionModel(encoder, shown.decoder)
                    validated = self._end_epoch(event, standing, inputs, validation)
                    problems = self._record(validated, standing.steps + trainer.step)
                    yield replace(validated, warnings=(*validated.warnings, *problems))
                if isinstance(event, EpochEnd) or time.monotonic() - saved >= self.save_every:
                    self._save(trainer, standing)
                    saved = time.monotonic()
        except GeneratorExit:  # whoever listens has had enough; a step is whole at every `yield`
            self._save(trainer, standing)
            raise
        finally:
            self._history.close()

    def _end_epoch(
        self,
        ended: EpochEnd,
        standing: _Standing,
        inputs: TrainingInputs,
        validation: Sequence[Example],
    ) -> Validated:
        """Score the epoch, and keep its weights if they are the best so far."""
        captions = self._caption(inputs, validation)
        pairs = list(zip(validation, captions, strict=True))
        predictions = {example.id: caption.text for example, caption in pairs}
        references = {example.id: example.captions for example in validation}
        report = metrics.score(predictions, references, partial=True) if len(pairs) > 1 else None
        score = report.scores[CHOSEN_BY] if report else None
        is_best = score is None or standing.best is None or score > standing.best
        is_best |= standing.best == score == 0  # words not learnt yet say nothing of the epoch
        epoch = standing.epochs + ended.epoch
        if is_best:
            standing.best, standing.epochs_since = score, 0
            card = self._card(epoch, ended.loss, report)
            save_model(self.folder, self.engine.model, self.engine.vocabulary, card)
        else:
            standing.epochs_since += 1
        samples = tuple(pairs[:: max(1, len(pairs) // SAMPLES)][:SAMPLES])
        warnings = (
            DegenerationStats.of([caption.words for caption in captions]).warnings
            if captions
            else ()
        )
        return Validated(epoch, ended.loss, report, samples, is_best, warnings)

    def _record(self, ended: Validated, step: int) -> tuple[str, ...]:
        """Keep what the epoch gave; what goes wrong is told, and the run goes on."""
        scores = ended.report.scores if ended.report else {}
        samples = tuple(Sample(str(e.image), c.text, e.captions) for e, c in ended.samples)
        epoch = Epoch(ended.epoch, step, ended.loss, scores, ended.is_best, samples)
        try:
            keep_epoch(self.folder, epoch)
            self._history.flush()
        except (CutlineError, OSError) as error:
            return (f"the epoch is not recorded: {error}",)
        return ()

    def _caption(self, inputs: TrainingInputs, examples: Sequence[Example]) -> list[Caption]:
        model = self.engine.model.eval()
        captions = []
        for start in range(0, len(examples), VALIDATION_BATCH):
            regions = inputs.encode(examples[start : start + VALIDATION_BATCH], model.encoder)
            captions += captions_of(self.engine.read(regions), self.engine.vocabulary)
        return captions

    def _save(self, trainer: Trainer, standing: _Standing) -> None:
        self._history.flush()
        given = {"data": self._data, "encoder": self.encoder_hash}
        state = {"trainer": trainer.state_dict(), "standing": asdict(standing), "given": given}
        save_resume(self.folder, state)

    def _card(self, epoch: int, loss: float, report: Report | None) -> dict[str, Any]:
        return {
            **{name: told for name, told in self.recipe.claim.items() if name != "expected"},
            "source": dict(self.recipe.sections["source"]),
            "data": self._data,
            **({"refusal": {"threshold": self._refusal}} if self._refusal else {}),
            **({"sources": list(self.mixture.sources)} if self.mixture.sources else {}),
            "scores": {"validation": report.as_json()} if report else {},
            "epoch": epoch + 1,
            "training_loss": loss,
            "command": self.command,
            "fingerprint": fingerprint(self.engine.model),
            "started_from": self.start.card.get("fingerprint") if self.start else None,
            "view": self.engine.view.as_dict(),
            "encoder": {"weights": self.weights, "sha256": self.encoder_hash},
            "versions": {
                "cutline": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
