"""The commands that make models: train, recipes, export, soup, import.

All but `recipes` need torch, which is imported late.
"""

import json
import sys
import tomllib
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import (
    Option,
    device_option,
    json_option,
    model_argument,
    out_option,
    overwrite_option,
    quiet_option,
    trust_option,
)
from cutline.cli.progress import Bars, note, stop_after_the_event, warn
from cutline.cli.terminal import echo
from cutline.errors import CutlineError, needs_training
from cutline.recipe import Recipe, find_recipe, list_recipes

if TYPE_CHECKING:
    from cutline.datasets.mixture import Places
    from cutline.models.checkpoint import Checkpoint
    from cutline.training.events import TrainingStarted, Validated
    from cutline.training.experiment import Experiment

FEW = 20
"""With fewer validation pictures, the scores of epochs differ mostly by chance."""


@click.command()
@click.argument("recipe", type=Path)
@click.option(
    "--data",
    multiple=True,
    required=True,
    help="The data set, in its original layout; NAME=PATH for each source of a mixed recipe.",
)
@click.option("--kind", help="Kind of data set [default: from the recipe].")
@out_option("Model folder [default: runs/RECIPE].")
@click.option("--weights", type=Path, help="Encoder weights [default: the built-in model's].")
@click.option(
    "--classifier",
    type=Path,
    help="Weights with the ImageNet classifier, for concepts [default: the encoder weights].",
)
@click.option(
    "--from",
    "start",
    cls=Option,
    former=["--start"],
    type=Path,
    help="Start from this model; `packaged` is the built-in one.",
)
@click.option("--cache", type=Path, help="Folder for encoded pictures [default: ~/.cache/cutline].")
@device_option
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between checkpoints.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.OPTION=VALUE",
    help="Override a recipe option, such as training.epochs=5; may be repeated.",
)
@trust_option
@quiet_option
def train(
    recipe: Path,
    data: tuple[str, ...],
    kind: str | None,
    out: Path | None,
    weights: Path | None,
    classifier: Path | None,
    start: Path | None,
    cache: Path | None,
    device: str,
    save_every: float,
    overrides: tuple[str, ...],
    trust: bool,
) -> None:
    """Train a captioner. Run the same command again to resume after an interruption.

    RECIPE is a TOML file or a built-in recipe, as `cutline recipes` lists them. A recipe that names
    third-party code (`kind = "my_module:MyDecoder"`) needs --trust.

    With --from, training starts from the encoder, decoder and vocabulary of a model. New words are
    added, and sections missing from the recipe are taken from the model.
    """
    with needs_training():
        from cutline.inference.captioner import PACKAGED
        from cutline.models.checkpoint import read_model
        from cutline.training.experiment import Experiment
    from cutline.datasets.mixture import locate

    path = find_recipe(recipe)
    folder = out or Path("runs") / path.stem
    model = read_model(PACKAGED if str(start) == "packaged" else start) if start else None
    wanted = Recipe.read(
        path,
        kind=kind,
        model=model.recipe if model else None,
        overrides=overrides,
        trust=trust,
    )
    places = locate(wanted, data)
    experiment = Experiment(
        wanted,
        places,
        folder,
        weights=weights,
        classifier=classifier,
        start=model,
        cache=cache,
        device=device,
        save_every=save_every,
        command=f"cutline train recipes/{path.name}{_data_arguments(places)}"
        + _other_arguments(
            overrides, kind=kind, weights=weights, classifier=classifier, start=start
        ),
    )
    if code := _run(experiment):
        note(f"stopped: run the same command to resume ({folder})")
        sys.exit(code)
    _export(folder, folder / "model.onnx", "fp32", trust=wanted.names_code)
    note(f"done; try `cutline caption --model {quote(str(folder))} PICTURE`")


def _other_arguments(overrides: tuple[str, ...], *, start: Path | None, **given: Any) -> str:
    """The other options that determine the result, as the card records them."""
    names = {
        name: getattr(value, "name", value) for name, value in (*given.items(), ("from", start))
    }
    arguments = [f" --{name} {value}" for name, value in names.items() if value]
    return "".join([*arguments, *(f" --set {quote(each)}" for each in overrides)])


@click.command()
@json_option("titles by name")
@quiet_option
def recipes(as_json: bool) -> None:
    """List the built-in recipes, which `cutline train` takes by name."""
    titles = {
        name: tomllib.loads(path.read_text(encoding="utf8")).get("title", "")
        for name, path in list_recipes().items()
    }
    if as_json:
        echo(json.dumps(titles, indent=2))
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        echo(f"{name:{width}}  {title}")


def _data_arguments(places: "Places") -> str:
    """`--data` as the card records it: only the last part of each path, nothing of the machine."""
    if isinstance(places, Path):
        return f" --data {quote(places.resolve().name)}"
    named = (f"{name}={path.resolve().name}" for name, path in places.items())
    return "".join(f" --data {quote(each)}" for each in named)


