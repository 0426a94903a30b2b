"""The command that makes pages of captions: report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cutline.cli.options import overwrite_option
from cutline.cli.progress import Bars, say
from cutline.errors import DataError

PAGE = "report.html"


@click.command()
@click.argument("captions", type=Path)
@click.argument("other", type=Path, required=False)
@click.option("-o", "--out", type=Path, help="The page [default: report.html].")
@overwrite_option
@click.option("--references", type=Path, help="What people wrote: COCO, Karpathy, JSON, Flickr8k.")
@click.option("--split", help="Of a Karpathy file or a folder [there: test].")
@click.option(
    "--df",
    default="refs",
    show_default=True,
    help="CIDEr's document frequencies: refs, coco, a table, or captions to count.",
)
@click.option("--images", type=Path, help="Where the pictures are now, if not where they were.")
@click.option(
    "--fit",
    type=click.Choice(["squash", "crop"]),
    help="How the model saw pictures: whole, or the middle square [default: as the file tells].",
)
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
    """Make one HTML page of captions, that opens from disk: pictures, words, gaze, candidates.

    CAPTIONS is what `cutline caption` wrote with --json or --out (--gaze and --best tell more); of
    COCO's results the pictures are in --images. With OTHER, the captions of both are shown side by
    side, what changed most first. A model folder in place of CAPTIONS gives the page of its
    training anew.
    """
    from cutline.images.load import View
    from cutline.io.outputs import require_page_output

    page = out or (captions if captions.is_dir() else Path()) / PAGE
    inputs = (None if captions.is_dir() else captions, other, references, images)
    require_page_output(page, inputs, overwrite=overwrite)
    if captions.is_dir():
        if other:
            raise click.UsageError(f"{captions} is a model folder: its page has no second file")
        _report_training(captions, page)
        return
    options: dict[str, Any] = {"images": images, "view": View(fit=fit) if fit else None}
    if references:
        options |= _read_references(references, split, df)
    bars = Bars()
    for event in _draw(captions, other, page, options):
        bars.show("drawn", event.done, event.total)
    say(f"{page}: {page.stat().st_size / 1e6:.1f} MB")


def _report_training(folder: Path, page: Path) -> None:
    from cutline.reports.training import write_learning

    say(f"{write_learning(folder, page)} shows how {folder} learnt")


def _read_references(path: Path, split: str | None, df: str) -> dict[str, Any]:
    from cutline.evaluation.tables import choose_metrics, read_expected

    if not path.exists():
        raise DataError(f"--references {path}: there is no such file or folder")
    scores = choose_metrics("BLEU,CIDEr-D", df=df, train=None, leave_out=say, watch=Bars().show)
    return {"references": read_expected(path, split), "scores": scores}


def _draw(captions: Path, other: Path | None, page: Path, options: dict[str, Any]) -> Iterator[Any]:
    from cutline.reports.captions import write_report
    from cutline.reports.comparison import write_comparison

    if other:
        return write_comparison(captions, other, page, **options)
    return write_report(captions, page, **options)
