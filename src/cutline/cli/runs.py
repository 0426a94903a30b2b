"""What the commands share that train from a recipe: options, the run itself, its progress.

torch is imported late.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import (
    Option,
    device_option,
    quiet_option,
    skip_bad_option,
    trust_option,
)
from cutline.cli.progress import Bars, note, stop_after_the_event, warn
from cutline.datasets.validation import Readable
from cutline.errors import CutlineError, needs_training
from cutline.recipe import Recipe, find_recipe

if TYPE_CHECKING:
    from cutline.datasets.mixture import Places
    from cutline.training.events import TrainingStarted, Validated
    from cutline.training.experiment import Event, Experiment
    from cutline.training.logs import Log

FEW = 20
"""With fewer validation pictures, the scores of epochs differ mostly by chance."""


@dataclass(frozen=True)
class RunOptions:
    """The options of a command that trains."""

    recipe: Path
    data: tuple[str, ...]
    kind: str | None
    weights: Path | None
    classifier: Path | None
    start: Path | None
    cache: Path | None
    device: str
    save_every: float
    overrides: tuple[str, ...]
    epochs: int | None
    logs: tuple[str, ...]
    skip_bad: bool
    trust: bool


_OPTIONS = (
    click.argument("recipe", type=Path),
    click.option(
        "--data",
        multiple=True,
        required=True,
        help="The data set, in its original layout; NAME=PATH for each source of a mixed recipe.",
    ),
    click.option("--kind", help="Kind of data set [default: from the recipe]."),
    click.option("--weights", type=Path, help="Encoder weights [default: the built-in model's]."),
    click.option(
        "--classifier",
        type=Path,
        help="Weights with the ImageNet classifier, for concepts [default: the encoder weights].",
    ),
    click.option(
        "--from",
        "start",
        cls=Option,
        former=["--start"],
        type=Path,
        help="Start from this model; `packaged` is the built-in one.",
    ),
    click.option(
        "--cache", type=Path, help="Folder for encoded pictures [default: ~/.cache/cutline]."
    ),
    device_option,
    click.option(
        "--save-every", default=60.0, show_default=True, help="Seconds between checkpoints."
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.OPTION=VALUE",
        help="Override a recipe option, such as training.epochs=5; may be repeated.",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(min=1),
        help="Epochs of the recipe's last training; more than before continue a finished run.",
    ),
    click.option(
        "--log",
        "logs",
        multiple=True,
        type=click.Choice(["csv", "tensorboard"]),
        help="Also write log.csv, or TensorBoard's files, in the model folder; may be repeated.",
    ),
    skip_bad_option,
    trust_option,
    quiet_option,
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that trains, passed on as one `RunOptions`."""
    names = {field.name for field in fields(RunOptions)}

    @wraps(command)
    def bundled(**given: Any) -> Any:
        options = RunOptions(**{name: given.pop(name) for name in names})
        return command(options=options, **given)

    for option in reversed(_OPTIONS):
        bundled = option(bundled)
    return bundled


def open_experiment(
    options: RunOptions, folder: Path, overrides: Sequence[str] = ()
) -> "Experiment":
    """The run in `folder`, with further overrides of the recipe."""
    with needs_training():
        from cutline.inference.captioner import PACKAGED
        from cutline.models.checkpoint import read_model
        from cutline.training.experiment import Experiment
    from cutline.datasets.mixture import locate

    path, start = find_recipe(options.recipe), options.start
    model = read_model(PACKAGED if str(start) == "packaged" else start) if start else None
    chosen = (*options.overrides, *overrides)
    recipe = Recipe.read(
        path,
        kind=options.kind,
        model=model.recipe if model else None,
        overrides=chosen,
        epochs=options.epochs,
        trust=options.trust,
    )
    places = locate(recipe, options.data)
    is_folder = not recipe.mixed and recipe.sections["source"]["kind"] == "folder"
    if is_folder and isinstance(places, Path) and places.is_file():
        _note_what_is_used(recipe.build("source", places))
    return Experiment(
        recipe,
        places,
        folder,
        weights=options.weights,
        classifier=options.classifier,
        start=model,
        cache=options.cache,
        device=options.device,
        save_every=options.save_every,
        skip_bad=options.skip_bad,
        command=f"cutline train recipes/{path.name}{_data_arguments(places)}"
        + _other_arguments(
            chosen,
            kind=options.kind,
            weights=options.weights,
            classifier=options.classifier,
            epochs=options.epochs,
            start=start,
        ),
    )


