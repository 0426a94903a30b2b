"""The command to review captions in a browser: review."""

import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from cutline.cli.options import quiet_option
from cutline.cli.progress import note


@click.command()
@click.argument("captions", type=Path)
@click.option("--images", type=Path, help="Folder of the pictures, if they have moved.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Captions in the random sample that bounds the share of wrong ones.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port [default: a free one]."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--progress", "only_progress", is_flag=True, help="Print what is reviewed, and exit.")
@quiet_option
def review(
    captions: Path,
    images: Path | None,
    sample: int,
    port: int,
    no_browser: bool,
    only_progress: bool,
) -> None:
    """Accept, edit or reject captions in a browser.

    CAPTIONS is a .jsonl file of `cutline caption --out`. Each verdict is saved in it at once, and
    later runs keep it. The page is served to this machine only, until Ctrl-C. From the sample you
    review, cutline computes an upper bound on the share of wrong captions in the whole file.
    """
    from cutline.io.predictions import PictureLocator
    from cutline.reports.review import Review
    from cutline.reports.review_server import ReviewServer

    opened = Review(captions, sample=sample)
    if not only_progress:
        with ReviewServer(opened, PictureLocator(captions, images), port=port) as server:
            click.echo(server.url)
            note("Review the captions there; Ctrl-C ends.")
            if not no_browser:
                threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
            with suppress(KeyboardInterrupt):  # every verdict is saved already
                server.serve_forever()
    progress = opened.progress()
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in progress.verdicts.items())
    click.echo(f"{sum(progress.verdicts.values()):,} of {progress.captions:,} reviewed: {verdicts}")
    click.echo(progress.sentence)
