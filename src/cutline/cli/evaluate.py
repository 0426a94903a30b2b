"""The commands that measure: score, compare, evaluate, card."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline import metrics
from cutline.cli.options import overwrite_option
from cutline.cli.progress import Bars, say
from cutline.cli.terminal import echo
from cutline.errors import DataError, ModelError, needs_training
from cutline.evaluation.tables import (
    choose_metrics,
    describe_differences,
    find_most_changed,
    read_expected,
    tell_differences,
    tell_most_changed,
    tell_scores,
    write_each,
)
from cutline.io.atomic import write_text_file
from cutline.io.outputs import require_output
from cutline.io.references import read_predictions
from cutline.metrics import METRICS, USUAL
from cutline.types import Example, Report

if TYPE_CHECKING:
    from cutline.evaluation.diagnose import Inspection
    from cutline.evaluation.evaluate import Captioned
    from cutline.inference.captioner import Captioner

INSPECTED = ("report.md", "report.html", "worst.jpg")
"""What `cutline inspect --out` writes."""

references_option = click.option(
    "--references",
    type=Path,
    required=True,
    help="COCO, Karpathy, JSON(L), Flickr8k file or folder, or a folder of your own.",
)
split_option = click.option("--split", help="Of a Karpathy file or a folder [there: test].")
partial_option = click.option("--partial", is_flag=True, help="Score the images that both have.")
only_option = click.option(
    "--only", help=f"Metrics, with commas between them [all but SPICE]: {', '.join(METRICS)}."
)
df_option = click.option(
    "--df",
    default="refs",
    show_default=True,
    help="CIDEr's document frequencies: refs, coco, a table, or captions to count.",
)
draws_option = click.option(
    "--draws",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Bootstrap draws for intervals; 0: none.",
)


@click.command()
@click.argument("predictions", type=Path)
@references_option
@split_option
@partial_option
@only_option
@df_option
@click.option("--train", type=Path, help="Training captions: what is not among them is novel.")
@draws_option
@click.option(
    "--per-image", type=Path, help="Write each image's scores here, a JSON object a line."
)
@overwrite_option
@click.option("--json", "as_json", is_flag=True, help="Scores, intervals and signatures as JSON.")
def score(
    predictions: Path,
    references: Path,
    split: str | None,
    partial: bool,
    only: str | None,
    df: str,
    train: Path | None,
    draws: int,
    per_image: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score captions against what people wrote.

    The numbers are those of the COCO evaluator; the signatures say how they were made.
    """
    given = read_predictions(predictions)
    if per_image and not per_image.parent.is_dir():
        raise DataError(f"--per-image {per_image}: there is no folder {per_image.parent}")
    if per_image:
        require_output(
            per_image, (predictions, references, train, _as_path(df)), overwrite=overwrite
        )
    measurement = metrics.measure(
        given,
        read_expected(references, split),
        metrics=choose_metrics(only, df=df, train=train, leave_out=say, watch=Bars().show),
        partial=partial,
    )
    report = measurement.report(draws=draws)
    if per_image:
        write_each(report, given, per_image)
    echo(json.dumps(report.as_json(), indent=2) if as_json else tell_scores(report))


@click.command()
@click.argument("one", type=Path)
@click.argument("other", type=Path)
@references_option
@split_option
@partial_option
@only_option
@df_option
@click.option("--draws", type=click.IntRange(min=20), default=1000, show_default=True)
@click.option("--by", help="The score to order images by [default: CIDEr-D, or the last one].")
@click.option("--show", default=5, show_default=True, help="How many images of either kind.")
@click.option("--json", "as_json", is_flag=True, help="Differences as JSON.")
def compare(
    one: Path,
    other: Path,
    references: Path,
    split: str | None,
    partial: bool,
    only: str | None,
    df: str,
    draws: int,
    by: str | None,
    show: int,
    as_json: bool,
) -> None:
    """Say which of two captioners is better, how sure that is, and where they differ most."""
    expected = read_expected(references, split)
    captions = [read_predictions(path) for path in (one, other)]
    if partial:
        both = captions[0].keys() & captions[1].keys()
        captions = [{id: own[id] for id in own if id in both} for own in captions]
    chosen = choose_metrics(only, df=df, train=None, leave_out=say, watch=Bars().show)
    measured = [metrics.measure(own, expected, metrics=chosen, partial=partial) for own in captions]
    differences = metrics.compare(*measured, draws=draws)
    if as_json:
        click.echo(json.dumps(describe_differences(differences), indent=2))
        return
    echo(tell_differences(differences, one=one.stem, other=other.stem))
    by = by or ("CIDEr-D" if "CIDEr-D" in differences else list(differences)[-1])
    change = find_most_changed(measured[0].report(), measured[1].report(), by=by, show=show)
    echo(tell_most_changed(change, *captions, by=by))


