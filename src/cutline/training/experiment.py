"""A whole run: a recipe and data in, a model folder out, events on the way.

A run is one training or several in sequence; each continues from the best epoch of the previous
one. Calling `run` again resumes a run that was stopped or killed: `resume.pt` is replaced
atomically every so often, and everything after the last save is repeated to the last bit. Nothing
here prints or draws.
"""

import platform
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cutline.datasets.mixture import Mixture, Places, describe_places, read_mixture
from cutline.errors import CutlineError, DataError, ModelError, TrainingError
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
    save_recipe,
    save_resume,
)
from cutline.models.device import resolve_device
from cutline.models.weights import CaptionModel, fingerprint, load_weights, part_of, unfreeze
from cutline.recipe import Recipe
from cutline.text.vocabulary import Vocabulary
from cutline.training import distributed
from cutline.training.batch_inputs import (
    CachedFeatures,
    EncoderInput,
    OnlinePixels,
    TrainingInputs,
    explain_unflipped,
)
from cutline.training.concept_fitting import FittedConcepts, read_concepts, save_concepts
from cutline.training.events import Notice, TrainingStarted, Validated
from cutline.training.feature_store import Encoded
from cutline.training.history import (
    HISTORY,
    Epoch,
    History,
    Progress,
    Sample,
    describe_left_out,
    keep_epoch,
    keep_left_out,
)
from cutline.training.initialization import (
    FeaturePooler,
    build_decoder,
    build_vocabulary,
    check_parts,
    describe_data,
    describe_weights,
    extend_epochs,
    find_classifier,
    is_same_recipe,
    load_encoder,
    prepare_concepts,
    uses_concepts,
)
from cutline.training.multi_source import build_objective, plan_mixture
from cutline.training.trainer import EpochEnd, Plan, Step, Trainer, Training
from cutline.training.validation import CHOSEN_BY, describe_kept, validate
from cutline.types import SPLITS, Example, Report
from cutline.version import __version__

SAMPLES = 3
"""Validation images whose captions are part of `Validated`."""
STATISTICS_IMAGES = 8_000
"""Training images used to estimate the features' mean and standard deviation (all of COCO would
need 23 GB)."""


Event = Encoded | TrainingStarted | Step | Validated | Notice


@dataclass(frozen=True)
class _Data:
    """What the recipe's sources hold, and its hash."""

    mixture: Mixture
    fingerprint: str


@dataclass(frozen=True)
class _Stage:
    """One training of the run, ready to start."""

    trainer: Trainer
    plan: Plan
    engine: TorchEngine
    inputs: TrainingInputs
    validation: Sequence[Example]
    card: Mapping[str, Any]
    """The entries of the model's card that describe its data."""
    progress: Progress


