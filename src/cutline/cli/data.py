"""The commands about data: get, show, check. Nothing here needs torch."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cutline.cli.options import overwrite_option
from cutline.cli.progress import Bars, say
from cutline.cli.terminal import echo
from cutline.datasets import SOURCES
from cutline.datasets.catalog import OFFERS, Plan, get_all
from cutline.datasets.catalog import plan as plan_fetching
from cutline.errors import CutlineError, FetchError

if TYPE_CHECKING:
    from cutline.datasets.validation import Problem
    from cutline.types import Example

LOOKED_AT_ONCE = 32


@click.group()
def data() -> None:
    """Fetch training data, and look at it."""


@data.command(name="list")
def list_all() -> None:
    """List what `data get` fetches, and the kinds of data that can be read."""
    for name, offer in OFFERS.items():
        size = sum(parcel.size for parcel in offer.parcels.values())
        echo(f"{name:13}  {_spell(size):>8}  {', '.join(offer.parcels)}")
    echo(f"--kind: {', '.join(SOURCES)}")


@data.command()
@click.argument("name")
@click.option("-o", "--out", type=Path, help="The folder [default: data/NAME].")
@click.option("--only", help="Some parts, by commas: annotations, train, val ...")
@click.option("--mirror", help="The same files from another address, or one of your own.")
@click.option("--plan", is_flag=True, help="Say what it will cost, and fetch nothing.")
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many files at a time.",
)
def get(
    name: str, out: Path | None, only: str | None, mirror: str | None, plan: bool, at_once: int
) -> None:
    """Fetch a data set (`cutline data list` names them).

    The same command goes on where it was stopped, broken off or killed. Every file is checked; a
    folder is there under its name only when it is whole.
    """
    folder = out or Path("data") / name
    parts = [part.strip() for part in only.split(",")] if only else []
    todo = plan_fetching(name, folder, only=parts, mirror=mirror)
    _tell(todo)
    if plan or not todo.missing:
        return
    if todo.bytes_needed > todo.bytes_free:
        raise FetchError(
            f"{folder} needs {_spell(todo.bytes_needed)} at the most, and the disk has "
            f"{_spell(todo.bytes_free)} left: fetch parts with --only, or name another folder"
        )
    failed = _get(todo, at_once)
    damaged = _find_damaged(folder)
    if failed or damaged:
        sys.exit(1)
    say(f"{folder} is whole: `cutline data check {folder} --kind {_kind(name)}` looks at it")


def _get(todo: Plan, at_once: int) -> bool:
    bars, done, failed = Bars(), dict[str, int](), False
    sizes = {parcel.name: parcel.size for parcel in todo.missing}
    events = get_all(todo.missing, todo.folder, at_once=at_once)
    try:
        for event in events:
            if isinstance(event, FetchError):
                failed = True
                say(f"cutline: {event}")
            elif event.name in sizes:
                sizes[event.name], done[event.name] = event.total, event.done
                bars.show("fetched", sum(done.values()), sum(sizes.values()), unit="B")
            else:
                say(f"{event.name}: {_spell(event.total)}") if event.done == event.total else None
    finally:
        events.close()
        bars.close()
    return failed


def _find_damaged(folder: Path) -> int:
    """Look at every picture, name those that cannot be read, and count them."""
    from cutline.images.load import View
    from cutline.images.prefetch import decode_ahead

    pictures, bars, damaged = sorted(folder.rglob("*.jpg")), Bars(), 0
    for number, batch in enumerate(decode_ahead(pictures, View(32), batch=LOOKED_AT_ONCE), 1):
        for answer in batch:
            if isinstance(answer, CutlineError):
                damaged += 1
                say(f"cutline: {answer}")
        bars.show("looked at", min(LOOKED_AT_ONCE * number, len(pictures)), len(pictures))
    return damaged


def _tell(todo: Plan) -> None:
    for parcel in todo.parcels:
        present = todo.present(parcel)
        state = f"{_spell(present)} have come" if present else "missing"
        click.echo(
            f"{parcel.name:32} {_spell(parcel.size):>9}  "
            f"{state if parcel in todo.missing else 'there'}"
        )
    click.echo(
        f"to fetch: {_spell(todo.bytes_to_fetch)}; needs at the most {_spell(todo.bytes_needed)} "
        f"in {todo.folder}, where {_spell(todo.bytes_free)} are left"
    )
    if todo.note:
        click.echo(todo.note)


def _kind(name: str) -> str:
    return "flickr8k" if name.startswith("flickr8k") else "coco"


def _spell(count: int) -> str:
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.{power // 9}f} {unit}"
    return f"{count} B"


@data.command()
@click.argument("folder", type=Path)
@click.option("--kind", default="folder", show_default=True, help="flickr8k, coco, folder ...")
@click.option("-o", "--out", type=Path, help="A page to look at, too: one HTML file.")
@overwrite_option
def show(folder: Path, kind: str, out: Path | None, overwrite: bool) -> None:
    """Show what is in a data set: counts, lengths, words, vocabulary, damage, duplicates."""
    from cutline.datasets import open_dataset
    from cutline.io.atomic import write_text_file
    from cutline.io.outputs import require_page_output
    from cutline.reports.dataset import Overview, draw_page, look_over, tell

    if out:
        require_page_output(out, overwrite=overwrite)
    examples, bars = list(open_dataset({"kind": kind}, folder)), Bars()
    for event in look_over(examples):
        if isinstance(event, Overview):
            echo(tell(event))
            if out:
                write_text_file([draw_page(event, examples, f"{kind}: {folder.name}")], out)
                say(f"{out} shows it")
        else:
            bars.show("looked at", event.done, event.total)


@data.command()
@click.argument("folder", type=Path)
@click.option("--kind", default="folder", show_default=True, help="flickr8k, coco, folder ...")
def check(folder: Path, kind: str) -> None:
    """Name everything that is wrong with a data set, by file and line.

    What stops a training comes last; what is only worth knowing, such as damaged pictures, which
    are left out, stands before it.
    """
    from cutline.datasets import open_dataset
    from cutline.datasets.validation import check_reading, read

    reading = read(open_dataset({"kind": kind}, folder))
    problems = [*check_reading(reading), *_find_unreadable(reading.examples)]
    for problem in sorted(problems, key=lambda problem: problem.is_fatal):
        echo(str(problem))
    fatal = sum(problem.is_fatal for problem in problems)
    click.echo(f"{fatal} to mend, {len(problems) - fatal} worth knowing", err=True)
    sys.exit(1 if fatal else 0)


def _find_unreadable(examples: "Sequence[Example]") -> "Iterator[Problem]":
    """Pictures that are there and cannot be decoded: every training leaves them out."""
    from cutline.datasets.validation import Problem
    from cutline.images.load import View
    from cutline.images.prefetch import decode_ahead

    images, bars = [example.image for example in examples if example.image.is_file()], Bars()
    decoded = decode_ahead(images, View(32), batch=LOOKED_AT_ONCE)
    for start, batch in zip(range(0, len(images), LOOKED_AT_ONCE), decoded, strict=True):
        for image, answer in zip(images[start:], batch, strict=False):
            if isinstance(answer, CutlineError):
                sentence = f"left out: it {str(answer).removeprefix(f'{image} ')}"
                yield Problem(image, None, sentence, is_fatal=False)
        bars.show("looked at", start + len(batch), len(images))