@click.command()
@click.argument("model", type=Path, required=False)
@click.option("--data", type=Path, required=True, help="The data, as its owner has it.")
@click.option("--kind", help="What data it is [default: what the model was trained on].")
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
@click.option("-o", "--out", type=Path, help="Write the captions here, as COCO results.")
@click.option("--sheet", type=Path, help="Draw the first hundred pictures with their captions.")
@overwrite_option
@click.option("--record", is_flag=True, help="Write the scores into the one-file model's card.")
@click.option("--apply", is_flag=True, help="With --record: into the built-in model's card too.")
@click.option(
    "--with",
    "others",
    type=Path,
    multiple=True,
    help="Average the words' probabilities with this model's; may be repeated.",
)
@only_option
@draws_option
@click.option("--json", "as_json", is_flag=True, help="Scores and signature as JSON.")
def evaluate(
    model: Path | None,
    data: Path,
    kind: str | None,
    split: str,
    others: tuple[Path, ...],
    only: str | None,
    draws: int,
    out: Path | None,
    sheet: Path | None,
    overwrite: bool,
    record: bool,
    apply: bool,
    as_json: bool,
) -> None:
    """Caption a split of a data set and score the captions.

    MODEL is a model folder or a one-file model [default: built in].
    """
    from cutline.evaluation.evaluate import score_split
    from cutline.inference.captioner import PACKAGED, load
    from cutline.reports.attention import draw_sheet, save_drawing

    for path in filter(None, (out, sheet)):
        require_output(path, (model, data, *others), overwrite=overwrite)
    captioner = _load_together([model or PACKAGED, *others]) if others else load(model)
    if apply and not record:
        raise click.UsageError("--apply goes with --record")
    if record and model is None and not apply:
        raise ModelError("scores would be recorded in the built-in model: say --apply, or name one")
    if record and (others or (model or PACKAGED).is_dir()):
        raise ModelError(f"{model} is a folder; scores are recorded in a file of `cutline export`")
    captioned = _caption_split(captioner, data, kind, split)
    if out:
        found = [{"image_id": _as_id(c.example.id), "caption": c.text} for c in captioned]
        write_text_file([json.dumps(found, indent=0, ensure_ascii=False)], out)
    if sheet:
        shown = [(each.example.image, each.text) for each in captioned[:100]]
        save_drawing(draw_sheet(shown), sheet)
    named = only or ",".join(USUAL)
    chosen = choose_metrics(named, df="refs", train=None, leave_out=say, watch=Bars().show)
    report = score_split(captioned, metrics=chosen, draws=draws)
    echo(json.dumps(report.as_json(), indent=2) if as_json else tell_scores(report))
    if record:
        with needs_training():
            from cutline.models.onnx_export import record_scores
        record_scores(model or PACKAGED, split, report)


def score_model(model: Path, data: Path, split: str) -> Report:
    """The usual scores of a model on a split."""
    from cutline.evaluation.evaluate import score_split
    from cutline.inference.captioner import load

    return score_split(_caption_split(load(model), data, None, split))


def _caption_split(
    captioner: "Captioner", data: Path, kind: str | None, split: str
) -> list["Captioned"]:
    from cutline.evaluation.evaluate import caption_split

    examples = find_examples(captioner.card, data, kind, split)
    captioned = []
    bars = Bars()
    for number, each in enumerate(caption_split(captioner, examples), 1):
        captioned.append(each)
        bars.show("captioned", number, len(examples))
    return captioned


def find_examples(
    card: Mapping[str, Any], data: Path, kind: str | None, split: str
) -> list[Example]:
    """The examples of a split with captions, of the kind that the card names or the data show."""
    from cutline.datasets import detect_source, open_dataset

    source = open_dataset(
        {"kind": kind} if kind else detect_source(card.get("source", {}), data), data
    )
    examples = [example for example in source if example.split == split and example.captions]
    if not examples:
        raise DataError(f"{data} has no pictures with captions in the split {split!r}")
    return examples


def _load_together(models: Sequence[Path]) -> "Captioner":
    with needs_training():
        from cutline.inference.ensemble import EnsembleEngine
        from cutline.inference.torch import TorchEngine
    from cutline.inference.captioner import Captioner

    return Captioner(EnsembleEngine([TorchEngine.open(model) for model in models]))


