"""The command line: words into calls. torch is imported only by the commands that train."""

import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline import __version__
from cutline.errors import CutlineError
from cutline.pictures import find_pictures
from cutline.progress import Bars, say
from cutline.records import Caption

if TYPE_CHECKING:
    from cutline.captioner import Captioner


ELSEWHERE = {
    "data": "gathering",
    "report": "publishing",
    **dict.fromkeys(("train", "export", "soup", "import"), "making"),
    **dict.fromkeys(("score", "compare", "evaluate", "calibrate", "inspect", "card"), "measuring"),
}


NAMES = {"import": "adopt"}
"""Commands whose names are words of Python's own."""


class Commands(click.Group):
    """Most commands are imported when somebody asks for them: captioning starts sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name."""
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if room := ELSEWHERE.get(cmd_name):
            return getattr(import_module(f"cutline.{room}"), NAMES.get(cmd_name, cmd_name))
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cutline")
def commands() -> None:
    """Train, measure and run image captioners."""


def main() -> None:
    """The `cutline` command: a user's mistake is one sentence and exit code 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names may be any bytes
    try:
        commands(standalone_mode=False)
    except CutlineError as error:
        sys.exit(f"cutline: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads us any more
        sys.exit(141)


# --------------------------------------------------------------------------------------- caption


@commands.command()
@click.argument("paths", nargs=-1)
@click.option(
    "-m", "--model", type=Path, help="Model folder or one-file model [default: built in]."
)
@click.option("-r", "--recursive", is_flag=True, help="Search folders to the bottom.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--gaze", is_flag=True, help="With --json: where each word looked.")
@click.option("--best", default=1, show_default=True, help="How many candidates a picture.")
@click.option("--threads", type=int, help="Cores to use [default: all].")
@click.option("--coco", type=Path, help="Caption a list of COCO's: image_info_test2014.json.")
@click.option("--images", type=Path, help="With --coco: the folder of its pictures.")
@click.option("--out", type=Path, help="With --coco: captions_test2014_NAME_results.json.")
def caption(
    paths: tuple[str, ...],
    model: Path | None,
    recursive: bool,
    as_json: bool,
    gaze: bool,
    best: int,
    threads: int | None,
    coco: Path | None,
    images: Path | None,
    out: Path | None,
) -> None:
    """Write a caption under each picture.

    PATHS are pictures, folders, glob patterns, or - for a list of paths on standard input. One
    that cannot be read gets a line that says why, the rest go on, and the exit code is 1.
    """
    from cutline.captioner import load

    captioner = load(model, threads=threads)
    if coco:
        sys.exit(_submit(captioner, coco, images or coco.parent, out))
    if not paths:
        raise click.UsageError("name pictures, folders or patterns, or - for a list of paths")
    found = list(find_pictures(paths, recursive=recursive))
    readable = (Path(path) for path, problem in found if problem is None)
    answers = captioner.caption_each(readable, best=best)
    failed = False
    for path, problem in found:
        answer = problem or next(answers)
        failed |= isinstance(answer, CutlineError)
        _say(path, answer, as_json=as_json, gaze=gaze, alone=len(found) == 1)
    sys.exit(1 if failed else 0)


def _submit(captioner: "Captioner", coco: Path, images: Path, out: Path | None) -> int:
    from cutline.submission import check, submit

    if out is None:
        raise click.UsageError("--coco needs --out captions_SET_NAME_results.json")
    bars = Bars()
    for event in submit(captioner, coco, images, out):
        if event.wrong:
            say(f"cutline: {event.wrong}")
        bars.show("captioned", event.done, event.total)
    problems = check(json.loads(out.read_text(encoding="utf8")), coco)
    for problem in problems:
        say(f"cutline: {out}: {problem}")
    say(f"{out}: {len(problems)} problems for the evaluation server")
    return 1 if problems else 0


def _say(
    picture: str, answer: Caption | CutlineError, *, as_json: bool, gaze: bool, alone: bool
) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(picture, answer, gaze=gaze)))
    elif isinstance(answer, CutlineError):
        click.echo(f"cutline: {answer}", err=True)
    else:
        for candidate in (answer, *answer.alternatives):
            click.echo(candidate.text if alone else f"{picture}\t{candidate.text}")


def _as_json(picture: str, answer: Caption | CutlineError, *, gaze: bool) -> dict[str, Any]:
    if isinstance(answer, CutlineError):
        return {"path": picture, "error": str(answer)}
    return {"path": picture, **answer.as_json(gaze=gaze)}


@commands.command()
@click.argument("picture", type=Path)
@click.option("-o", "--out", type=Path, required=True, help="The drawing: a .png or .jpg file.")
@click.option(
    "-m", "--model", type=Path, help="Model folder or one-file model [default: built in]."
)
def gaze(picture: Path, out: Path, model: Path | None) -> None:
    """Draw where the model looked for each word of its caption."""
    from cutline.captioner import load
    from cutline.gaze import draw_gaze
    from cutline.images import open_image

    captioner = load(model)
    caption = captioner.caption(picture)
    drawing = draw_gaze(open_image(picture, captioner.engine.view), caption)
    try:
        drawing.save(out)
    except (OSError, ValueError) as error:
        raise CutlineError(f"{out} cannot be written: {error}") from None
    click.echo(caption.text)


if __name__ == "__main__":
    main()
