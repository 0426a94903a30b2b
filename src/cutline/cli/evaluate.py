"""The commands that evaluate models: evaluate, calibrate, inspect, card."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import (
    data_option,
    device_option,
    draws_option,
    file_of,
    json_option,
    kind_option,
    model_or_argument,
    out_option,
    overwrite_option,
    own_model,
    quiet_option,
    server_options,
)
from cutline.cli.progress import Bars, note, warn
from cutline.cli.score import only_option
from cutline.cli.terminal import echo
from cutline.errors import DataError, ModelError, needs_training
from cutline.evaluation.tables import choose_metrics, format_scores
from cutline.io.atomic import write_text_file
from cutline.io.outputs import require_output
from cutline.metrics import DEFAULT_METRICS
from cutline.types import Example, Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cutline.evaluation.diagnose import Inspection
    from cutline.evaluation.evaluate import Captioned
    from cutline.inference.captioner import Captioner

INSPECTED = ("report.md", "report.html", "worst.jpg")
"""The files that `cutline inspect --out` writes."""

held_out_option = click.option(
    "--split",
    default="validation",
    show_default=True,
    help="Split to use; not one that the model was trained on.",
)


@click.command()
@model_or_argument
@device_option
@data_option
@kind_option
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
@out_option("Write the captions here, as COCO results.")
@click.option("--sheet", type=Path, help="Draw the first hundred pictures with their captions.")
@overwrite_option
@click.option("--record", is_flag=True, help="Record the scores in the card of a one-file model.")
@click.option("--apply", is_flag=True, help="With --record: also allow the built-in model.")
@click.option(
    "--with",
    "others",
    type=Path,
    multiple=True,
    help="Add a model to an ensemble that averages word probabilities; may be repeated.",
)
@only_option
@draws_option
@server_options
@json_option("scores, intervals and signature")
@quiet_option
def evaluate(
    model: Path | str | None,
    device: str,
    data: Path,
    kind: str | None,
    split: str,
    out: Path | None,
    sheet: Path | None,
    overwrite: bool,
    record: bool,
    apply: bool,
    others: tuple[Path, ...],
    only: str | None,
    draws: int,
    asked: dict[str, Any],
    as_json: bool,
) -> None:
    """Caption one split of a data set and score the captions."""
    from cutline.cli.models import note_usage
    from cutline.evaluation.evaluate import score_split
    from cutline.inference.captioner import PACKAGED, load
    from cutline.reports.attention import draw_contact_sheet, save_drawing

    for path in filter(None, (out, sheet)):
        require_output(path, (file_of(model), data, *others), overwrite=overwrite)
    if others:
        captioner = _load_ensemble([own_model(model) or PACKAGED, *others], device)
    else:
        captioner = load(model, device=device, **asked)
    if apply and not record:
        raise click.UsageError("--apply needs --record")
    if record and model is None and not apply:
        raise ModelError(
            "--record would write into the built-in model: add --apply, or name another model"
        )
    file = captioner.engine.abilities.file
    if record and (others or file is None or (own_model(model) or PACKAGED).is_dir()):
        raise ModelError(f"{model} is a folder: --record writes into files of `cutline export`")
    captioned = _caption_split(captioner, data, kind, split)
    note_usage(captioner)
    if out:
        found = [{"image_id": _as_id(c.example.id), "caption": c.text} for c in captioned]
        write_text_file([json.dumps(found, indent=0, ensure_ascii=False)], out)
    if sheet:
        shown = [(each.example.image, each.text) for each in captioned[:100]]
        save_drawing(draw_contact_sheet(shown), sheet)
    named = only or ",".join(DEFAULT_METRICS)
    chosen = choose_metrics(
        named, df="refs", train=None, warn=warn, watch=Bars().show, language=captioner.language
    )
    report = score_split(captioned, metrics=chosen, draws=draws, language=captioner.language)
    echo(json.dumps(report.as_json(), indent=2) if as_json else format_scores(report))
    if record:
        with needs_training():
            from cutline.models.onnx_export import record_scores
        record_scores(own_model(model) or PACKAGED, split, report)


def score_model(model: Path, data: Path, split: str) -> Report:
    """The default scores of a model on a split."""
    from cutline.evaluation.evaluate import score_split
    from cutline.inference.captioner import load

    captioner = load(model)
    captioned = _caption_split(captioner, data, None, split)
    return score_split(captioned, language=captioner.language)


def _caption_split(
    captioner: "Captioner", data: Path, kind: str | None, split: str
) -> list["Captioned"]:
    from cutline.evaluation.evaluate import caption_split

    examples = find_examples(captioner.card, data, kind, split)
    captioned = []
    bars = Bars()
    for number, each in enumerate(caption_split(captioner, examples), 1):
        captioned.append(each)
        bars.show("captioning", number, len(examples))
    return captioned


def find_examples(
    card: Mapping[str, Any], data: Path, kind: str | None, split: str
) -> list[Example]:
    """The examples of a split that have captions; without `kind`, that of the card or the data.

    Raises `DataError` when there are none.
    """
    from cutline.datasets import detect_source, open_dataset, open_in_language
    from cutline.inference.network import language_of

    if kind:
        source = open_in_language(kind, data, language_of(card))
    else:
        source = open_dataset(detect_source(card.get("source", {}), data), data)
    examples = [example for example in source if example.split == split and example.captions]
    if not examples:
        raise DataError(f"{data} has no pictures with captions in the split {split!r}")
    return examples


def _load_ensemble(models: Sequence[Path], device: str) -> "Captioner":
    with needs_training():
        from cutline.inference.ensemble import EnsembleEngine
        from cutline.inference.torch import TorchEngine
    from cutline.inference.captioner import Captioner

    return Captioner(EnsembleEngine([TorchEngine.open(model, device=device) for model in models]))


@click.command()
@model_or_argument
@device_option
@click.option(
    "--data",
    type=Path,
    required=True,
    multiple=True,
    help="The data set, in its original layout; may be repeated.",
)
@kind_option
@held_out_option
@click.option("--apply", is_flag=True, help="Also write into the card of the built-in model.")
@json_option("the calibration")
@quiet_option
def calibrate(
    model: Path | str | None,
    device: str,
    data: tuple[Path, ...],
    kind: str | None,
    split: str,
    apply: bool,
    as_json: bool,
) -> None:
    """Calibrate the confidence of a model.

    Writes the calibration into the card of the model (of a folder, also into its model.onnx), with
    a threshold: of the captions with that confidence or more, three of four are good.
    """
    import numpy as np

    from cutline.inference.calibration import (
        RIGHT,
        Calibration,
        calibration_curve,
        cross_fit,
        expected_error,
        find_threshold,
    )
    from cutline.inference.captioner import PACKAGED, load

    with needs_training():
        from cutline.models.checkpoint import record_in_folder
        from cutline.models.onnx_export import record
    path = own_model(model) or PACKAGED
    captioner = load(model, device=device)
    judged = [_judge(captioner, each, kind, split) for each in data]
    evidence = [own for each, _ in judged for own in each]
    good = np.concatenate([each for _, each in judged])
    confidence = cross_fit(evidence, good)
    error = expected_error(calibration_curve(confidence, good))
    fitted = Calibration.fit(evidence, good)
    found = {
        "error": round(error, 4),
        "threshold": round(find_threshold(confidence, good), 4),
        "split": split,
        "captions": len(good),
    }
    calibration = {**fitted.as_json(), **found}
    if model or apply:
        if path.is_dir():
            record_in_folder(path, {"calibration": calibration})
        for file in (path / "model.onnx" if path.is_dir() else path,):
            if file.exists():
                record(file, {"calibration": calibration})
    else:
        note("nothing was written: add --apply to write into the built-in model")
    if as_json:
        echo(json.dumps(calibration, indent=2))
        return
    echo(f"{fitted.rule}: {good.mean():.0%} are good; expected calibration error {error:.3f}")
    echo(f"threshold {found['threshold']:.2f}: {RIGHT:.0%} with that confidence or more are good")


def _judge(
    captioner: "Captioner", data: Path, kind: str | None, split: str
) -> "tuple[list[dict[str, float]], NDArray[np.bool_]]":
    """The evidence for each caption of a split, and whether it is good."""
    from cutline.evaluation.evaluate import calibration_data

    captioned = _caption_split(captioner, data, kind, split)
    return calibration_data(captioned, language=captioner.language)


@click.command()
@model_or_argument
@device_option
@data_option
@kind_option
@held_out_option
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=300,
    show_default=True,
    help="Number of pictures to caption; 0 for all.",
)
@click.option(
    "--neighbours",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Number of training pictures for the nearest-neighbour baseline; 0 for none.",
)
@out_option("Folder for the report, with a page and the worst pictures.")
@overwrite_option
@json_option("the cause, the warnings and the scores")
@quiet_option
def inspect(
    model: Path | str | None,
    device: str,
    data: Path,
    kind: str | None,
    split: str,
    pictures: int,
    neighbours: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Find out why a model performs badly.

    Checks the vocabulary, the decoder, the preprocessing, repetitive or unfinished captions, the
    calibration, and lists the worst pictures.
    """
    with needs_training():
        from cutline.evaluation.diagnose import format_inspection
        from cutline.evaluation.diagnose import inspect as look
        from cutline.inference.torch import TorchEngine
        from cutline.reports.diagnosis import render_inspection
    from cutline.inference.captioner import PACKAGED

    for path in [out / name for name in INSPECTED] if out else ():
        require_output(path, (file_of(model), data), overwrite=overwrite)
    path = own_model(model) or PACKAGED
    engine = TorchEngine.open(path, device=device)
    examples = find_examples(engine.card, data, kind, split)
    train = find_examples(engine.card, data, kind, "train")[:neighbours] if neighbours else []
    found = look(engine, examples[: pictures or None], train, watch=Bars().show)
    name = path.name
    report = format_inspection(found, name)
    if out:
        _write_inspection(out, report, render_inspection(found, name), found)
    if as_json:
        line = {"cause": found.cause, "warnings": list(found.warnings), **found.report.as_json()}
        echo(json.dumps(line, indent=2))
    else:
        echo(report, end="")


def _write_inspection(out: Path, report: str, page: Iterable[str], found: "Inspection") -> None:
    from cutline.reports.attention import draw_contact_sheet, save_drawing

    out.mkdir(parents=True, exist_ok=True)
    markdown, html, worst = (out / name for name in INSPECTED)
    write_text_file([report], markdown)
    write_text_file(page, html)
    save_drawing(
        draw_contact_sheet([(e.image, caption.text) for e, caption, _ in found.worst]), worst
    )


def _as_id(id: str) -> int | str:
    """An image id for COCO, where ids are numbers."""
    return int(id) if id.isdecimal() and len(id) < 20 else id


@click.command()
@model_or_argument
@json_option("the card as it is stored")
@quiet_option
def card(model: Path | str | None, as_json: bool) -> None:
    """Show the card of a model: training data, scores, licence and limitations."""
    from cutline.inference.captioner import load
    from cutline.reports.model_card import format_card

    stored = load(model).card
    echo(json.dumps(stored, indent=2) + "\n" if as_json else format_card(stored), end="")
