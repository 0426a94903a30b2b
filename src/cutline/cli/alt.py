"""The command that fills in missing alt texts: alt."""

import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.alttext.audit import Picture, State
from cutline.alttext.pages import Skipped
from cutline.cli.alt_check import FORMATS, note_skipped, plain, print_json, run_check, where
from cutline.cli.options import (
    choose_model,
    device_option,
    existing_option,
    json_option,
    min_confidence_option,
    models_option,
    quiet_option,
    server_options,
    style_options,
    threads_option,
)
from cutline.cli.progress import note, warn
from cutline.cli.terminal import plural
from cutline.errors import CutlineError, WritingError
from cutline.text.style import Style
from cutline.text.words import ENGLISH, primary_language

if TYPE_CHECKING:
    from cutline.alttext.edit import Change, Speaker
    from cutline.inference.captioner import Captioner
    from cutline.metadata.undo_journal import UndoJournal

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
@click.option("--placeholders", is_flag=True, help="Also replace texts such as IMG_1234 or image.")
@click.option("--language", help="Language of the captions [default: the model's, or en].")
@click.option("--hedge", default="", help='Text before each caption, such as "Maybe: ".')
@click.option("--format", "form", type=click.Choice(FORMATS), help="With --check: output format.")
@click.option("--baseline", type=Path, help="With --check: file of known gaps, which are accepted.")
@click.option("--update-baseline", is_flag=True, help="With --check: write the gaps to --baseline.")
@click.option("--journal", type=Path, help="Undo journal [default: alt.undo.jsonl].")
@existing_option(default=True)
@partial(style_options, neutral=True)
@models_option
@device_option
@threads_option
@server_options
@json_option("one object per picture")
@quiet_option
def alt(
    paths: tuple[str, ...],
    do_apply: bool,
    do_check: bool,
    do_fetch: bool,
    roots: tuple[Path, ...],
    form: str | None,
    baseline: Path | None,
    update_baseline: bool,
    journal: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fill in missing alt texts in web pages and documents with captions.

    PATHS are files and folders: .html, .md, .jsx, .rst, .adoc, .docx, templates and more. Only the
    new alt texts change. Decorative pictures are left alone, and so are links and buttons
    that contain only a picture: a person has to write what they do.
    """
    if not do_check and (form or baseline or update_baseline):
        raise click.UsageError("--format, --baseline and --update-baseline need --check")
    if update_baseline and not baseline:
        raise click.UsageError("--update-baseline needs --baseline")
    if as_json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be combined with --format {form}")
    if do_check and (do_apply or do_fetch):
        raise click.UsageError("--check cannot be combined with --apply or --fetch")
    if do_check:
        form = "json" if as_json else form or "text"
        sys.exit(run_check(paths, roots, form=form, baseline=baseline, update=update_baseline))
    from cutline.metadata.existing import find_text
    from cutline.metadata.undo_journal import UndoJournal

    options |= {"existing": find_text} if options.pop("prefer_existing") else {}
    undo = UndoJournal(journal or _default_journal(paths)) if do_apply else None
    try:
        code = _fill(paths, roots, undo, do_fetch=do_fetch, as_json=as_json, **options)
    finally:
        if undo:
            undo.close()
    sys.exit(code)


def _fill(
    paths: tuple[str, ...],
    roots: tuple[Path, ...],
    undo: "UndoJournal | None",
    *,
    do_fetch: bool,
    as_json: bool,
    min_confidence: float | None,
    style: Style,
    models: Mapping[str, Path | str],
    language: str | None,
    asked: dict[str, Any],
    device: str,
    threads: int | None,
    **options: Any,
) -> int:
    """Caption what is missing, and write the pages or show a diff. Returns the exit code."""
    from cutline.alttext.edit import Captioned, Change, fill
    from cutline.alttext.fetch import fetch_picture
    from cutline.cli.models import note_usage
    from cutline.cli.progress import Bars

    captioners = _open_captioners(
        models, language, style, asked, threads, device=device, min_confidence=min_confidence
    )
    speakers = {name: _speaker(each, style, min_confidence) for name, each in captioners.items()}
    language = language or next(iter(captioners.values())).language
    first = speakers.pop(next(iter(speakers)))
    bars = Bars()
    pictures, skipped, failed = list[Picture](), list[Skipped](), False
    for event in fill(
        paths,
        first.caption_each,
        roots=roots,
        fetch=fetch_picture if do_fetch else None,
        min_confidence=first.min_confidence,
        language=language,
        others=speakers,
        **options,
    ):
        wrong = list[str]()
        match event:
            case Captioned(done, total):
                bars.show("captioning", done, total)
            case Change():
                changed, wrong = _take(event, undo, as_json=as_json)
                pictures += changed
            case Skipped():
                skipped.append(event)
            case CutlineError():
                wrong = [str(event)]
        for sentence in wrong:
            failed = True
            warn(sentence)
    for each in captioners.values():
        note_usage(each)
    note_skipped(skipped)
    _note_texts(pictures)
    note(_summarize(pictures, "filled" if undo else "to fill (--apply writes them)"))
    return 1 if failed else 0


def _open_captioners(
    models: Mapping[str, Path | str],
    language: str | None,
    style: Style,
    asked: dict[str, Any],
    threads: int | None,
    **options: Any,
) -> dict[str, "Captioner"]:
    """The captioners by language, with the one for pages in any other language first."""
    from cutline.cli.models import open_captioner

    tag = primary_language(language or "")
    chosen = {tag: choose_model(models, tag or ENGLISH)}
    chosen |= {name: models[name] for name in models if name not in ("", tag)}
    return {
        name: open_captioner(model, style, asked, threads=threads, language=name or None, **options)
        for name, model in chosen.items()
    }


def _speaker(captioner: "Captioner", style: Style, min_confidence: float | None) -> "Speaker":
    from cutline.alttext.edit import Speaker

    least = captioner.threshold if min_confidence is None else min_confidence
    return Speaker(partial(captioner.caption_each, style=style), least)


def _take(
    change: "Change", undo: "UndoJournal | None", *, as_json: bool
) -> tuple[tuple[Picture, ...], list[str]]:
    """Write a page or show its diff; returns its pictures and a sentence for each problem."""
    pictures = change.pictures
    wrong = [
        f"{where(picture)}: {picture.why}"
        for picture in pictures
        if picture.state in (State.FILE_NOT_FOUND, State.UNREADABLE)
    ]
    if undo and not change.is_empty and (problem := _write(change, undo)):
        wrong.append(problem)
        pictures = tuple(
            replace(each, state=State.UNWRITTEN, why=problem)
            if each.state is State.FILLED
            else each
            for each in pictures
        )
    if as_json:
        print_json(pictures)
    elif not undo:
        _show(change.diff)
    for picture in pictures:
        if picture.state is State.FUNCTIONAL:
            note(f"{where(picture)}: {plain(picture.why)}")
    return pictures, wrong


def _write(change: "Change", undo: "UndoJournal") -> str:
    """Write a page, so that it can be undone; returns what went wrong, if anything did."""
    from cutline.metadata.undo_journal import explain_failure

    named = change.page.path
    path = named.resolve()  # what a link points to is written, the link stays
    try:
        undo.replace(path, change.content, seen=change.page.content, picture=path)
    except (OSError, WritingError) as error:
        return explain_failure(named, error)
    return ""


def _default_journal(paths: tuple[str, ...]) -> Path:
    """`alt.undo.jsonl` in the current folder, or in the one of all pages if they are elsewhere.

    `cutline undo` restores only what is below the journal's folder.
    """
    real = [Path(path).resolve() for path in paths]
    folders = [path if path.is_dir() else path.parent for path in real]
    here = Path.cwd()
    if all(folder.is_relative_to(here) for folder in folders):
        return Path("alt.undo.jsonl")
    try:
        return Path(os.path.commonpath(folders)) / "alt.undo.jsonl"
    except ValueError:  # on several disks
        return Path("alt.undo.jsonl")


def _note_texts(pictures: list[Picture]) -> None:
    """Say how many texts the pictures had, and how many are in another language than their page."""
    texts = [p for p in pictures if p.state is State.FILLED and p.confidence is None]
    if texts:
        note(f"{plural(len(texts), 'text')} that the pictures had already (--ignore-existing)")
    others = [p for p in pictures if p.state is State.FILLED and p.why and p not in texts]
    if others:
        languages = ", ".join(sorted({picture.language for picture in others}))
        count = plural(len(others), "text")
        unmarked = sum(picture.why.endswith("not marked") for picture in others)
        how = f"{unmarked} of them without a lang attribute" if unmarked else "marked with lang"
        note(plain(f"{count} in another language than the page ({languages}): {how}"))


_SUMMARY = (
    (State.PRESENT, "with alt text"),
    (State.DECORATIVE, "decorative"),
    (State.UNKNOWN, "decided by a template"),
    (State.FILLED, ""),
    (State.UNSURE, "too unsure (--min-confidence 0 fills them)"),
    (State.REMOTE, "on other hosts (--fetch captions them)"),
    (State.TEMPLATED, "with an address in a template"),
    (State.FILE_NOT_FOUND, "not found"),
    (State.UNREADABLE, "unreadable"),
    (State.UNWRITTEN, "not written"),
    (State.PLACEHOLDER, "with a placeholder (--placeholders replaces them)"),
    (State.FUNCTIONAL, "for a person to write"),
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
        shown = plain(line)
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
