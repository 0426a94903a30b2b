"""The commands that caption pictures and libraries, and draw attention: caption, gaze."""

import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.answers import (
    Answer,
    answer_each,
    downloader,
    find_named,
    print_each,
    read_null_names,
    text_finder,
)
from cutline.cli.engine import engine_options, part_option
from cutline.cli.options import (
    Option,
    device_option,
    existing_option,
    file_of,
    json_option,
    keywords_option,
    min_confidence_option,
    model_by_language,
    model_option,
    null_option,
    out_option,
    overwrite_option,
    quiet_option,
    server_options,
    style_options,
    threads_option,
)
from cutline.cli.progress import Bars, Stopped, note, stop_after_the_event, warn
from cutline.cli.terminal import echo, plural
from cutline.errors import CutlineError, ModelError
from cutline.text.style import Style
from cutline.types import ExistingText, leave_out_unsure

if TYPE_CHECKING:
    from cutline.inference.captioner import Captioner
    from cutline.inference.library import CaptionOptions, Event
    from cutline.inference.parts import Part

OUT = Path("captions.jsonl")
"""The default file of captions with `--as`."""
PAGE = "report.html"
"""The page that `--as html` makes, in the folder of the captions."""


def _refer_to_submit(_: click.Context, __: click.Parameter, listed: str | None) -> None:
    """Raises `UsageError` for an option that became a command."""
    if listed:
        raise click.UsageError(
            f"--coco is now a command: cutline submit {listed} --images FOLDER -o OUT"
        )


@click.command()
@click.argument("paths", nargs=-1)
@model_by_language
@device_option
@threads_option
@server_options
@click.option("-r", "--recursive", is_flag=True, help="Search folders recursively.")
@json_option("one object per picture")
@click.option("--gaze", is_flag=True, help="Include the attention of each word in the JSON.")
@click.option(
    "--best",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of candidate captions per picture.",
)
@min_confidence_option("0; with --as, the threshold in the model's card")
@existing_option(default=False)
@style_options
@out_option("Write all captions to one .jsonl, .csv or .parquet file.")
@overwrite_option
@click.option("--retry-failed", is_flag=True, help="With --out: retry pictures that failed before.")
@click.option("--watch", "watched", is_flag=True, help="With --out: keep captioning new pictures.")
@click.option(
    "--as",
    "form",
    cls=Option,
    former=["--write"],
    type=click.Choice(["txt", "xmp", "embed", "html"]),
    help="Also write text files, XMP sidecars or the pictures themselves; or make one page.",
)
@click.option("--apply", is_flag=True, help="With --as: write the files [default: dry run].")
@keywords_option
@part_option
@click.option("--coco", callback=_refer_to_submit, expose_value=False, is_eager=True, hidden=True)
@click.option("--images", expose_value=False, hidden=True)  # of 0.1.0, with --coco
@null_option
@click.option(
    "--allow-urls",
    is_flag=True,
    help="Download pictures that are named by an http or https address, from public hosts only.",
)
@quiet_option
@engine_options
def caption(
    paths: tuple[str, ...],
    recursive: bool,
    as_json: bool,
    prefer_existing: bool,
    out: Path | None,
    overwrite: bool,
    retry_failed: bool,
    watched: bool,
    form: str | None,
    apply: bool,
    keywords: bool,
    part: "Part | None",
    null: bool,
    allow_urls: bool,
    **asking: Any,
) -> None:
    """Write a caption for each picture.

    PATHS are pictures, folders, glob patterns, or - to read paths from standard input. Pictures
    that cannot be read are reported, the others are captioned, and the exit code is 1.

    --out collects the captions of a whole library in one file. Run the same command again to
    resume after an interruption, or to caption new and changed pictures.

    --as passes the captions on to other software, as `cutline write` does, or makes report.html.
    The captions stay in captions.jsonl or the file named by --out; `cutline undo` reverts what
    --apply wrote. With --watch and --apply, new captions are written as they appear.
    """
    from cutline.cli.models import note_usage
    from cutline.inference.library import caption_library, watch

    out = _check_options(paths, out, part, needed=watched or retry_failed, watched=watched)
    _refuse_urls(allow_urls and (out or form))
    paths = tuple(read_null_names(paths)) if null else paths
    if form or apply or keywords:
        out = _choose_out(form, out, alone=not watched, apply=apply, keywords=keywords)
    if out:
        avoided = click.get_current_context().params.get("avoid")  # the style has only its words
        inputs = [file_of(asking["model"]), avoided, *map(Path, paths)]
        _check_outputs(out, form, inputs, overwrite=overwrite)
    captioner, options = _prepare(form, **asking)
    existing = text_finder() if prefer_existing else None
    if out:
        run: Callable[..., Generator[Event]] = watch if watched else caption_library
        given = {"recursive": recursive, "retry_failed": retry_failed, "part": part}
        events = run(captioner, paths, out, options, existing=existing, **given)
        pass_on = _passer_on(captioner, out, form, paths, asking, apply, keywords, as_json)
        events = _write_each_round(events, pass_on) if watched and form else events
        code = show_progress(events, out)
        code = code if form is None or code > 128 else pass_on() or code
    else:
        found = find_named(paths, recursive=recursive, addresses=allow_urls)
        caption_each = partial(captioner.caption_each, best=options.best, style=options.style)
        answers = answer_each(found, caption_each, existing, downloader() if allow_urls else None)
        lines = ((path, answer, _as_json(path, answer, options)) for path, answer in answers)
        alone, end = len(found) == 1 and not null, "\0" if null else "\n"
        code = print_each(lines, as_json=as_json, alone=alone, end=end)
    note_usage(captioner)
    sys.exit(code)


