"""The commands for those who publish pictures: alt. Nothing here needs torch."""

import json
import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.alttext.audit import Picture, State
from cutline.cli.options import model_option, style_options, threads_option
from cutline.cli.terminal import visible
from cutline.errors import CutlineError
from cutline.text.style import Style

if TYPE_CHECKING:
    from cutline.alttext.edit import Change

WIDEST = 400
"""Signs of a line that a terminal is shown."""
AROUND = 100
"""Signs of a longer line that are shown before the place that changed."""


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--apply", "do_apply", is_flag=True, help="Write the files [default: show a diff].")
@click.option("--check", "do_check", is_flag=True, help="List what is missing, and exit with 1.")
@click.option("--fetch", "do_fetch", is_flag=True, help="Caption pictures of other hosts, too.")
@click.option(
    "--root",
    "roots",
    type=Path,
    multiple=True,
    help="Where /img/a.jpg is looked for, before the folder named; may be repeated.",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    help="Leave out captions below this confidence [default: the threshold in the model's card].",
)
@style_options
@model_option
@threads_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a picture.")
def alt(
    paths: tuple[str, ...],
    do_apply: bool,
    do_check: bool,
    do_fetch: bool,
    roots: tuple[Path, ...],
    min_confidence: float | None,
    style: Style,
    model: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Write the alt texts that are missing in HTML and Markdown.

    PATHS are files and folders: .html, .php, .vue, .md, templates and more. Every byte but the new
    texts stays as it is. Decorative pictures are left alone.
    """
    if do_check and (do_apply or do_fetch):
        raise click.UsageError("--check only looks: leave out --apply and --fetch")
    if do_check:
        sys.exit(_check(paths, roots, as_json=as_json))
    from cutline.alttext.edit import Captioned, Change, fill
    from cutline.alttext.fetch import fetch_picture
    from cutline.cli.progress import Bars, say
    from cutline.inference.captioner import load

    captioner, bars = load(model, threads=threads), Bars()
    pictures, failed = list[Picture](), False
    for event in fill(
        paths,
        partial(captioner.caption_each, style=style),
        roots=roots,
        fetch=fetch_picture if do_fetch else None,
        min_confidence=captioner.threshold if min_confidence is None else min_confidence,
    ):
        wrong = list[str]()
        match event:
            case Captioned(done, total):
                bars.show("captioned", done, total)
            case Change():
                pictures += event.pictures
                wrong = _take(event, do_apply=do_apply, as_json=as_json)
            case CutlineError():
                wrong = [str(event)]
        for sentence in wrong:
            failed = True
            say(_plain(f"cutline: {sentence}"))
    say(_sum_up(pictures, "filled" if do_apply else "to fill (--apply writes)"))
    sys.exit(1 if failed else 0)


def _take(change: "Change", *, do_apply: bool, as_json: bool) -> list[str]:
    """Write a page, or show what would be written; sentences on what is wrong."""
    from cutline.alttext.edit import apply

    wrong = [
        f"{_where(picture)}: {picture.why}"
        for picture in change.pictures
        if picture.state in (State.ABSENT, State.UNREADABLE)
    ]
    if do_apply:
        try:
            apply(change)
        except CutlineError as error:
            return [*wrong, str(error)]
    if as_json:
        _tell_each(change.pictures)
    elif not do_apply:
        _show(change.diff)
    return wrong


def _check(paths: tuple[str, ...], roots: tuple[Path, ...], *, as_json: bool) -> int:
    """List what is missing; needs no model."""
    from cutline.alttext.edit import check

    missing, failed = 0, False
    for found in check(paths, roots=roots):
        if isinstance(found, CutlineError):
            click.echo(_plain(f"cutline: {found}"), err=True)
            failed = True
            continue
        missing += 1
        if as_json:
            _tell_each([found])
        else:
            click.echo(_where(found))
    click.echo(f"{missing} alt text{'s are' if missing != 1 else ' is'} missing", err=True)
    return 1 if missing or failed else 0


def _where(picture: Picture) -> str:
    """`docs/guide.md:12: img/a.jpg`."""
    source = picture.source or "an img without src"
    shown = source if len(source) <= 100 else f"{source[:60]}…"
    return _plain(f"{picture.page}:{picture.line}: {shown}")


def _tell_each(pictures: Iterable[Picture]) -> None:
    for picture in pictures:
        told: dict[str, Any] = {
            "page": str(picture.page),
            "line": picture.line,
            "path": picture.source,
            "state": picture.state,
        }
        if picture.alt:
            told["alt"] = picture.alt
        if picture.confidence is not None:
            told["confidence"] = round(picture.confidence, 4)
        if picture.why:
            told["why"] = picture.why
        click.echo(json.dumps(told))


_TOLD = (
    (State.TOLD, "with a text"),
    (State.DECORATIVE, "decorative"),
    (State.UNKNOWN, "up to a template"),
    (State.FILLED, ""),
    (State.UNSURE, "not sure enough"),
    (State.REMOTE, "of other hosts (--fetch)"),
    (State.TEMPLATED, "whose address is a template's"),
    (State.ABSENT, "not there"),
    (State.UNREADABLE, "unreadable"),
)


def _sum_up(pictures: list[Picture], filled: str) -> str:
    """`12 pictures on 3 pages: 5 with a text, 2 decorative, 4 filled, 1 of other hosts`."""
    counts = Counter(picture.state for picture in pictures)
    pages = len({picture.page for picture in pictures})
    parts = [f"{counts[state]} {name or filled}" for state, name in _TOLD if counts[state]]
    head = f"{len(pictures)} pictures on {pages} pages"
    return f"{head}: {', '.join(parts)}" if parts else head


# ------------------------------------------------------------------------------- diff on a screen


def _show(diff: bytes) -> None:
    """The diff as it is into files and pipes; on a terminal in colour, with no signs that steer."""
    if not sys.stdout.isatty():
        click.echo(diff, nl=False)
        return
    is_plain = bool(os.environ.get("NO_COLOR"))
    for line in _shorten(diff.decode("utf-8", "backslashreplace").splitlines()):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        shown = _plain(line)
        click.echo(shown if is_plain or not colour else click.style(shown, fg=colour))


def _shorten(lines: list[str]) -> Iterator[str]:
    """Pages of one line are shown where they change first."""
    starts, gone = dict[int, int](), deque[int]()
    for number, line in enumerate(lines):  # every line that goes comes again, in the same order
        if line[:1] == "-":
            gone.append(number)
        elif line[:1] == "+":
            alike = os.path.commonprefix([line[1:], lines[gone[0]][1:]])
            starts[number] = starts[gone.popleft()] = max(0, len(alike) - AROUND)
    for number, line in enumerate(lines):
        start = starts.get(number, 0) if len(line) > WIDEST else 0
        cut = f"{line[:1]}…{line[start + 1 :]}" if start else line
        yield cut if len(cut) <= WIDEST else f"{cut[:WIDEST]}…"


def _plain(text: str) -> str:
    """Control signs spelt out: a page may hold what would steer a terminal."""
    return visible(text, keep="\t")
