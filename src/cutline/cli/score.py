"""The commands that score captions against references: score, compare."""

import json
from pathlib import Path

import click

from cutline import metrics
from cutline.cli.options import (
    df_option,
    draws_option,
    json_option,
    language_option,
    overwrite_option,
    partial_option,
    quiet_option,
    reference_split_option,
    references_option,
)
from cutline.cli.progress import Bars, warn
from cutline.cli.terminal import echo
from cutline.errors import DataError
from cutline.evaluation.tables import (
    choose_metrics,
    differences_as_json,
    format_differences,
    format_most_changed,
    format_scores,
    load_references,
    most_changed,
    write_per_image,
)
from cutline.io.outputs import require_output
from cutline.io.references import read_predictions
from cutline.metrics import METRICS
from cutline.text.words import ENGLISH

only_option = click.option(
    "--only",
    metavar="METRICS",
    help=f"Comma-separated metrics: {', '.join(METRICS)} [default: all but SPICE].",
)


@click.command()
@click.argument("predictions", type=Path)
@references_option
@reference_split_option
@partial_option
@only_option
@df_option
@click.option("--train", type=Path, help="Training captions; captions not among them are novel.")
@language_option
@draws_option
@click.option("--per-image", type=Path, help="Write the scores of each image here, as JSON Lines.")
@overwrite_option
@json_option("scores, intervals and signature")
@quiet_option
def score(
    predictions: Path,
    references: Path,
    split: str | None,
    partial: bool,
    only: str | None,
    df: str,
    train: Path | None,
    language: str | None,
    draws: int,
    per_image: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score captions against references.

    The scores equal those of the COCO caption evaluator. The signatures record how each was
    computed.
    """
    language = language or ENGLISH
    given = read_predictions(predictions)
    if per_image and not per_image.parent.is_dir():
        raise DataError(f"--per-image {per_image}: there is no folder {per_image.parent}")
    if per_image:
        inputs = (predictions, references, train, _as_path(df))
        require_output(per_image, inputs, overwrite=overwrite)
    measurement = metrics.measure(
        given,
        load_references(references, split),
        metrics=choose_metrics(
            only, df=df, train=train, warn=warn, watch=Bars().show, language=language
        ),
        partial=partial,
        language=language,
    )
    report = measurement.report(draws=draws)
    if per_image:
        write_per_image(report, given, per_image)
    echo(json.dumps(report.as_json(), indent=2) if as_json else format_scores(report))


@click.command()
@click.argument("one", type=Path)
@click.argument("other", type=Path)
@references_option
@reference_split_option
@partial_option
@only_option
@df_option
@language_option
@click.option(
    "--draws",
    type=click.IntRange(min=20),
    default=1000,
    show_default=True,
    help="Bootstrap samples for the confidence intervals.",
)
@click.option("--by", metavar="SCORE", help="Score to sort images by [default: CIDEr-D].")
@click.option(
    "--show",
    default=5,
    show_default=True,
    help="Number of most improved and most worsened images to show.",
)
@json_option("differences, intervals and p-values")
@quiet_option
def compare(
    one: Path,
    other: Path,
    references: Path,
    split: str | None,
    partial: bool,
    only: str | None,
    df: str,
    language: str | None,
    draws: int,
    by: str | None,
    show: int,
    as_json: bool,
) -> None:
    """Compare the captions of two captioners, with significance tests.

    ONE and OTHER are captions of the same images. Also shows the images that differ most.
    """
    language = language or ENGLISH
    expected = load_references(references, split)
    captions = [read_predictions(path) for path in (one, other)]
    if partial:
        both = captions[0].keys() & captions[1].keys()
        captions = [{id: own[id] for id in own if id in both} for own in captions]
    chosen = choose_metrics(
        only, df=df, train=None, warn=warn, watch=Bars().show, language=language
    )
    measured = [
        metrics.measure(own, expected, metrics=chosen, partial=partial, language=language)
        for own in captions
    ]
    differences = metrics.compare(*measured, draws=draws)
    if as_json:
        click.echo(json.dumps(differences_as_json(differences), indent=2))
        return
    echo(format_differences(differences, one=one.stem, other=other.stem))
    by = by or ("CIDEr-D" if "CIDEr-D" in differences else list(differences)[-1])
    change = most_changed(measured[0].report(), measured[1].report(), by=by, show=show)
    echo(format_most_changed(change, *captions, by=by))


def _as_path(df: str) -> Path | None:
    """The file named by `--df`, if it is one."""
    return None if df in ("refs", "coco") else Path(df)