def _refuse_urls(is_combined: object) -> None:
    if is_combined:
        raise click.UsageError("--allow-urls cannot be combined with --out or --as")


def _prepare(
    form: str | None,
    *,
    model: Path | str | None,
    language: str | None,
    device: str,
    threads: int | None,
    gaze: bool,
    best: int,
    min_confidence: float | None,
    style: Style,
    asked: dict[str, Any],
) -> "tuple[Captioner, CaptionOptions]":
    """The model, and how each picture is captioned."""
    from cutline.cli.models import open_captioner
    from cutline.inference.library import CaptionOptions

    captioner = open_captioner(
        model, style, asked, device=device, threads=threads, language=language,
        best=best, gaze=gaze, min_confidence=min_confidence,
    )  # fmt: skip
    return captioner, CaptionOptions(best, gaze or form == "html", min_confidence or 0.0, style)


def _check_options(
    paths: tuple[str, ...], out: Path | None, part: "Part | None", *, needed: bool, watched: bool
) -> Path | None:
    """The file of this part. Raises `UsageError` for options that cannot be combined."""
    if not paths:
        raise click.UsageError("name pictures, folders or patterns, or - for a list of paths")
    if (needed or part) and not out:
        raise click.UsageError(
            "--watch, --retry-failed and --part need --out, as in --out captions.jsonl"
        )
    if watched and "-" in paths:
        raise click.UsageError("--watch cannot read paths from standard input: name the folder")
    return part.file_of(out) if part and out else out


def show_progress(events: Generator["Event"], out: Path) -> int:
    """Show the progress of a library; Ctrl-C leaves a file with the captions so far."""
    from cutline.inference.library import Finished, PictureDone, Scanned

    bars, failed, reported, summary = Bars(), 0, set[str](), ""  # --watch reports nothing twice
    with stop_after_the_event() as stop, closing(events):
        for event in events:
            match event:
                case Scanned(found, int(known), skipped):
                    if skipped and skipped not in reported:
                        reported.add(skipped)
                        note(skipped)
                    if known and not summary:
                        note(f"{out}: {known} of {plural(found, 'picture')} done already")
                case PictureDone(problem=problem, done=done, total=total):
                    if problem and problem not in reported:
                        reported.add(problem)
                        warn(problem)
                    bars.show("captioning", done, total, unit="pictures")
                case Finished(captioned, unsure, failed, existing):
                    had = f" ({existing} of them the pictures' own texts)" if existing else ""
                    less = f", {unsure} left out (unsure or not a photograph)" if unsure else ""
                    more = f", {failed} failed (--retry-failed tries again)" if failed else ""
                    before = summary
                    summary = f"{out}: {plural(captioned, 'caption')}{had}{less}{more}"
                    if summary != before:
                        note(summary)
            if stop.is_set():
                bars.close()
                note(f"stopped: {out} has the captions so far; run the same command to resume")
                return stop.code
    return 1 if failed else 0


def _write_each_round(
    events: Generator["Event"], pass_on: Callable[..., int]
) -> Generator["Event"]:
    """The events; after each round with new captions, write them elsewhere, too."""
    from cutline.inference.library import Finished, PictureDone

    is_new = True  # an earlier run may have left some
    with closing(events):
        for event in events:
            yield event
            is_new |= isinstance(event, PictureDone)
            if is_new and isinstance(event, Finished):
                is_new = False
                code = pass_on(unchanged=False)
                if code > 128:
                    raise Stopped(code - 128)


