"""The check of `cutline alt`: lists missing alt texts in several formats; no model is needed."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from cutline.alttext.annotations import as_github, as_sarif
from cutline.alttext.audit import Picture, State
from cutline.alttext.baseline import Baseline, write_baseline
from cutline.alttext.pages import Skipped
from cutline.cli.progress import note, warn
from cutline.cli.terminal import plural, visible
from cutline.errors import CutlineError

FORMATS = ("text", "json", "github", "sarif")


def run_check(
    paths: Sequence[str],
    roots: Sequence[Path],
    *,
    form: str = "text",
    baseline: Path | None = None,
    update: bool = False,
) -> int:
    """List missing alt texts that the baseline does not know. Returns the exit code."""
    from cutline.alttext.edit import check

    known = Baseline.read(baseline) if baseline and not update else None
    skipped, failed = list[Skipped](), False
    gaps, new = list[Picture](), list[Picture]()
    for found in check(paths, roots=roots):
        if isinstance(found, CutlineError):
            warn(str(found))
            failed = True
        elif isinstance(found, Skipped):
            skipped.append(found)
        else:
            gaps.append(found)
            if known and known.excuses(found):
                continue
            new.append(found)
            if not update:
                _show(found, form)
    note_skipped(skipped)
    if baseline and update:
        write_baseline(baseline, gaps)
        note(f"{plural(len(gaps), 'missing alt text')} in {baseline}")
        return 1 if failed else 0
    if form == "sarif":
        click.echo(as_sarif(new))
    note(_summarize(len(new), known, len(gaps) - len(new)))
    return 1 if new or failed else 0


def _show(picture: Picture, form: str) -> None:
    """Print a gap; SARIF is printed at the end."""
    if form == "text":
        notable = picture.state in (State.PLACEHOLDER, State.FUNCTIONAL)
        click.echo(f"{where(picture)}: {plain(picture.why)}" if notable else where(picture))
    elif form == "json":
        print_json([picture])
    elif form == "github":
        click.echo(plain(as_github(picture)))


def _summarize(new: int, known: Baseline | None, excused: int) -> str:
    if known is None:
        return plural(new, "missing alt text")
    gone = sum(known.left.values())
    fixed = f"; {plural(gone, 'known gap')} fixed: run --update-baseline" if gone else ""
    return f"{plural(new, 'new missing alt text')}, {excused} in the baseline{fixed}"


def note_skipped(skipped: Sequence[Skipped]) -> None:
    """Say in a line each what was not read, so that nobody takes it for checked."""
    kinds = Counter(each.path.suffix.lower() for each in skipped if each.why == "kind")
    if kinds:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(kinds.items()))
        note(f"not read, because cutline does not read such files: {counts}")
    reasons = (
        ("generated", "generated, unless named"),
        ("ignored", "in .gitignore, unless named"),
        ("unclear", "their code cannot be told from markup"),
    )
    for why, reason in reasons:
        paths = [str(each.path) for each in skipped if each.why == why]
        if paths:
            more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
            note(plain(f"not read, because {reason}: {', '.join(paths[:5])}{more}"))


def where(picture: Picture) -> str:
    """`docs/guide.md:12: img/a.jpg`."""
    source = picture.source or "an img without src"
    shown = source if len(source) <= 100 else f"{source[:60]}…"
    return plain(f"{picture.page}:{picture.line}: {shown}")


def plain(text: str) -> str:
    """Text without control characters, which a page may contain to control the terminal."""
    return visible(text, keep="\t")


def print_json(pictures: Iterable[Picture]) -> None:
    """Print an object per picture, as docs/reference.md describes it."""
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
