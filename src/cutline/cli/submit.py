"""The command that captions a COCO image list for the evaluation server: submit."""

import json
import sys
from pathlib import Path

import click

from cutline.cli.options import model_option, overwrite_option, text_options, threads_option
from cutline.cli.progress import Bars, say
from cutline.io.outputs import require_output
from cutline.text.style import Style


@click.command()
@click.argument("listed", metavar="LIST", type=Path)
@click.option("--images", type=Path, help="The folder of its pictures [default: beside LIST].")
@click.option(
    "-o", "--out", type=Path, required=True, help="captions_SET_NAME_results.json, as it asks for."
)
@overwrite_option
@model_option
@text_options
@threads_option
def submit(
    listed: Path,
    images: Path | None,
    out: Path,
    overwrite: bool,
    model: Path | None,
    style: Style,
    threads: int | None,
) -> None:
    """Caption a COCO image list in the form that the evaluation server takes.

    LIST is image_info_test2014.json or one of its kind. Every picture gets a caption. The same
    command goes on where one was stopped or killed; the file is checked at the end.
    """
    from cutline.inference.captioner import load
    from cutline.inference.coco_results import check
    from cutline.inference.coco_results import submit as caption_listed
    from cutline.inference.journal import journal_of

    avoided = click.get_current_context().params.get("avoid")  # of which a `Style` was made
    begun = journal_of(out).is_file() or None
    require_output(out, [listed, model, avoided], overwrite=overwrite, own=begun)
    captioner = load(model, threads=threads)
    bars = Bars()
    for event in caption_listed(captioner, listed, images or listed.parent, out, style):
        if event.wrong:
            say(f"cutline: {event.wrong}")
        bars.show("captioned", event.done, event.total)
    problems = check(json.loads(out.read_text(encoding="utf8")), listed)
    for problem in problems:
        say(f"cutline: {out}: {problem}")
    say(f"{out}: {len(problems)} problems for the evaluation server")
    sys.exit(1 if problems else 0)
