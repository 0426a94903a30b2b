"""The commands for data sets: data list, data get, data show, data check. None needs torch."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import (
    json_option,
    language_option,
    out_option,
    overwrite_option,
    quiet_option,
    skip_bad_option,
)
from cutline.cli.progress import Bars, note, warn
from cutline.cli.terminal import echo, plural
from cutline.datasets import SOURCES
from cutline.datasets.catalog import DOWNLOADABLE, Plan, get_all
from cutline.datasets.catalog import plan as plan_download
from cutline.errors import CutlineError, FetchError
from cutline.text.words import ENGLISH

if TYPE_CHECKING:
    from cutline.datasets.validation import Problem
    from cutline.reports.dataset import Summary
    from cutline.types import Example

BATCH = 32
folder_kind_option = click.option(
    "--kind",
    default="folder",
    show_default=True,
    help="Kind of data set; `cutline data list` lists them.",
)


@click.group()
def data() -> None:
    """Download, summarize and check data sets."""


@data.command(name="list")
@json_option("data sets with their parts, and kinds")
@quiet_option
def list_all(as_json: bool) -> None:
    """List the data sets that can be downloaded, and the kinds that can be read."""
    sizes = {
        name: {part: remote.size for part, remote in dataset.files.items()}
        for name, dataset in DOWNLOADABLE.items()
    }
    if as_json:
        echo(json.dumps({"datasets": sizes, "kinds": list(SOURCES)}, indent=2))
        return
    for name, parts in sizes.items():
        echo(f"{name:13}  {_format_size(sum(parts.values())):>8}  {', '.join(parts)}")
    echo(f"--kind: {', '.join(SOURCES)}")


@data.command()
@click.argument("name")
@out_option("Folder of the data set [default: data/NAME].")
@click.option("--only", metavar="PARTS", help="Comma-separated parts: annotations, train, val ...")
@click.option("--mirror", metavar="URL", help="Download the same files from another server.")
@click.option("--plan", is_flag=True, help="Show the files and sizes; download nothing.")
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of simultaneous downloads.",
)
@json_option("files and sizes")
@quiet_option
def get(
    name: str,
    out: Path | None,
    only: str | None,
    mirror: str | None,
    plan: bool,
    at_once: int,
    as_json: bool,
) -> None:
    """Download a data set; `cutline data list` lists the names.

    Run the same command again to resume after an interruption. Every file is verified, and a
    folder appears under its final name only when it is complete.
    """
    folder = out or Path("data") / name
    parts = [part.strip() for part in only.split(",")] if only else []
    todo = plan_download(name, folder, only=parts, mirror=mirror)
    _print_plan(todo, as_json=as_json)
    if plan or not todo.missing:
        return
    if todo.bytes_needed > todo.bytes_free:
        raise FetchError(
            f"{folder} needs up to {_format_size(todo.bytes_needed)}, and the disk has "
            f"{_format_size(todo.bytes_free)} left: choose parts with --only, or another folder"
        )
    failed = _get(todo, at_once)
    damaged = _find_damaged(folder)
    if failed or damaged:
        sys.exit(1)
    note(f"{folder} is complete; check it with `cutline data check {folder} --kind {_kind(name)}`")


def _get(todo: Plan, at_once: int) -> bool:
    """Download what is missing; returns whether a file failed."""
    bars, done, failed = Bars(), dict[str, int](), False
    sizes = {remote.name: remote.size for remote in todo.missing}
    events = get_all(todo.missing, todo.folder, at_once=at_once)
    try:
        for event in events:
            if isinstance(event, FetchError):
                failed = True
                warn(str(event))
            elif event.name in sizes:
                sizes[event.name], done[event.name] = event.total, event.done
                bars.show("downloading", sum(done.values()), sum(sizes.values()), unit="B")
            elif event.done == event.total:
                note(f"{event.name}: {_format_size(event.total)}")
    finally:
        events.close()
        bars.close()
    return failed


def _find_damaged(folder: Path) -> int:
    """Decode every picture, report those that cannot be read, and count them."""
    from cutline.images.load import View
    from cutline.images.prefetch import decode_ahead

    pictures, bars, damaged = sorted(folder.rglob("*.jpg")), Bars(), 0
    for number, batch in enumerate(decode_ahead(pictures, View(32), batch=BATCH), 1):
        for answer in batch:
            if isinstance(answer, CutlineError):
                damaged += 1
                warn(str(answer))
        bars.show("checking", min(BATCH * number, len(pictures)), len(pictures))
    return damaged


def _print_plan(todo: Plan, *, as_json: bool) -> None:
    files: list[dict[str, Any]] = [
        {
            "name": remote.name,
            "size": remote.size,
            "present": todo.present(remote),
            "complete": remote not in todo.missing,
        }
        for remote in todo.files
    ]
    if as_json:
        line = {"folder": str(todo.folder), "files": files, "to_download": todo.bytes_to_fetch}
        line |= {"needed": todo.bytes_needed, "free": todo.bytes_free}
        echo(json.dumps(line))
        return
    for name, size, present, complete in (file.values() for file in files):
        part = f"{_format_size(present)} downloaded" if present else "missing"
        state = "complete" if complete else part
        click.echo(f"{name:32} {_format_size(size):>9}  {state}")
    click.echo(
        f"to download: {_format_size(todo.bytes_to_fetch)}; needs up to "
        f"{_format_size(todo.bytes_needed)} in {todo.folder}, {_format_size(todo.bytes_free)} free"
    )
    if todo.note:
        click.echo(todo.note)


def _kind(name: str) -> str:
    return "flickr8k" if name.startswith("flickr8k") else "coco"


def _format_size(count: int) -> str:
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.{power // 9}f} {unit}"
    return f"{count} B"


@data.command()
@click.argument("folder", type=Path)
@folder_kind_option
@language_option
@out_option("Also write an HTML page.")
@overwrite_option
@skip_bad_option
@json_option("the same figures")
@quiet_option
def show(
    folder: Path,
    kind: str,
    language: str | None,
    out: Path | None,
    overwrite: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Summarize a data set: counts, lengths, words, damaged and duplicate pictures."""
    from cutline.datasets import open_in_language
    from cutline.io.atomic import write_text_file
    from cutline.io.outputs import require_page_output
    from cutline.reports.dataset import Summary, format_summary, render_summary, summarize

    if out:
        require_page_output(out, overwrite=overwrite)
    language = language or ENGLISH
    source, bars = open_in_language(kind, folder, language), Bars()
    examples = _read_valid(source) if skip_bad else list(source)
    for event in summarize(examples, language=language):
        if not isinstance(event, Summary):
            bars.show("checking", event.done, event.total)
            continue
        echo(json.dumps(_as_json(event), indent=2) if as_json else format_summary(event))
        if out:
            write_text_file(render_summary(event, examples, f"{kind}: {folder.name}"), out)
            note(f"{out} written")