def _note_what_is_used(source: Any) -> None:
    """Say how many captions of a file of `cutline caption` are a person's, and what is left out."""
    if isinstance(source, Readable):
        for problem in source.read().problems[:1]:
            note(str(problem))


def _other_arguments(overrides: tuple[str, ...], *, start: Path | None, **given: Any) -> str:
    """The other options that determine the result, as the card records them."""
    names = {
        name: getattr(value, "name", value) for name, value in (*given.items(), ("from", start))
    }
    arguments = [f" --{name} {value}" for name, value in names.items() if value]
    return "".join([*arguments, *(f" --set {quote(each)}" for each in overrides)])


def _data_arguments(places: "Places") -> str:
    """`--data` as the card records it: only the last part of each path, nothing of the machine."""
    if isinstance(places, Path):
        return f" --data {quote(places.resolve().name)}"
    named = (f"{name}={path.resolve().name}" for name, path in places.items())
    return "".join(f" --data {quote(each)}" for each in named)


def run(experiment: "Experiment", logs: Sequence[str] = ()) -> int:
    """Run a training and show its progress; returns the exit code, 0 if it finished."""
    from cutline.training import distributed
    from cutline.training.events import TrainingStarted
    from cutline.training.logs import LOGS

    is_first = distributed.is_first()  # the only process that shows anything
    opened = [LOGS[name](experiment.folder) for name in logs if is_first]
    events, steps, bars = _logged(experiment.run(), opened), 0, Bars(lines=True)
    with stop_after_the_event() as stop:
        for event in events:
            if isinstance(event, TrainingStarted):
                steps = event.steps
            if is_first:
                _show(event, experiment.folder, steps, bars)
            if distributed.is_any(stop.is_set()):
                events.close()
                bars.close()
                return stop.code
    return 0


def _show(event: "Event", folder: Path, steps: int, bars: Bars) -> None:
    """Show one event; `steps` is the number of all steps."""
    from cutline.training.events import Notice, TrainingStarted, Validated
    from cutline.training.feature_store import Encoded
    from cutline.training.trainer import Step

    match event:
        case Encoded(done=done, total=total, damaged=damaged):
            for sentence in damaged:
                warn(f"left out: {sentence}")
            bars.show("encoding", done, total)
        case Notice(sentence=sentence):
            note(sentence)
        case TrainingStarted():
            _show_start(folder, event)
        case Step(number=number, loss=loss):
            bars.show("step", number, steps, f"loss {loss:.3f}")
        case Validated():
            _show_epoch(event)
            _draw_page(folder)


def _logged(events: Generator["Event"], logs: Sequence["Log"]) -> Generator["Event"]:
    """The events of a run, each added to the logs; closes the run and the logs at the end."""
    try:
        for event in events:
            for log in logs:
                log.add(event)
            yield event
    finally:
        events.close()
        for log in logs:
            log.close()


def _show_start(folder: Path, begun: "TrainingStarted") -> None:
    counts = ", ".join(f"{n} {split}" for split, n in begun.pictures.items())
    which = f", training {begun.training} of {begun.trainings}" if begun.trainings > 1 else ""
    resumed = f", resuming after step {begun.step}" if begun.step else ""
    note(f"{folder}: {counts} pictures, {begun.words} words{which}{resumed}")
    validation = begun.pictures["validation"]
    if validation < 2:
        note(f"    warning: with {validation} validation pictures, the last epoch is kept")
    elif validation < FEW:
        note(
            f"    warning: with {validation} validation pictures, the best epoch is chosen almost "
            "at random; add a `split` column to the captions file to get more"
        )


def _draw_page(folder: Path) -> None:
    """Draw the page of the training so far; a failure does not stop the training."""
    from cutline.reports.training import write_training_report

    try:
        write_training_report(folder)
    except (CutlineError, OSError) as error:
        warn(f"the page of this training was not updated: {error}")


def _show_epoch(event: "Validated") -> None:
    scores = event.report.scores if event.report else {}
    losses = {"loss": event.loss, "validation loss": event.validation_loss}
    shown = [f"{name} {value:.3f}" for name, value in losses.items() if value is not None]
    shown += [f"{name} {100 * value:.1f}" for name, value in scores.items()]
    start = "  (the model to start from)" if event.loss is None else ""
    note("  ".join([f"epoch {event.epoch + 1}", *shown]) + "  *" * event.is_best + start)
    for warning in event.warnings:
        note(f"    warning: {warning}")
    for example, caption in event.samples:
        note(f"    {example.image.name}: {caption.text}")