def _choose_out(
    form: str | None, out: Path | None, *, alone: bool, apply: bool, keywords: bool
) -> Path:
    """The file of captions for `--as`; reports obstacles before any picture is captioned."""
    from cutline.metadata.exiftool import find_exiftool

    if not form:
        given = "--apply" if apply else "--keywords"
        raise click.UsageError(f"{given} needs --as {'txt, ' if apply else ''}xmp or embed")
    if keywords and form not in ("xmp", "embed"):
        raise click.UsageError("--keywords can be combined with --as xmp or embed")
    if not alone and (not apply or form == "html"):
        raise click.UsageError("--watch can be combined with --as txt, xmp or embed, and --apply")
    if out and out.suffix != ".jsonl":
        raise click.UsageError("--as needs a file that records the model: --out FILE.jsonl")
    if form == "embed":
        find_exiftool()
    return out or OUT


def _check_outputs(
    out: Path, form: str | None, inputs: Sequence[Path | None], *, overwrite: bool
) -> None:
    """Raises `DataError` for a file that is an input, or that no journal knows as cutline's."""
    from cutline.inference.journal import journal_path
    from cutline.io.outputs import require_output, require_page_output

    files = [given for given in inputs if given is not None and not given.is_dir()]
    require_output(out, files, overwrite=overwrite, own=journal_path(out).is_file())
    if form == "html":
        require_page_output(out.with_name(PAGE), files, overwrite=overwrite)


def _passer_on(
    captioner: "Captioner",
    out: Path,
    form: str | None,
    paths: Sequence[str],
    asking: dict[str, Any],
    apply: bool,
    keywords: bool,
    as_json: bool,
) -> Callable[..., int]:
    """The function that writes the captions of a file elsewhere; it returns the exit code."""
    if form and form != "html":
        from cutline.cli.write import publish

        within = [Path(path) for path in paths if Path(path).is_dir()]
        return partial(
            publish,
            out,
            form,
            apply=apply,
            keywords=keywords,
            as_json=as_json,
            within=within,
            min_confidence=asking["min_confidence"],
        )
    from cutline.reports.captions import write_report

    def draw() -> int:
        page, bars = out.with_name(PAGE), Bars()
        for drawn in write_report(out, page, view=captioner.engine.view):
            bars.show("drawing", drawn.done, drawn.total)
        note(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
        return 0

    return draw


def _as_json(picture: str, answer: Answer, options: "CaptionOptions") -> dict[str, Any]:
    if isinstance(answer, CutlineError):
        return {"path": picture, "error": str(answer)}
    if isinstance(answer, ExistingText):
        return {"path": picture, **answer.as_json()}
    line = answer.as_json(gaze=options.gaze)
    return {"path": picture, **leave_out_unsure(line, options.min_confidence)}


@click.command()
@click.argument("picture", type=Path)
@out_option("The drawing: a .png or .jpg file [default: PICTURE.gaze.png, in this folder].")
@overwrite_option
@model_option
@device_option
@json_option("the caption with the attention of each word")
@quiet_option
def gaze(
    picture: Path,
    out: Path | None,
    overwrite: bool,
    model: Path | str | None,
    device: str,
    as_json: bool,
) -> None:
    """Draw the attention of a model for each word of its caption."""
    from cutline.images.load import open_image
    from cutline.inference.captioner import load
    from cutline.io.outputs import require_output
    from cutline.reports.attention import draw_gaze, save_drawing

    out = out or _free_name(f"{picture.stem}.gaze")
    require_output(out, (picture, file_of(model)), overwrite=overwrite)
    captioner = load(model, device=device)
    if not captioner.engine.abilities.attention:
        raise ModelError(f"{captioner.card.get('title')} does not say where it looked")
    caption = captioner.caption(picture, style=Style(any_picture=True))
    drawing = draw_gaze(open_image(picture, captioner.engine.view), caption)
    save_drawing(drawing, out)
    note(f"{out} written")
    line = {"path": str(picture), **caption.as_json(gaze=True)}
    echo(json.dumps(line) if as_json else caption.text)


def _free_name(stem: str) -> Path:
    """A name in the current folder that no file has: `dog.gaze.png`, `dog.gaze-2.png`."""
    names = chain([f"{stem}.png"], (f"{stem}-{number}.png" for number in count(2)))
    return next(path for path in map(Path, names) if not os.path.lexists(path))
