"""The commands that make models: train, recipes, export, soup, import.

All but `recipes` need torch, which is imported late.
"""

import json
import sys
import tomllib
from pathlib import Path
from shlex import quote
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import (
    json_option,
    model_argument,
    out_option,
    overwrite_option,
    quiet_option,
    trust_option,
)
from cutline.cli.progress import note
from cutline.cli.runs import RunOptions, open_experiment, run, run_options
from cutline.cli.terminal import echo
from cutline.errors import needs_training
from cutline.recipe import find_recipe, list_recipes

if TYPE_CHECKING:
    from cutline.models.checkpoint import Checkpoint


@click.command()
@run_options
@out_option("Model folder [default: runs/RECIPE].")
@click.option("--seed", type=int, help="Seed of the random numbers [default: the recipe's].")
def train(options: RunOptions, out: Path | None, seed: int | None) -> None:
    """Train a captioner. Run the same command again to resume after an interruption.

    RECIPE is a TOML file or a built-in recipe, as `cutline recipes` lists them. A recipe that names
    third-party code (`kind = "my_module:MyDecoder"`) needs --trust.

    With --from, training starts from the encoder, decoder and vocabulary of a model. New words are
    added, and sections missing from the recipe are taken from the model. With more --epochs, a
    finished run is continued.
    """
    with needs_training():
        from cutline.training import distributed

    folder = out or Path("runs") / find_recipe(options.recipe).stem
    seeded = () if seed is None else (f"training.seed={seed}",)
    with distributed.joined():
        experiment = open_experiment(options, folder, seeded)
        is_first, code = distributed.is_first(), run(experiment, options.logs)
    if not is_first:
        sys.exit(code)
    if code:
        note(f"stopped: run the same command to resume ({folder})")
        sys.exit(code)
    _export(folder, folder / "model.onnx", "fp32", trust=experiment.recipe.names_code)
    note(f"done; try `cutline caption --model {quote(str(folder))} PICTURE`")


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
    multiple=True,
    help="A data set to calibrate int8 and to measure its cost in CIDEr-D; may be repeated.",
)
@click.option(
    "--to-hub-folder", "hub", type=Path, help="Write a folder for the Hugging Face hub instead."
)
@click.option(
    "--preview", type=Path, multiple=True, help="With --to-hub-folder: picture to show; repeatable."
)
@trust_option
@quiet_option
def export(
    model: Path,
    out: Path | None,
    overwrite: bool,
    precision: str,
    data: tuple[Path, ...],
    hub: Path | None,
    preview: tuple[Path, ...],
    trust: bool,
) -> None:
    """Export a model folder to one ONNX file: pixels in, captions out, no torch needed.

    With --to-hub-folder, write a folder that `hf upload` takes as it is: the model (exported
    before, or a one-file model), its card with the scores, and a preview of captions.
    """
    from cutline.io.outputs import require_output

    if hub:
        _write_hub_folder(model, hub, preview, overwrite=overwrite)
        return
    out = out or model / "model.onnx"
    own = [path for path in model.glob("*") if path.name != "model.onnx"]
    require_output(out, (*data, *(own or [model])), overwrite=overwrite)
    _export(model, out, precision, data, trust=trust)


def _write_hub_folder(
    model: Path, folder: Path, pictures: tuple[Path, ...], *, overwrite: bool
) -> None:
    from cutline.inference.captioner import load
    from cutline.reports.hub_folder import write_hub_folder

    sizes = write_hub_folder(load(model), folder, pictures=pictures, overwrite=overwrite)
    note(f"{folder}: {sum(sizes.values()) / 1e6:.1f} MB in {', '.join(sizes)}")
    note(f"`hf upload OWNER/NAME {quote(str(folder))}` puts it on the hub")


def _export(
    model: Path, out: Path, precision: Any, data: tuple[Path, ...] = (), *, trust: bool
) -> None:
    with needs_training():
        from cutline.models.checkpoint import read_model
        from cutline.models.onnx_export import calibration_batches, export
    from cutline.cli.evaluate import find_examples

    checkpoint = read_model(model, trust=trust)
    for each in data:  # fails early if there are none
        find_examples(checkpoint.card, each, None, "validation")
    trained = [find_examples(checkpoint.card, each, None, "train") for each in data]
    pixels = calibration_batches(checkpoint, trained) if precision == "int8" else ()
    export(checkpoint, out, precision=precision, pixels=pixels)
    note(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {precision}")
    if data and precision != "fp32":
        _record_cost(checkpoint, out, precision, data)


def _record_cost(
    checkpoint: "Checkpoint", out: Path, precision: str, data: tuple[Path, ...]
) -> None:
    """Record in the card what the lower precision costs on validation, the mean of the sets."""
    from cutline.cli.evaluate import score_model
    from cutline.models.onnx_export import export, record

    split, metric = "validation", "CIDEr-D"
    with TemporaryDirectory() as folder:
        exact = Path(folder) / "fp32.onnx"
        export(checkpoint, exact)
        scores = {
            name: fmean(score_model(path, each, split).scores[metric] for each in data)
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
@click.option(
    "--no-start", is_flag=True, help="The model says the first word at once, not <start> before it."
)
@quiet_option
def adopt(
    encoder: Path, decoder: Path, vocabulary: Path, out: Path, fit: str, no_start: bool
) -> None:
    """Import a model of the classic image captioning projects.

    ENCODER and DECODER are saved state dictionaries (encoder-5.pkl, decoder-5.pkl), VOCABULARY is
    their vocab.pkl. No code in these files is executed.
    """
    with needs_training():
        from cutline.models.legacy import adopt, save
    from cutline.models.legacy_vocabulary import read_vocabulary

    words = read_vocabulary(vocabulary)
    adopted = adopt(encoder, decoder, words, fit=fit, says_start=not no_start)
    for match in adopted.matches:
        note(match)
    command = f"cutline import {encoder.name} {decoder.name} {vocabulary.name} --fit {fit}"
    command += " --no-start" * no_start
    save(adopted, out, command)
    note(f"{out}: `cutline export {out}` makes it one file that needs no torch")
