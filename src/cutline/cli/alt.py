"""The command that fills in missing alt texts: alt."""

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
from cutline.cli.options import (
    device_option,
    json_option,
    min_confidence_option,
    model_option,
    quiet_option,
    style_options,
    threads_option,
)
from cutline.cli.progress import note, warn
from cutline.cli.terminal import plural, visible
from cutline.errors import CutlineError
from cutline.text.style import Style

if TYPE_CHECKING:
    from cutline.alttext.edit import Change

MAX_WIDTH = 400
"""Characters of a diff line that are shown on a terminal."""
CONTEXT = 100
"""Characters of a longer line that are shown before the change."""


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--apply", "do_apply", is_flag=True, help="Write the files [default: show a diff].")
@click.option(
    "--check",
    "do_check",
    is_flag=True,
    help="List missing alt texts; exit with 1 if any.",
)
@click.option("--fetch", "do_fetch", is_flag=True, help="Also caption pictures on other hosts.")
@click.option(
    "--root",
    "roots",
    type=Path,
    multiple=True,
    help="Folder in which to look up /img/a.jpg, before PATHS; may be repeated.",
)
@min_confidence_option("the threshold in the model's card")
@style_options
@model_option
@device_option
@threads_option
@json_option("one object per picture")
@quiet_option
def alt(
    paths: tuple[str, ...],
    do_apply: bool,
    do_check: bool,
    do_fetch: bool,
    roots: tuple[Path, ...],
    min_confidence: float | None,
    style: Style,
    model: Path | None,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Fill in missing alt texts in HTML and Markdown with captions.

    PATHS are files and folders: .html, .php, .vue, .md, templates and more. Only the new alt texts
    change, no other byte. Decorative pictures are left alone.
    """
    if do_check and (do_apply or do_fetch):
        raise click.UsageError("--check cannot be combined with --apply or --fetch")
    if do_check:
        sys.exit(_check(paths, roots, as_json=as_json))
    from cutline.alttext.edit import Captioned, Change, fill
    from cutline.alttext.fetch import fetch_picture
    from cutline.cli.progress import Bars
    from cutline.inference.captioner import load

    captioner, bars = load(model, threads=threads, device=device), Bars()
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
                bars.show("captioning", done, total)
            case Change():
                pictures += event.pictures
                wrong = _take(event, do_apply=do_apply, as_json=as_json)
            case CutlineError():
                wrong = [str(event)]
        for sentence in wrong:
            failed = True
            warn(sentence)
    note(_summarize(pictures, "filled" if do_apply else "to fill (--apply writes them)"))
    sys.exit(1 if failed else 0)


def _take(change: "Change", *, do_apply: bool, as_json: bool) -> list[str]:
    """Write a page or show its diff; returns a sentence for each problem."""
    from cutline.alttext.edit import apply

    wrong = [
        f"{_where(picture)}: {picture.why}"
        for picture in change.pictures
        if picture.state in (State.FILE_NOT_FOUND, State.UNREADABLE)
    ]
    if do_apply:
        try:
            apply(change)
        except CutlineError as error:
            return [*wrong, str(error)]
    if as_json:
        _print_json(change.pictures)
    elif not do_apply:
        _show(change.diff)
    return wrong


def _check(paths: tuple[str, ...], roots: tuple[Path, ...], *, as_json: bool) -> int:
    """List missing alt texts; needs no model. Returns the exit code."""
    from cutline.alttext.edit import check

    missing, failed = 0, False
    for found in check(paths, roots=roots):
        if isinstance(found, CutlineError):
            warn(str(found))
            failed = True
            continue
        missing += 1
        if as_json:
            _print_json([found])
        else:
            click.echo(_where(found))
    note(plural(missing, "missing alt text"))
    return 1 if missing or failed else 0


def _where(picture: Picture) -> str:
    """`docs/guide.md:12: img/a.jpg`."""
    source = picture.source or "an img without src"
    shown = source if len(source) <= 100 else f"{source[:60]}…"
    return _plain(f"{picture.page}:{picture.line}: {shown}")


def _print_json(pictures: Iterable[Picture]) -> None:
    for picture in pictures:
        line: dict[str, Any] = {
            "page": str(picture.page),
            "line": picture.line,
            "path": picture.source,
            "state": picture.state,
        }
        if picture.alt:
            line["alt"] = picture.alt
        if picture.confidence is not None:
            line["confidence"] = round(picture.confidence, 4)
        if picture.why:
            line["why"] = picture.why
        click.echo(json.dumps(line))


_SUMMARY = (
    (State.PRESENT, "with alt text"),
    (State.DECORATIVE, "decorative"),
    (State.UNKNOWN, "decided by a template"),
    (State.FILLED, ""),
    (State.UNSURE, "too unsure"),
    (State.REMOTE, "on other hosts (--fetch captions them)"),
    (State.TEMPLATED, "with an address in a template"),
    (State.FILE_NOT_FOUND, "not found"),
    (State.UNREADABLE, "unreadable"),
)


def _summarize(pictures: list[Picture], filled: str) -> str:
    """`12 pictures on 3 pages: 5 with alt text, 2 decorative, 4 filled, 1 unreadable`."""
    counts = Counter(picture.state for picture in pictures)
    pages = len({picture.page for picture in pictures})
    parts = [f"{counts[state]} {name or filled}" for state, name in _SUMMARY if counts[state]]
    head = f"{plural(len(pictures), 'picture')} on {plural(pages, 'page')}"
    return f"{head}: {', '.join(parts)}" if parts else head


# --------------------------------------------------------------------------- diff on a terminal


def _show(diff: bytes) -> None:
    """Print a diff: unchanged to files and pipes; coloured, shortened and escaped on a terminal."""
    if not sys.stdout.isatty():
        click.echo(diff, nl=False)
        return
    is_plain = bool(os.environ.get("NO_COLOR"))
    for line in _shorten(diff.decode("utf-8", "backslashreplace").splitlines()):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        shown = _plain(line)
        click.echo(shown if is_plain or not colour else click.style(shown, fg=colour))


def _shorten(lines: list[str]) -> Iterator[str]:
    """Cut long lines (minified pages) to the part around the first change."""
    starts, removed = dict[int, int](), deque[int]()
    for number, line in enumerate(lines):  # removed lines are added again in the same order
        if line[:1] == "-":
            removed.append(number)
        elif line[:1] == "+":
            alike = os.path.commonprefix([line[1:], lines[removed[0]][1:]])
            starts[number] = starts[removed.popleft()] = max(0, len(alike) - CONTEXT)
    for number, line in enumerate(lines):
        start = starts.get(number, 0) if len(line) > MAX_WIDTH else 0
        cut = f"{line[:1]}…{line[start + 1 :]}" if start else line
        yield cut if len(cut) <= MAX_WIDTH else f"{cut[:MAX_WIDTH]}…"


def _plain(text: str) -> str:
    """Text without control characters, which a page may contain to control the terminal."""
    return visible(text, keep="\t")
