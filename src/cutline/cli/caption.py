"""The commands that caption: pictures and whole libraries; and where it looked."""

import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline.cli.options import model_option, overwrite_option, style_options, threads_option
from cutline.cli.progress import Bars, say, stop_after_the_event
from cutline.cli.terminal import echo, visible
from cutline.errors import CutlineError, ImageError
from cutline.images.find import find_pictures
from cutline.text.style import Style
from cutline.types import Caption, leave_out_unsure

if TYPE_CHECKING:
    from cutline.inference.captioner import Captioner
    from cutline.inference.library import Event

OUT = Path("captions.jsonl")
"""Where captions are kept that go on to other software, if nobody says."""
PAGE = "report.html"
"""Beside them."""


def _tell_submit(_: click.Context, __: click.Parameter, listed: str | None) -> None:
    """Raises `UsageError` for what is a command of its own now."""
    if listed:
        raise click.UsageError(
            f"--coco is a command now: cutline submit {listed} --images FOLDER -o OUT"
        )


@click.command()
@click.argument("paths", nargs=-1)
@model_option
@click.option("-r", "--recursive", is_flag=True, help="Search folders to the bottom.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--gaze", is_flag=True, help="In JSON: where each word looked.")
@click.option("--best", default=1, show_default=True, help="How many candidates a picture.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave a caption away that is less sure.",
)
@style_options
@click.option("-o", "--out", type=Path, help="All captions in one .jsonl, .csv or .parquet file.")
@overwrite_option
@click.option("--retry-failed", is_flag=True, help="With --out: try damaged pictures again.")
@click.option("--watch", "watched", is_flag=True, help="With --out: caption what appears, too.")
@click.option(
    "--write",
    "form",
    type=click.Choice(["txt", "xmp", "embed", "html"]),
    help="Then put captions in text files, XMP sidecars, the pictures; or make one page.",
)
@click.option("--apply", is_flag=True, help="With --write: write; else only say what would be.")
@click.option("--coco", callback=_tell_submit, expose_value=False, is_eager=True, hidden=True)
@click.option("--images", expose_value=False, hidden=True)  # of before, beside --coco
@threads_option
def caption(
    paths: tuple[str, ...],
    model: Path | None,
    recursive: bool,
    as_json: bool,
    gaze: bool,
    best: int,
    min_confidence: float,
    style: Style,
    out: Path | None,
    overwrite: bool,
    retry_failed: bool,
    watched: bool,
    form: str | None,
    apply: bool,
    threads: int | None,
) -> None:
    """Write a caption under each picture.

    PATHS are pictures, folders, glob patterns, or - for a list of paths on standard input. One
    that cannot be read gets a line that says why, the rest go on, and the exit code is 1.

    With --out the captions of a whole library go into one file. The same command goes on where one
    was stopped or killed, and captions what is new or has changed.

    With --write the captions then go where `cutline write` puts them, or into report.html; --out is
    captions.jsonl if it is not named, and `cutline undo` takes back what --apply wrote.
    """
    from cutline.inference.captioner import load

    _insist_on_sense(paths, out, again=watched or retry_failed, watched=watched)
    if form or apply:
        out = _choose_out(form, out, alone=not watched)
    if out:
        avoided = click.get_current_context().params.get("avoid")  # of which a `Style` was made
        inputs = [model, avoided, *map(Path, paths)]
        _insist_on_outs(out, form, inputs, overwrite=overwrite)
    captioner = load(model, threads=threads)
    if out:
        from cutline.inference.library import Wanted, caption_library, watch

        looked = gaze or form == "html"
        wanted = Wanted(best=best, gaze=looked, min_confidence=min_confidence, style=style)
        given = {"recursive": recursive, "retry_failed": retry_failed}
        events = (watch if watched else caption_library)(captioner, paths, out, wanted, **given)
        code = _show(events, out)
        sys.exit(_hand_on(captioner, out, form, code, paths, apply=apply, as_json=as_json))
    found = list(find_pictures(paths, recursive=recursive))
    pictures = (Path(path) for path, wrong in found if not wrong)
    answers = captioner.caption_each(pictures, best=best, style=style)
    how = (as_json, gaze, min_confidence)
    sys.exit(_say_each(found, answers, *how))


def _say_each(
    found: Sequence[tuple[str, CutlineError | None]],
    answers: Iterator[Caption | ImageError],
    as_json: bool,
    gaze: bool,
    min_confidence: float,
) -> int:
    """A line for each picture, whole whatever stops it; the exit code."""
    failed = False
    with stop_after_the_event() as stop:
        for path, problem in found:
            answer = problem or next(answers)
            failed |= isinstance(answer, CutlineError)
            told = _as_json(path, answer, gaze=gaze, min_confidence=min_confidence)
            _say(told, answer, as_json=as_json, alone=len(found) == 1)
            if stop.is_set():
                return stop.code
    return 1 if failed else 0


