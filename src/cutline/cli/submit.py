"""The command that captions a COCO image list for the evaluation server: submit."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from cutline.cli.options import (
    device_option,
    file_of,
    model_option,
    out_option,
    overwrite_option,
    quiet_option,
    server_options,
    text_options,
    threads_option,
)
from cutline.cli.progress import Bars, note, warn
from cutline.cli.terminal import plural
from cutline.io.outputs import require_output
from cutline.text.style import Style


@click.command()
@click.argument("listed", metavar="LIST", type=Path)
@click.option("--images", type=Path, help="Folder of the images [default: the folder of LIST].")
@out_option("The results: captions_SET_NAME_results.json.", required=True)
@overwrite_option
@model_option
@device_option
@threads_option
@server_options
@text_options
@quiet_option
def submit(
    listed: Path,
    images: Path | None,
    out: Path,
    overwrite: bool,
    model: Path | str | None,
    device: str,
    threads: int | None,
    style: Style,
    asked: dict[str, Any],
) -> None:
    """Caption a COCO image list in the format of the evaluation server.

    LIST is image_info_test2014.json or a file of the same format. Every image gets a caption. Run
    the same command again to resume after an interruption. The results are validated at the end.
    """
    from cutline.cli.models import note_usage, open_captioner
    from cutline.inference.coco_results import check
    from cutline.inference.coco_results import submit as caption_listed
    from cutline.inference.journal import journal_path
    from cutline.inference.library import PictureDone, Scanned

    avoided = click.get_current_context().params.get("avoid")  # the style has only its words
    begun = journal_path(out).is_file() or None
    require_output(out, [listed, file_of(model), avoided], overwrite=overwrite, own=begun)
    captioner = open_captioner(model, style, asked, threads=threads, device=device)
    bars = Bars()
    for event in caption_listed(captioner, listed, images or listed.parent, out, style):
        match event:
            case Scanned(found, int(known)):
                bars.show("captioning", known, found)
            case PictureDone(problem=problem, done=done, total=total):
                if problem:
                    warn(problem)
                bars.show("captioning", done, total)
    note_usage(captioner)
    problems = check(json.loads(out.read_text(encoding="utf8")), listed)
    for problem in problems:
        warn(f"{out}: {problem}")
    note(f"{out}: {plural(len(problems), 'problem')} for the evaluation server")
    sys.exit(1 if problems else 0)