def _run(experiment: "Experiment") -> int:
    """Run a training and show its progress; returns the exit code, 0 if it finished."""
    from cutline.training.events import Notice, TrainingStarted, Validated
    from cutline.training.feature_store import Encoded
    from cutline.training.trainer import Step

    events, steps, bars = experiment.run(), 0, Bars()
    with stop_after_the_event() as stop:
        for event in events:
            match event:
                case Encoded(done=done, total=total, damaged=damaged):
                    for sentence in damaged:
                        warn(f"left out: {sentence}")
                    bars.show("encoding", done, total)
                case Notice(sentence=sentence):
                    note(sentence)
                case TrainingStarted():
                    steps = event.steps
                    _show_start(experiment.folder, event)
                case Step(number=number, loss=loss):
                    bars.show("step", number, steps, f"loss {loss:.3f}")
                case Validated():
                    _show_epoch(event)
                    _draw_page(experiment.folder)
            if stop.is_set():
                events.close()
                bars.close()
                return stop.code
    return 0


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
    shown = "  ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
    note(f"epoch {event.epoch + 1}  loss {event.loss:.3f}  {shown}{'  *' * event.is_best}")
    for warning in event.warnings:
        note(f"    warning: {warning}")
    for example, caption in event.samples:
        note(f"    {example.image.name}: {caption.text}")


@click.command()
@model_argument
@out_option("The file [default: model.onnx in the folder].")
@overwrite_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16 is smaller, int8 smaller and faster.",
)
@click.option(
    "--data",
    type=Path,
    help="The training data: calibrates int8, and measures the cost in CIDEr-D.",
)
@trust_option
@quiet_option
def export(
    model: Path,
    out: Path | None,
    overwrite: bool,
    precision: str,
    data: Path | None,
    trust: bool,
) -> None:
    """Export a model folder to one ONNX file: pixels in, captions out, no torch needed."""
    from cutline.io.outputs import require_output

    out = out or model / "model.onnx"
    own = [path for path in model.glob("*") if path.name != "model.onnx"]
    require_output(out, (data, *(own or [model])), overwrite=overwrite)
    _export(model, out, precision, data, trust=trust)


def _export(
    model: Path, out: Path, precision: Any, data: Path | None = None, *, trust: bool
) -> None:
    with needs_training():
        from cutline.models.checkpoint import read_model
        from cutline.models.onnx_export import calibration_batches, export
    from cutline.cli.evaluate import find_examples

    checkpoint = read_model(model, trust=trust)
    if data:
        find_examples(checkpoint.card, data, None, "validation")  # fails early if there are none
    pixels = calibration_batches(checkpoint, data) if data else ()
    export(checkpoint, out, precision=precision, pixels=pixels)
    note(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {precision}")
    if data and precision != "fp32":
        _record_cost(checkpoint, out, precision, data)


def _record_cost(checkpoint: "Checkpoint", out: Path, precision: str, data: Path) -> None:
    """Record in the card what the lower precision costs on validation."""
    from cutline.cli.evaluate import score_model
    from cutline.models.onnx_export import export, record

    split, metric = "validation", "CIDEr-D"
    with TemporaryDirectory() as folder:
        exact = Path(folder) / "fp32.onnx"
        export(checkpoint, exact)
        scores = {
            name: score_model(path, data, split).scores[metric]
            for name, path in (("fp32", exact), (precision, out))
        }
    record(out, {"precision_cost": {"split": split, "metric": metric, **scores}})
    shown = ", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items())
    note(f"{metric} on {split}: {shown}")


@click.command()
@click.argument("models", type=Path, nargs=-1, required=True)
@out_option("The new model folder.", required=True)
@quiet_option
def soup(models: tuple[Path, ...], out: Path) -> None:
    """Average the weights of several models with the same architecture (model soup)."""
    with needs_training():
        from cutline.models.averaging import mix, save
        from cutline.models.checkpoint import read_model
    save(mix([read_model(model) for model in models]), out)
    note(f"{out}: the mean of {len(models)} models; `cutline evaluate -m {out}` scores it")


@click.command("import")
@click.argument("encoder", type=Path)
@click.argument("decoder", type=Path)
@click.argument("vocabulary", type=Path)
@out_option("The new model folder.", required=True)
@click.option(
    "--fit",
    type=click.Choice(["crop", "squash"]),
    default="crop",
    show_default=True,
    help="How training pictures were made square.",
)
@quiet_option
def adopt(encoder: Path, decoder: Path, vocabulary: Path, out: Path, fit: str) -> None:
    """Import a model of the classic image captioning projects.

    ENCODER and DECODER are saved state dictionaries (encoder-5.pkl, decoder-5.pkl), VOCABULARY is
    their vocab.pkl. No code in these files is executed.
    """
    with needs_training():
        from cutline.models.legacy import adopt, save
    from cutline.models.legacy_vocabulary import read_vocabulary

    adopted = adopt(encoder, decoder, read_vocabulary(vocabulary), fit=fit)
    for match in adopted.matches:
        note(match)
    command = f"cutline import {encoder.name} {decoder.name} {vocabulary.name} --fit {fit}"
    save(adopted, out, command)
    note(f"{out}: `cutline export {out}` makes it one file that needs no torch")