class Experiment:
    """A run of a recipe, which produces the model in `folder`.

    `data` is a path or, for a recipe with several sources, a path for each source's name. `weights`
    is a file with the encoder's weights (default: those of the packaged model). `start` is a model
    to continue from: its encoder, decoder and vocabulary, extended by new words. `classifier` is a
    file with ImageNet's classifier, for a decoder with concepts (default: the one in `weights` or
    in the model). `device` is a name that `resolve_device` accepts, `save_every` is in seconds.
    `skip_bad` leaves out invalid data instead of raising `DataError`.

    A run of the same recipe with fewer epochs of the last training is continued. In several
    processes (`distributed.joined`), each calls `run` and gets the same events, but process 0 alone
    writes the folder, and only its `Validated` have scores.

    Raises `ModelError` if `folder` holds a run of another recipe, and `TrainingError` if a launcher
    started several processes that have not joined.
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
        skip_bad: bool = False,
    ) -> None:
        distributed.require_joined()
        self._extended: Recipe | None = None
        if folder.exists():
            before = read_recipe(folder, trust=recipe.names_code)
            self._extended = extend_epochs(before, recipe)
            if not is_same_recipe(self._extended or before, recipe):
                raise ModelError(
                    f"{folder} holds a run of another recipe; choose another folder with --out"
                )
        check_parts(recipe)
        self.recipe, self.data, self.folder = recipe, data, folder
        self.device = resolve_device(distributed.device_of_process(device))
        self.save_every, self.command, self.skip_bad = save_every, command, skip_bad
        self.trainings: list[Training] = recipe.trainings
        self.start = start
        self.encoder = load_encoder(recipe, weights, start).to(self.device)
        self.encoder_hash = fingerprint(self.encoder)
        self.weights = describe_weights(self.encoder, weights, start)
        self._find_classifier = partial(
            find_classifier, self.encoder, named=classifier, weights=weights, start=start
        )
        cache = cache or Path.home() / ".cache" / "cutline"
        self._encoder_input = EncoderInput(self.encoder, recipe.build("view"), cache)
        self._places = describe_places(data)

    def run(self) -> Generator[Event]:
        """Train to the end, yielding events. Closing the iterator saves the run's state.

        Raises `TrainingError` if the disk is full or gone (the same call then resumes), or if
        another process trains in the same folder.
        """
        lock = self.folder.with_name(f".{self.folder.name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            with try_lock(lock) if distributed.is_first() else nullcontext(True) as alone:
                if not alone:
                    raise TrainingError(
                        f"another cutline process is training in {self.folder}: wait for it to "
                        "finish, or choose another folder with --out"
                    )
                yield from self._run()
        except OSError as error:
            path, reason = error.filename or self.folder, error.strerror or error
            raise TrainingError(
                f"{path} cannot be written or read: {reason}; everything saved so far is intact, "
                "and the same command resumes the run"
            ) from None

    def _run(self) -> Generator[Event]:
        mixture = read_mixture(self.recipe, self.data, skip_bad=self.skip_bad)
        if mixture.left_out:
            yield Notice(describe_left_out(mixture.left_out, self.folder))
        data = _Data(mixture, mixture.fingerprint())
        remove_partial_files(self.folder)
        state = read_resume(self.folder)
        distributed.gather()  # all have read it before process 0 writes
        if self._extended:
            self._extend(self._extended, state)
        progress = Progress(**state["standing"]) if state else Progress()
        while progress.training < len(self.trainings):
            stage = yield from self._prepare(data, progress, state)
            if mixture.left_out and distributed.is_first():
                keep_left_out(mixture.left_out, self.folder)
            yield from self._train(stage)
            progress.steps += stage.trainer.step
            progress.epochs += stage.trainer.epoch
            progress.training, progress.epochs_since, state = progress.training + 1, 0, None
        if progress.best_epoch == -1:
            yield Notice(describe_kept(progress.best))

    def _extend(self, recipe: Recipe, state: dict[str, Any] | None) -> None:
        """Record that the run in the folder gets more epochs, also if patience had ended it."""
        if state:
            state["standing"]["epochs_since"] = 0
            state["trainer"].get("schedule", {}).update(began=None)
        if state and distributed.is_first():
            save_resume(self.folder, state)
        if distributed.is_first():
            save_recipe(self.folder, recipe)

    def _prepare(
        self, data: _Data, progress: Progress, state: dict[str, Any] | None
    ) -> Generator[Event, None, _Stage]:
        """Read the images, build the model, and restore the state of a resumed run."""
        number, options = progress.training, self.trainings[progress.training]
        best = read_model(self.folder, trust=True) if number else None
        if best:
            load_weights(self.encoder, part_of(best.tensors, "encoder"), self.folder)
        kind = OnlinePixels if options.unfrozen_stages else CachedFeatures
        inputs: TrainingInputs = kind(self._encoder_input, options)
        splits = {s: [e for e in data.mixture.examples if e.split == s] for s in SPLITS}
        yield from inputs.prepare(splits["train"], splits["validation"])
        train, validation = (inputs.keep_readable(splits[s]) for s in ("train", "validation"))
        if not train:
            raise DataError(f"{self._places} has no training pictures that can be read")
        start = best or self.start
        vocabulary = build_vocabulary(self.recipe, train, data.mixture, start)
        concepts = None
        if uses_concepts(self.recipe):
            concepts = yield from self._fit_concepts(
                data, train, validation, inputs, vocabulary, options
            )
        found = concepts.found if concepts and options.objective != "self-critical" else ()
        yield from inputs.prepare(found, ())
        if lost := len(found) - len(inputs.keep_readable(found)):
            raise DataError(
                f"{lost} of the labelled photographs that the run in {self.folder} started with "
                "can no longer be read"
            )
        torch.manual_seed(options.seed)
        engine, notice = self._build_engine(train, inputs, vocabulary, concepts, start)
        notices = (notice, explain_unflipped(train, options)) if not best else ()
        yield from (Notice(sentence) for sentence in notices if sentence)
        plan = plan_mixture(inputs, [*train, *found], vocabulary, options, data.mixture, concepts)
        trainer = self._build_trainer(
            options, engine, train, data.mixture, steps_an_epoch=len(plan(0))
        )
        counts = dict(zip(SPLITS, map(len, (train, validation, splits["test"])), strict=True))
        card = describe_data(data.mixture, data.fingerprint, counts, concepts)
        if state:
            self._check(state["given"], card)
            trainer.load_state_dict(state["trainer"])
        distributed.require_equal([card["data"], trainer.steps, trainer.step], "the run to resume")
        distributed.spread(trainer.model)
        yield TrainingStarted(
            counts,
            len(vocabulary),
            progress.steps + trainer.step,
            progress.steps + trainer.steps,
            number + 1,
            len(self.trainings),
        )
        return _Stage(trainer, plan, engine, inputs, validation, card, progress)

    def _fit_concepts(
        self,
        data: _Data,
        train: Sequence[Example],
        validation: Sequence[Example],
        inputs: TrainingInputs,
        vocabulary: Vocabulary,
        options: Training,
    ) -> Generator[Event, None, FittedConcepts]:
        """The concepts of the run, fitted once and kept in its folder."""
        origin = f"{len(train)} of {data.fingerprint}"
        known = read_concepts(self.folder, origin)
        concepts = known or (
            yield from prepare_concepts(
                self.recipe,
                train,
                validation,
                vocabulary,
                data.mixture,
                FeaturePooler(inputs, self._encoder_input, options),
                options,
                classifier=self._find_classifier,
                start=self.start,
            )
        )
        self.recipe = self.recipe.with_options("decoder", nouns=len(concepts.nouns))
        self._create_folder(vocabulary)
        if known is None and distributed.is_first():
            save_concepts(concepts, self.folder, origin)
        distributed.gather()
        return (
            concepts if distributed.is_first() else read_concepts(self.folder, origin) or concepts
        )

    def _build_engine(
        self,
        train: Sequence[Example],
        inputs: TrainingInputs,
        vocabulary: Vocabulary,
        concepts: FittedConcepts | None,
        start: Checkpoint | None,
    ) -> tuple[TorchEngine, str]:
        """The model before its first step, and a sentence about it for the user, if any."""
        self._create_folder(vocabulary)
        decoder, notice = build_decoder(
            self.recipe, self.encoder, vocabulary, concepts=concepts, start=start
        )
        if not start and hasattr(decoder, "adapt"):
            some = train[:: -(-len(train) // STATISTICS_IMAGES)]
            decoder.adapt(inputs.encode(some, self.encoder))
        return TorchEngine(CaptionModel(self.encoder, decoder), self.recipe, vocabulary), notice

    def _create_folder(self, vocabulary: Vocabulary) -> None:
        """Create the run's folder, or check that the existing one has this vocabulary."""
        if not self.folder.exists() and distributed.is_first():
            create_folder(self.folder, self.recipe, vocabulary)
        distributed.gather()
        path, language = self.folder / "vocabulary.txt", self.recipe.language
        if Vocabulary.load(path, language=language) != vocabulary:
            raise DataError(
                f"the captions of {self._places} have changed since the run in {self.folder} "
                "started"
            )

    def _build_trainer(
        self,
        options: Training,
        engine: TorchEngine,
        train: Sequence[Example],
        mixture: Mixture,
        *,
        steps_an_epoch: int,
    ) -> Trainer:
        unfreeze(self.encoder, stages=options.unfrozen_stages)
        # cached features have been through the encoder already
        encoder = self.encoder if options.unfrozen_stages else nn.Identity()
        objective = build_objective(
            options,
            train,
            engine.vocabulary,
            mixture,
            max_words=self.recipe.sections["search"]["max_words"],
        )
        return Trainer(
            CaptionModel(encoder, engine.model.decoder),
            options,
            objective,
            steps_an_epoch=steps_an_epoch,
            device=str(self.device),
        )

    def _check(self, given: Mapping[str, Any], card: Mapping[str, Any]) -> None:
        """A run resumes only with the data and the encoder that it started with."""
        if given["data"] != card["data"]:
            raise DataError(f"{self._places} has changed since the run in {self.folder} started")
        if given["encoder"] != self.encoder_hash:
            raise ModelError(f"the run in {self.folder} started with other weights of its encoder")

    def _train(self, stage: _Stage) -> Generator[Event]:
        trainer, progress = stage.trainer, stage.progress
        events, saved = trainer.run(stage.plan), time.monotonic()
        file = self.folder / HISTORY if distributed.is_first() else None
        history = History(file, progress.steps + trainer.step)
        try:
            if self.start and not trainer.step and progress == Progress():
                yield from self._score_start(stage, history)
            while trainer.goes_on(progress.epochs_since) and (event := next(events, None)):
                if isinstance(event, Step):
                    event = replace(event, number=progress.steps + event.number)
                    history.add(event)
                    yield event
                else:
                    yield self._end_epoch(event, stage, history)
                is_due = distributed.is_first() and time.monotonic() - saved >= self.save_every
                if isinstance(event, EpochEnd) or distributed.is_any(is_due):
                    self._save(stage, history)
                    distributed.gather()
                    saved = time.monotonic()
        except GeneratorExit:  # the caller closed the iterator: at every `yield` a step is complete
            self._save(stage, history)
            raise
        finally:
            history.close()

    def _score_start(self, stage: _Stage, history: History) -> Generator[Event]:
        """Score the model that training starts from, which is kept unless an epoch beats it."""
        if len(stage.validation) > 1:
            yield self._end_epoch(EpochEnd(-1, None), stage, history)
            self._save(stage, history)

    def _end_epoch(self, ended: EpochEnd, stage: _Stage, history: History) -> Validated:
        """Caption and score the validation split; save the weights if they are the best so far."""
        model, progress = stage.trainer.validation_model, stage.progress
        encoder = model.encoder if stage.trainer.options.unfrozen_stages else self.encoder
        stage.engine.model = CaptionModel(encoder, model.decoder).eval()
        distributed.require_equal_weights(stage.trainer.model, progress.epochs + ended.epoch)
        captions, report, loss = validate(stage.engine, stage.inputs, stage.validation)
        pairs = list(zip(stage.validation, captions, strict=True))
        [score, *_] = distributed.gather(report.scores[CHOSEN_BY] if report else None)
        is_best = score is None or progress.best is None or score > progress.best
        is_best |= progress.best == score == 0  # a model that has not learnt yet: keep the latest
        epoch = progress.epochs + ended.epoch
        if is_best:
            progress.best, progress.best_epoch, progress.epochs_since = score, epoch, 0
            card = self._card(stage, epoch, ended.loss, report)
            if distributed.is_first():
                save_model(self.folder, stage.engine.model, stage.engine.vocabulary, card)
        else:
            progress.epochs_since += 1
        stage.trainer.schedule.note_epoch(is_best=is_best)
        samples = tuple(pairs[:: max(1, len(pairs) // SAMPLES)][:SAMPLES])
        warnings = (
            DegenerationStats.of([caption.words for caption in captions]).warnings
            if captions
            else ()
        )
        validated = Validated(
            epoch, ended.loss, report, samples, is_best, warnings, ended.unsmoothed_loss, loss
        )
        problems = self._record(validated, history, progress.steps + stage.trainer.step)
        return replace(validated, warnings=(*warnings, *problems))

    def _record(self, ended: Validated, history: History, step: int) -> tuple[str, ...]:
        """Write the epoch to disk; a failure becomes a warning, and the run continues."""
        scores = ended.report.scores if ended.report else {}
        samples = tuple(Sample(str(e.image), c.text, e.captions) for e, c in ended.samples)
        losses = (ended.unsmoothed_loss, ended.validation_loss)
        epoch = Epoch(ended.epoch, step, ended.loss, scores, ended.is_best, samples, *losses)
        try:
            if distributed.is_first():
                keep_epoch(self.folder, epoch)
            history.flush()
        except (CutlineError, OSError) as error:
            return (f"the epoch is not recorded: {error}",)
        return ()

    def _save(self, stage: _Stage, history: History) -> None:
        history.flush()
        state = {
            "trainer": stage.trainer.state_dict(),
            "standing": asdict(stage.progress),
            "given": {"data": stage.card["data"], "encoder": self.encoder_hash},
        }
        if distributed.is_first():
            save_resume(self.folder, state)

    def _card(
        self, stage: _Stage, epoch: int, loss: float | None, report: Report | None
    ) -> dict[str, Any]:
        return {
            **{name: value for name, value in self.recipe.claim.items() if name != "expected"},
            "language": self.recipe.language,
            "source": dict(self.recipe.sections["source"]),
            **stage.card,
            "scores": {"validation": report.as_json()} if report else {},
            "epoch": epoch + 1,
            "training_loss": loss,
            "command": self.command,
            "fingerprint": fingerprint(stage.engine.model),
            "started_from": self.start.card.get("fingerprint") if self.start else None,
            "view": stage.engine.view.as_dict(),
            "encoder": {"weights": self.weights, "sha256": self.encoder_hash},
            "versions": {
                "cutline": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