def _insist_on_sense(
    paths: tuple[str, ...], out: Path | None, *, again: bool, watched: bool
) -> None:
    """Raises `UsageError` for options that do not go together."""
    if not paths:
        raise click.UsageError("name pictures, folders or patterns, or - for a list of paths")
    if again and not out:
        raise click.UsageError("--watch and --retry-failed need --out captions.jsonl")
    if watched and "-" in paths:
        raise click.UsageError("--watch looks again, and - can be read only once: name the folder")


def _show(events: Generator["Event"], out: Path) -> int:
    """How a library is captioned; Ctrl-C leaves a file with what there is."""
    from cutline.inference.library import Answered, Finished, Listed

    bars, failed, told, summed_up = Bars(), 0, set[str](), ""  # watching, things are said once
    with stop_after_the_event() as stop, closing(events):
        for event in events:
            match event:
                case Listed(found, int(known)) if known and not summed_up:
                    say(f"{out}: {known} of {found} pictures are known")
                case Answered(problem=problem, done=done, total=total):
                    if problem and problem not in told:
                        told.add(problem)
                        say(f"cutline: {problem}")
                    bars.show("captioned", done, total, unit="pictures")
                case Finished(captioned, unsure, failed):
                    less = f", {unsure} left out: unsure, or no photographs" if unsure else ""
                    more = f", {failed} without (--retry-failed tries again)" if failed else ""
                    before, summed_up = summed_up, f"{out}: {captioned} captions{less}{more}"
                    if summed_up != before:
                        say(summed_up)
            if stop.is_set():
                bars.close()
                say(f"stopped; {out} has what is done, and the same command goes on")
                return stop.code
    return 1 if failed else 0


def _choose_out(form: str | None, out: Path | None, *, alone: bool) -> Path:
    """The file of captions that are then written elsewhere; what hinders that is said before."""
    from cutline.metadata.exiftool import find_exiftool

    if not form:
        raise click.UsageError("--apply needs --write: txt, xmp or embed")
    if not alone:
        raise click.UsageError("--write does not go with --watch")
    if out and out.suffix != ".jsonl":
        raise click.UsageError("--write needs lines that say which model wrote: --out FILE.jsonl")
    if form == "embed":
        find_exiftool()
    return out or OUT


def _insist_on_outs(
    out: Path, form: str | None, inputs: Sequence[Path | None], *, overwrite: bool
) -> None:
    """Raises `DataError` for a file that is read here, or that no journal knows as cutline's."""
    from cutline.inference.journal import journal_of
    from cutline.io.outputs import require_output, require_page_output

    files = [given for given in inputs if given is not None and not given.is_dir()]
    require_output(out, files, overwrite=overwrite, own=journal_of(out).is_file())
    if form == "html":
        require_page_output(out.with_name(PAGE), files, overwrite=overwrite)


def _hand_on(
    captioner: "Captioner",
    out: Path,
    form: str | None,
    code: int,
    paths: Sequence[str],
    *,
    apply: bool,
    as_json: bool,
) -> int:
    """A file of captions into other files, unless captioning was stopped; the exit code of both."""
    if form is None or code > 128:
        return code
    if form != "html":
        from cutline.cli.write import publish

        within = [Path(path) for path in paths if Path(path).is_dir()]
        return publish(out, form, apply=apply, as_json=as_json, within=within) or code
    from cutline.reports.captions import write_report

    page, bars = out.with_name(PAGE), Bars()
    for drawn in write_report(out, page, view=captioner.engine.view):
        bars.show("drawn", drawn.done, drawn.total)
    say(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
    return code


def _say(
    told: dict[str, Any], answer: Caption | CutlineError, *, as_json: bool, alone: bool
) -> None:
    if as_json:
        click.echo(json.dumps(told))
    elif isinstance(answer, CutlineError):
        click.echo(visible(f"cutline: {answer}"), err=True)
    elif "left_out" in told:
        why = f"cutline: {told['path']} has no caption: {told['left_out']}"
        click.echo(visible(why), err=True)
    else:
        for candidate in (answer, *answer.alternatives):
            echo(*([] if alone else [told["path"]]), candidate.text)


def _as_json(
    picture: str, answer: Caption | CutlineError, *, gaze: bool, min_confidence: float
) -> dict[str, Any]:
    if isinstance(answer, CutlineError):
        return {"path": picture, "error": str(answer)}
    return {"path": picture, **leave_out_unsure(answer.as_json(gaze=gaze), min_confidence)}


@click.command()
@click.argument("picture", type=Path)
@click.option("-o", "--out", type=Path, required=True, help="The drawing: a .png or .jpg file.")
@overwrite_option
@model_option
def gaze(picture: Path, out: Path, overwrite: bool, model: Path | None) -> None:
    """Draw where the model looked for each word of its caption."""
    from cutline.images.load import open_image
    from cutline.inference.captioner import load
    from cutline.io.outputs import require_output
    from cutline.reports.attention import draw_gaze, save_drawing

    require_output(out, (picture, model), overwrite=overwrite)
    captioner = load(model)
    caption = captioner.caption(picture, style=Style(any_picture=True))
    drawing = draw_gaze(open_image(picture, captioner.engine.view), caption)
    save_drawing(drawing, out)
    echo(caption.text)
