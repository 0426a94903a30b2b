"""The commands that make models: train, export, soup, import; and recipes, which lists some.

All but the last need torch, which is imported late.
"""

import sys
import tomllib
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import overwrite_option
from cutline.cli.progress import Bars, say, stop_after_the_event
from cutline.cli.terminal import echo
from cutline.errors import CutlineError, needs_training
from cutline.recipe import Recipe, find_recipe, list_recipes

if TYPE_CHECKING:
    from cutline.datasets.mixture import Places
    from cutline.models.checkpoint import Checkpoint
    from cutline.training.events import TrainingStarted, Validated
    from cutline.training.experiment import Experiment

FEW = 20
"""Fewer validation pictures hardly tell one epoch from another."""


@click.command()
@click.argument("recipe", type=Path)
@click.option(
    "--data",
    multiple=True,
    required=True,
    help="The data, as its owner has it; of a recipe that mixes sources NAME=PATH, for each.",
)
@click.option("--kind", help="What data it is [default: what the recipe says].")
@click.option("-o", "--out", type=Path, help="Model folder [default: runs/NAME OF THE RECIPE].")
@click.option("--weights", type=Path, help="The encoder's weights [default: the built-in model's].")
@click.option(
    "--classifier",
    type=Path,
    help="Weights with ImageNet's classifier, for concepts [default: those of the encoder].",
)
@click.option("--from", "--start", "start", type=Path, help="Start from this model, or `packaged`.")
@click.option("--cache", type=Path, help="Where encoded pictures are kept [~/.cache/cutline].")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between savings.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.OPTION=VALUE",
    help="Change an option of the recipe, such as training.epochs=5; may be repeated.",
)
@click.option("--trust", is_flag=True, help="Run code of its author's own that RECIPE names.")
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
    """Train a captioner. The same command goes on with a run that was stopped or killed.

    RECIPE is a TOML file, or the name of one of the package's own (`cutline recipes`). One that
    names code (`kind = "my_module:MyDecoder"`) runs it, and so needs --trust.

    With --from, training goes on with a model's encoder, decoder and vocabulary, to which the words
    that are new are added; what the recipe does not say of these parts is as in that model.
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
        command=f"cutline train recipes/{path.name}{_tell_places(places)}"
        + _tell_options(overrides, kind=kind, weights=weights, classifier=classifier, start=start),
    )
    if code := _run(experiment):
        say(f"stopped; the same command goes on from here ({folder})")
        sys.exit(code)
    _export(folder, folder / "model.onnx", "fp32", trust=wanted.names_code)
    say(f"done: `cutline caption --model {quote(str(folder))} PICTURE` runs it")


def _tell_options(overrides: tuple[str, ...], *, start: Path | None, **given: Any) -> str:
    """The other options that decide what is learnt, as the card has them."""
    names = {
        name: getattr(value, "name", value) for name, value in (*given.items(), ("from", start))
    }
    told = [f" --{name} {value}" for name, value in names.items() if value]
    return "".join([*told, *(f" --set {quote(each)}" for each in overrides)])


@click.command()
def recipes() -> None:
    """List the recipes of the package, which `cutline train` takes by name."""
    known = list_recipes()
    width = max(map(len, known))
    for name, path in known.items():
        told = tomllib.loads(path.read_text(encoding="utf8"))
        echo(f"{name:{width}}  {told.get('title', '')}")


def _tell_places(places: "Places") -> str:
    """`--data` as the card has it: no path of anybody's machine, only the last name."""
    if isinstance(places, Path):
        return f" --data {quote(places.resolve().name)}"
    named = (f"{name}={path.resolve().name}" for name, path in places.items())
    return "".join(f" --data {quote(each)}" for each in named)


def _run(experiment: "Experiment") -> int:
    """Show what happens; 0 when it came to its end, else the exit code."""
    from cutline.training.events import Notice, TrainingStarted, Validated
    from cutline.training.feature_store import Encoded
    from cutline.training.trainer import Step

    events, steps, bars = experiment.run(), 0, Bars()
    with stop_after_the_event() as stop:
        for event in events:
            match event:
                case Encoded(done=done, total=total, damaged=damaged):
                    for sentence in damaged:
                        say(f"left out: {sentence}")
                    bars.show("encoded", done, total)
                case Notice(sentence=sentence):
                    say(sentence)
                case TrainingStarted():
                    steps = event.steps
                    _show_beginning(experiment.folder, event)
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


