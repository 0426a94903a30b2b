"""The commands that write captions where other software reads them, and undo that: write, undo."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from cutline.cli.options import (
    json_option,
    keywords_option,
    min_confidence_option,
    quiet_option,
)
from cutline.cli.progress import Bars, note, stop_after_the_event, warn
from cutline.cli.terminal import echo, plural

_PASSIVE = {
    "would write": "would be written",
    "would restore": "would be restored",
    "would delete": "would be deleted",
}


@click.command()
@click.argument("captions", type=Path)
@click.option(
    "--as",
    "form",
    required=True,
    type=click.Choice(["txt", "xmp", "embed"]),
    help="Text files, XMP sidecars, or the pictures themselves.",
)
@click.option("--apply", is_flag=True, help="Write the files [default: dry run].")
@click.option("--language", default="en", show_default=True, help="Language of the captions.")
@min_confidence_option("the threshold in the model's card")
@click.option(
    "--sidecars",
    type=click.Choice(["full", "stem"]),
    default="full",
    show_default=True,
    help="Names of new sidecars: photo.jpg.xmp (full) or photo.xmp (stem).",
)
@keywords_option
@click.option("--journal", type=Path, help="Undo journal [default: CAPTIONS with .undo.jsonl].")
@json_option("one object per file")
@quiet_option
def write(
    captions: Path,
    form: str,
    apply: bool,
    language: str,
    min_confidence: float | None,
    sidecars: str,
    keywords: bool,
    journal: Path | None,
    as_json: bool,
) -> None:
    """Write captions to text files, XMP sidecars or the pictures themselves.

    CAPTIONS is a .jsonl, .csv or .parquet file of `cutline caption --out`. Texts that a person
    wrote or edited are never overwritten. Every change is recorded in a journal, with which
    `cutline undo` restores the files byte for byte.
    """
    code = publish(
        captions,
        form,
        apply=apply,
        language=language,
        min_confidence=min_confidence,
        sidecars=sidecars,
        keywords=keywords,
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
    keywords: bool = False,
    journal: Path | None = None,
    as_json: bool = False,
    within: Sequence[Path] = (),
    unchanged: bool = True,
) -> int:
    """Write captions as `write` does, and print what happens to each; returns the exit code.

    Without `unchanged`, only what was written or failed is printed.
    """
    from cutline.metadata.undo_journal import journal_beside
    from cutline.metadata.writer import read_captions
    from cutline.metadata.writer import write as write_captions

    found, counts, bars = read_captions(captions), Counter[str](), Bars()
    unsure = 0
    events = write_captions(
        found,
        form=form,
        journal=journal or journal_beside(captions),
        apply=apply,
        language=language,
        min_confidence=min_confidence,
        sidecars=sidecars,
        keywords=keywords,
        known_to=captions,
        within=within or _find_common([Path(each.path) for each in found]),
    )
    with stop_after_the_event() as stop, closing(events):
        for done, event in enumerate(events, 1):
            counts[event.action] += 1
            unsure += event.unsure
            if not unchanged and event.action not in ("written", "failed"):
                pass
            elif as_json:
                click.echo(json.dumps(event.as_json()))
            elif event.unsure:
                pass  # most of an album may be; the summary counts them
            elif event.sentence:
                warn(f"{event.action}: {event.sentence}")
            else:
                more = [", ".join(event.keywords)] if event.keywords else []
                echo(event.action, str(event.target), event.text, *more)
            bars.show("writing", done, len(found))
            if stop.is_set():
                break
    bars.close()
    code = stop.code if stop.is_set() else 0
    return _summarize(counts, apply=apply, stopped=code, unsure=unsure)


@click.command()
@click.argument("journal", type=Path, default=Path("captions.undo.jsonl"))
@click.argument("folders", type=Path, nargs=-1)
@click.option("--apply", is_flag=True, help="Restore the files [default: dry run].")
@json_option("one object per file")
@quiet_option
def undo(journal: Path, folders: tuple[Path, ...], apply: bool, as_json: bool) -> None:
    """Undo what `cutline write` did: restore every file byte for byte.

    JOURNAL is the undo journal beside the captions [default: captions.undo.jsonl]. Files that have
    changed since are kept. Files outside the folder of the journal are restored only if they are
    in one of FOLDERS.
    """
    from cutline.metadata.undo_journal import undo as undo_changes

    counts, events = Counter[str](), undo_changes(journal, apply=apply, folders=folders)
    with stop_after_the_event() as stop, closing(events):
        for event in events:
            counts[event.action] += 1
            if as_json:
                line = {"target": str(event.target), "action": event.action}
                line |= {"sentence": event.sentence} if event.sentence else {}
                click.echo(json.dumps(line))
            elif event.sentence and event.action != "unchanged":
                warn(f"{event.action}: {event.sentence}")
            else:
                echo(event.action, _from_here(event.target))
            if stop.is_set():
                break
    sys.exit(_summarize(counts, apply=apply, stopped=stop.code if stop.is_set() else 0))


def _find_common(pictures: Sequence[Path]) -> list[Path]:
    """The common folder of all pictures; none if that is the root of the disk."""
    try:
        common = Path(os.path.commonpath([picture.parent.absolute() for picture in pictures]))
    except ValueError:  # several disks, or no pictures
        return []
    return [] if common == Path(common.anchor) else [common]


def _summarize(counts: Counter[str], *, apply: bool, stopped: int, unsure: int = 0) -> int:
    """Print how many files had which outcome; returns the exit code."""
    parts = (f"{count} {_PASSIVE.get(action, action)}" for action, count in counts.most_common())
    if unsure:
        them = "it" if unsure == 1 else "them"
        note(f"{plural(unsure, 'caption')} too unsure (--min-confidence 0 writes {them} too)")
    dry_run = "" if apply else "; this was a dry run: add --apply to change files"
    note(f"{', '.join(parts) or 'nothing to do'}{dry_run}")
    return 1 if counts["failed"] else stopped


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
