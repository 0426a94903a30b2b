"""The commands that give captions to other software, and take them back: write, undo."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from cutline.cli.progress import Bars, say, stop_after_the_event
from cutline.cli.terminal import echo

_SAID = {"would write": "would be written", "would restore": "would be restored"}


@click.command()
@click.argument("captions", type=Path)
@click.option(
    "--as",
    "form",
    required=True,
    type=click.Choice(["txt", "xmp", "embed"]),
    help="Text files, XMP sidecars, or the pictures themselves.",
)
@click.option("--apply", is_flag=True, help="Write; else only say what would be written.")
@click.option("--language", default="en", show_default=True, help="What the captions are in.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    help="Leave out captions below this confidence [default: the threshold in the model's card].",
)
@click.option(
    "--sidecars",
    type=click.Choice(["full", "stem"]),
    default="full",
    show_default=True,
    help="New sidecars are photo.jpg.xmp (full) or photo.xmp (stem).",
)
@click.option("--journal", type=Path, help="For undo [default: CAPTIONS with .undo.jsonl].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def write(
    captions: Path,
    form: str,
    apply: bool,
    language: str,
    min_confidence: float | None,
    sidecars: str,
    journal: Path | None,
    as_json: bool,
) -> None:
    """Write the captions of a .jsonl, .csv or .parquet where other software reads them.

    A text that a human wrote or edited is never written over. What changes stands in a journal
    beside CAPTIONS, and `cutline undo` takes it back, to the last byte.
    """
    code = publish(
        captions,
        form,
        apply=apply,
        language=language,
        min_confidence=min_confidence,
        sidecars=sidecars,
        journal=journal,
        as_json=as_json,
    )
    sys.exit(code)


def publish(
    captions: Path,
    form: str,
    *,
    apply: bool = False,
    language: str = "en",
    min_confidence: float | None = None,
    sidecars: str = "full",
    journal: Path | None = None,
    as_json: bool = False,
    within: Sequence[Path] = (),
) -> int:
    """Write captions as `write` does, and say what happens to each; the exit code."""
    from cutline.metadata.undo_journal import journal_beside
    from cutline.metadata.writer import read_captions
    from cutline.metadata.writer import write as write_captions

    found, counts, bars = read_captions(captions), Counter[str](), Bars()
    events = write_captions(
        found,
        form=form,
        journal=journal or journal_beside(captions),
        apply=apply,
        language=language,
        min_confidence=min_confidence,
        sidecars=sidecars,
        known_to=captions,
        within=within or _find_common([each.picture for each in found]),
    )
    with stop_after_the_event() as asked, closing(events):
        for done, event in enumerate(events, 1):
            counts[event.action] += 1
            if as_json:
                click.echo(json.dumps(event.as_json()))
            elif event.sentence:
                say(f"cutline: {event.action}: {event.sentence}")
            else:
                echo(event.action, str(event.target), event.text)
            bars.show("written", done, len(found))
            if asked.is_set():
                break
    bars.close()
    return _sum_up(counts, apply=apply, stopped=asked.code if asked.is_set() else 0)


@click.command()
@click.argument("journal", type=Path, default=Path("captions.undo.jsonl"))
@click.argument("folders", type=Path, nargs=-1)
@click.option("--apply", is_flag=True, help="Restore; else only say what would be restored.")
def undo(journal: Path, folders: tuple[Path, ...], apply: bool) -> None:
    """Take back what `cutline write` wrote: every file as it was, to the last byte.

    JOURNAL stands beside the captions: captions.undo.jsonl, the default. A file that somebody has
    changed since is kept. Files outside of the journal's folder are touched only in FOLDERS.
    """
    from cutline.metadata.undo_journal import undo as undo_changes

    counts, events = Counter[str](), undo_changes(journal, apply=apply, folders=folders)
    with stop_after_the_event() as asked, closing(events):
        for event in events:
            counts[event.action] += 1
            if event.sentence and event.action != "unchanged":
                say(f"cutline: {event.action}: {event.sentence}")
            else:
                echo(event.action, _from_here(event.target))
            if asked.is_set():
                break
    sys.exit(_sum_up(counts, apply=apply, stopped=asked.code if asked.is_set() else 0))


def _find_common(pictures: Sequence[Path]) -> list[Path]:
    """The folder in which all pictures are; none where that is the whole disk."""
    try:
        common = Path(os.path.commonpath([picture.parent.absolute() for picture in pictures]))
    except ValueError:  # of several disks, or of no pictures
        return []
    return [] if common == Path(common.anchor) else [common]


def _sum_up(counts: Counter[str], *, apply: bool, stopped: int) -> int:
    """Say how often what happened; the exit code."""
    told = ", ".join(f"{count} {_SAID.get(what, what)}" for what, count in counts.most_common())
    dry = "" if apply else "; nothing has changed: the same with --apply does it"
    say(f"{told or 'nothing to do'}{dry}")
    return 1 if counts["failed"] else stopped


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