def _read_valid(source: Any) -> "list[Example]":
    """The examples of a source without what is invalid, which is listed on standard error."""
    from cutline.datasets.validation import read

    reading = read(source).without_bad()
    for problem in reading.problems:
        if problem.is_fatal:
            warn(f"left out: {problem}")
    return list(reading.examples)


def _as_json(summary: "Summary") -> dict[str, Any]:
    return {
        "pictures": summary.pictures,
        "captions": summary.captions,
        "mean_length": round(summary.mean_length, 4),
        "lengths": summary.lengths,
        "words": dict(summary.words),
        "damaged": summary.damaged,
        "duplicates": [[str(each.image) for each in group] for group in summary.duplicates],
    }


@data.command()
@click.argument("folder", type=Path)
@folder_kind_option
@language_option
@json_option("one object per problem")
@quiet_option
def check(folder: Path, kind: str, language: str | None, as_json: bool) -> None:
    """List all problems of a data set, by file and line.

    Problems that prevent training come last. The others, such as damaged pictures, which training
    leaves out, come first.
    """
    from cutline.datasets import open_in_language
    from cutline.datasets.validation import check_reading, find_copies, read

    reading = read(open_in_language(kind, folder, language or ENGLISH))
    problems = [*check_reading(reading), *find_copies(reading.examples)]
    problems += _find_unreadable(reading.examples)
    for problem in sorted(problems, key=lambda problem: problem.is_fatal):
        line = {
            "file": str(problem.file),
            "line": problem.line,
            "problem": problem.sentence,
            "fatal": problem.is_fatal,
        }
        echo(json.dumps(line) if as_json else str(problem))
    fatal = sum(problem.is_fatal for problem in problems)
    note(f"{plural(fatal, 'error')}, {plural(len(problems) - fatal, 'warning')}")
    sys.exit(1 if fatal else 0)


def _find_unreadable(examples: "Sequence[Example]") -> "Iterator[Problem]":
    """Existing pictures that cannot be decoded, which training leaves out."""
    from cutline.datasets.validation import Problem
    from cutline.images.load import View
    from cutline.images.prefetch import decode_ahead
    from cutline.images.shards import size_of

    images = [example.image for example in examples if size_of(example.image) is not None]
    bars = Bars()
    decoded = decode_ahead(images, View(32), batch=BATCH)
    for start, batch in zip(range(0, len(images), BATCH), decoded, strict=True):
        for image, answer in zip(images[start:], batch, strict=False):
            if isinstance(answer, CutlineError):
                sentence = f"left out: it {str(answer).removeprefix(f'{image} ')}"
                yield Problem(image, None, sentence, is_fatal=False)
        bars.show("checking", start + len(batch), len(images))
