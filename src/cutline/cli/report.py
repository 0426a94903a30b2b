"""The command that makes pages of captions: report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cutline.cli.options import (
    df_option,
    out_option,
    overwrite_option,
    quiet_option,
    reference_split_option,
)
from cutline.cli.progress import Bars, note, warn
from cutline.errors import DataError

PAGE = "report.html"


@click.command()
@click.argument("captions", type=Path)
@click.argument("other", type=Path, required=False)
@out_option("The page [default: report.html].")
@overwrite_option
@click.option(
    "--references",
    type=Path,
    help="Also show human captions and scores: COCO, Karpathy, JSON or Flickr8k.",
)
@reference_split_option
@df_option
@click.option("--images", type=Path, help="Folder of the pictures, if they have moved.")
@click.option(
    "--fit",
    type=click.Choice(["squash", "crop"]),
    help="How the model saw each picture: squashed or centre-cropped [default: from the file].",
)
@quiet_option
def report(
    captions: Path,
    other: Path | None,
    out: Path | None,
    overwrite: bool,
    references: Path | None,
    split: str | None,
    df: str,
    images: Path | None,
    fit: str | None,
) -> None:
    """Make one HTML page of captions: pictures, words, attention, candidates, scores.

    CAPTIONS is a file of `cutline caption --json` or --out (add --gaze and --best for attention
    and candidates), or COCO results, with --images. With OTHER, the page compares the captions of
    both files, largest changes first. If CAPTIONS is a model folder, the page shows its training.
    """
    from cutline.images.load import View
    from cutline.io.outputs import require_page_output

    is_model = captions.is_dir() and captions.suffix != ".parquet"  # that of --engine has captions
    page = out or (captions if is_model else Path()) / PAGE
    inputs = (None if is_model else captions, other, references, images)
    require_page_output(page, inputs, overwrite=overwrite)
    if is_model:
        if other:
            raise click.UsageError(
                f"{captions} is a model folder: OTHER cannot be used when CAPTIONS is one"
            )
        _report_training(captions, page)
        return
    options: dict[str, Any] = {"images": images, "view": View(fit=fit) if fit else None}
    if references:
        options |= _read_references(references, split, df)
    bars = Bars()
    for event in _draw(captions, other, page, options):
        bars.show("drawing", event.done, event.total)
    note(f"{page}: {page.stat().st_size / 1e6:.1f} MB")


def _report_training(folder: Path, page: Path) -> None:
    from cutline.reports.training import write_training_report

    note(f"{write_training_report(folder, page)}: the training of {folder}")


def _read_references(path: Path, split: str | None, df: str) -> dict[str, Any]:
    from cutline.evaluation.tables import choose_metrics, load_references

    if not path.exists():
        raise DataError(f"--references {path}: no such file or folder")
    scores = choose_metrics("BLEU,CIDEr-D", df=df, train=None, warn=warn, watch=Bars().show)
    return {"references": load_references(path, split), "scores": scores}


def _draw(captions: Path, other: Path | None, page: Path, options: dict[str, Any]) -> Iterator[Any]:
    from cutline.reports.captions import write_report
    from cutline.reports.comparison import write_comparison

    if other:
        return write_comparison(captions, other, page, **options)
    return write_report(captions, page, **options)