@click.command()
@click.argument("model", type=Path, required=False)
@click.option(
    "--data",
    type=Path,
    required=True,
    multiple=True,
    help="The data, as its owner has it; several times for pictures of several origins.",
)
@click.option("--kind", help="What data it is [default: what the model was trained on].")
@click.option("--split", default="validation", show_default=True, help="Not what it learnt from.")
@click.option("--apply", is_flag=True, help="Write into the built-in model's card too.")
def calibrate(
    model: Path | None, data: tuple[Path, ...], kind: str | None, split: str, apply: bool
) -> None:
    """Fit what the model's confidence means, and write it into its card.

    The card also says from which confidence on three of four captions are right. MODEL is a
    one-file model; without one the built-in model's is shown, and written only with --apply.
    """
    import numpy as np

    from cutline.evaluation.evaluate import judge
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
        from cutline.models.onnx_export import record
    path = model or PACKAGED
    if path.is_dir():
        raise ModelError(f"{model} is a folder; calibrate a file of `cutline export`")
    captioner = load(model)
    judged = [judge(_caption_split(captioner, each, kind, split)) for each in data]
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
    if model or apply:
        record(path, {"calibration": {**fitted.as_json(), **found}})
    else:
        say("nothing is written: this is the built-in model (--apply writes, or name another)")
    click.echo(f"{fitted.rule}: {good.mean():.0%} are; expected calibration error {error:.3f}")
    click.echo(f"{RIGHT:.0%} are from a confidence of {found['threshold']:.2f} on")


@click.command()
@click.argument("model", type=Path, required=False)
@click.option("--data", type=Path, required=True, help="The data, as its owner has it.")
@click.option("--kind", help="What data it is [default: what the model was trained on].")
@click.option("--split", default="validation", show_default=True, help="Not what it learnt from.")
@click.option("--pictures", default=300, show_default=True, help="How many to look at; 0: all.")
@click.option(
    "--neighbours", default=1000, show_default=True, help="Training pictures to compare with."
)
@click.option("-o", "--out", type=Path, help="Write the report here, with the worst as pictures.")
@overwrite_option
def inspect(
    model: Path | None,
    data: Path,
    kind: str | None,
    split: str,
    pictures: int,
    neighbours: int,
    out: Path | None,
    overwrite: bool,
) -> None:
    """Tell why a model is bad: words, decoder, view, habits, confidence, the worst pictures.

    MODEL is a model folder or a one-file model [default: built in].
    """
    with needs_training():
        from cutline.evaluation.diagnose import inspect as look
        from cutline.evaluation.diagnose import tell_inspection
        from cutline.inference.torch import TorchEngine
        from cutline.reports.diagnosis import draw_inspection
    from cutline.inference.captioner import PACKAGED

    for path in [out / name for name in INSPECTED] if out else ():
        require_output(path, (model, data), overwrite=overwrite)
    engine = TorchEngine.open(model or PACKAGED)
    examples = find_examples(engine.card, data, kind, split)
    train = find_examples(engine.card, data, kind, "train")[:neighbours] if neighbours else []
    found = look(engine, examples[: pictures or None], train, watch=Bars().show)
    name = (model or PACKAGED).name
    report = tell_inspection(found, name)
    if out:
        _write_inspection(out, report, draw_inspection(found, name), found)
    echo(report, end="")


def _write_inspection(out: Path, report: str, page: Iterable[str], found: "Inspection") -> None:
    from cutline.reports.attention import draw_sheet, save_drawing

    out.mkdir(parents=True, exist_ok=True)
    told, drawn, worst = (out / name for name in INSPECTED)
    write_text_file([report], told)
    write_text_file(page, drawn)
    save_drawing(draw_sheet([(e.image, caption.text) for e, caption, _ in found.worst]), worst)


def _as_path(df: str) -> Path | None:
    """The file that `--df` names, if it is one."""
    return None if df in ("refs", "coco") else Path(df)


def _as_id(id: str) -> int | str:
    """COCO's ids are numbers."""
    return int(id) if id.isdecimal() and len(id) < 20 else id


@click.command()
@click.argument("model", type=Path, required=False)
def card(model: Path | None) -> None:
    """Show what a model was trained on, how well it does, and what it gets wrong."""
    from cutline.inference.captioner import load
    from cutline.reports.model_card import write_card

    echo(write_card(load(model).card), end="")
