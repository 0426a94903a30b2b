"""The command that joins the parts of a library: merge."""

from pathlib import Path

import click

from cutline.cli.options import overwrite_option, quiet_option
from cutline.cli.progress import note


@click.command()
@click.argument("out", type=Path)
@overwrite_option
@quiet_option
def merge(out: Path, overwrite: bool) -> None:
    """Join what machines wrote with `cutline caption --part` into one file.

    OUT is the --out of those commands, as captions.jsonl, beside which the parts lie:
    captions.part-1-of-8.jsonl to captions.part-8-of-8.jsonl and their journals. Parts that are
    missing, unfinished or still running are named, and nothing is written.
    """
    from cutline.inference.parts import find_parts, merge_parts
    from cutline.io.outputs import require_output

    parts = find_parts(out)
    require_output(out, [part.file_of(out) for part in parts], overwrite=overwrite, own=False)
    note(f"{out}: {merge_parts(out, parts):,} pictures of {len(parts)} parts")