def _show_beginning(folder: Path, begun: "TrainingStarted") -> None:
    counts = ", ".join(f"{n} {split}" for split, n in begun.pictures.items())
    which = f", training {begun.training} of {begun.trainings}" if begun.trainings > 1 else ""
    resumed = f", going on after step {begun.step}" if begun.step else ""
    say(f"{folder}: {counts} pictures, {begun.words} words{which}{resumed}")
    validation = begun.pictures["validation"]
    if validation < 2:
        say(f"    look at this: {validation} validation pictures, so the last epoch is kept")
    elif validation < FEW:
        say(
            f"    look at this: {validation} validation pictures choose the best epoch, little "
            "better than chance; a column `split` in the captions' file can put more there"
        )


def _draw_page(folder: Path) -> None:
    """Draw how the run goes; no page is worth a training, so what goes wrong is only told."""
    from cutline.reports.training import write_learning

    try:
        write_learning(folder)
    except (CutlineError, OSError) as error:
        say(f"    look at this: the page of this training stays as it was: {error}")


def _show_epoch(event: "Validated") -> None:
    scores = event.report.scores if event.report else {}
    told = "  ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
    say(f"epoch {event.epoch + 1}  loss {event.loss:.3f}  {told}{'  *' * event.is_best}")
    for warning in event.warnings:
        say(f"    look at this: {warning}")
    for example, caption in event.samples:
        say(f"    {example.image.name}: {caption.text}")


@click.command()
@click.argument("model", type=Path)
@click.option("-o", "--out", type=Path, help="The file [default: model.onnx in the folder].")
@overwrite_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16: smaller; int8: smaller and faster.",
)
@click.option(
    "--data",
    type=Path,
    help="What it was trained on: int8 is measured on its pictures, and what that costs.",
)
@click.option(
    "--trust", is_flag=True, help="Run code of its maker's own, if its recipe names some."
)
def export(
    model: Path,
    out: Path | None,
    overwrite: bool,
    precision: str,
    data: Path | None,
    trust: bool,
) -> None:
    """Turn a model folder into the one-file form: pixels in, captions out, in one ONNX file."""
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
        find_examples(checkpoint.card, data, None, "validation")  # else there is nothing to score
    pixels = calibration_batches(checkpoint, data) if data else ()
    export(checkpoint, out, precision=precision, pixels=pixels)
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {precision}")
    if data and precision != "fp32":
        _record_cost(checkpoint, out, precision, data)


def _record_cost(checkpoint: "Checkpoint", out: Path, precision: str, data: Path) -> None:
    """Write into the card what a narrower precision costs on validation."""
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
    told = ", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items())
    say(f"{metric} on {split}: {told}")


@click.command()
@click.argument("models", type=Path, nargs=-1, required=True)
@click.option("-o", "--out", type=Path, required=True, help="The new model folder.")
def soup(models: tuple[Path, ...], out: Path) -> None:
    """Make one model whose weights are the mean of several models' of one kind."""
    with needs_training():
        from cutline.models.averaging import mix, save
        from cutline.models.checkpoint import read_model
    save(mix([read_model(model) for model in models]), out)
    say(f"{out}: the mean of {len(models)} models; `cutline evaluate {out}` scores it")


@click.command("import")
@click.argument("encoder", type=Path)
@click.argument("decoder", type=Path)
@click.argument("vocabulary", type=Path)
@click.option("-o", "--out", type=Path, required=True, help="The new model folder.")
@click.option(
    "--fit",
    type=click.Choice(["crop", "squash"]),
    default="crop",
    show_default=True,
    help="How its pictures were made square.",
)
def adopt(encoder: Path, decoder: Path, vocabulary: Path, out: Path, fit: str) -> None:
    """Bring in a model of the classic image captioning projects.

    ENCODER and DECODER are saved state dictionaries (encoder-5.pkl, decoder-5.pkl), VOCABULARY
    is their vocab.pkl. Nothing in these files is run.
    """
    with needs_training():
        from cutline.models.legacy import adopt, save
    from cutline.models.legacy_vocabulary import read_vocabulary

    adopted = adopt(encoder, decoder, read_vocabulary(vocabulary), fit=fit)
    for match in adopted.matches:
        say(match)
    command = f"cutline import {encoder.name} {decoder.name} {vocabulary.name} --fit {fit}"
    save(adopted, out, command)
    say(f"{out}: `cutline export {out}` makes it one file that needs no torch")
