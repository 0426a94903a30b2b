"""The command line: words into calls. torch is imported only by the commands that train."""

import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from cutline import __version__
from cutline.errors import CutlineError, needs_training
from cutline.pictures import find_pictures
from cutline.progress import Bars, say, stop_after_the_event
from cutline.records import Caption

if TYPE_CHECKING:
    from cutline.captioner import Captioner
    from cutline.checkpoint import Checkpoint
    from cutline.experiment import Begun, Validated


ELSEWHERE = {
    "data": "gathering",
    **dict.fromkeys(("score", "compare", "evaluate", "calibrate", "inspect", "card"), "measuring"),
}


class Commands(click.Group):
    """Most commands are imported when somebody asks for them: captioning starts sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name."""
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if room := ELSEWHERE.get(cmd_name):
            return getattr(import_module(f"cutline.{room}"), cmd_name)
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
        _say(path, answer, as_json=as_json, alone=len(found) == 1)
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


def _say(picture: str, answer: Caption | CutlineError, *, as_json: bool, alone: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(picture, answer)))
    elif isinstance(answer, CutlineError):
        click.echo(f"cutline: {answer}", err=True)
    else:
        for candidate in (answer, *answer.alternatives):
            click.echo(candidate.text if alone else f"{picture}\t{candidate.text}")


def _as_json(picture: str, answer: Caption | CutlineError) -> dict[str, Any]:
    if isinstance(answer, CutlineError):
        return {"path": picture, "error": str(answer)}
    described = {"path": picture, **_describe(answer)}
    if answer.alternatives:
        described["best"] = [_describe(each) for each in (answer, *answer.alternatives)]
    return described


def _describe(caption: Caption) -> dict[str, Any]:
    return {
        "caption": caption.text,
        "confidence": round(caption.confidence, 4),
        "log_prob": round(caption.log_prob, 4),
    }


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


# ------------------------------------------------------------------------------------- training


@commands.command()
@click.argument("recipe", type=Path)
@click.option("--data", type=Path, required=True, help="The data, as its owner has it.")
@click.option("--out", type=Path, help="Model folder [default: runs/NAME OF THE RECIPE].")
@click.option("--weights", type=Path, help="The encoder's weights [default: the built-in model's].")
@click.option("--start", type=Path, help="Go on from this model: its encoder, decoder and words.")
@click.option("--cache", type=Path, help="Where encoded pictures are kept [~/.cache/cutline].")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between savings.")
def train(
    recipe: Path,
    data: Path,
    out: Path | None,
    weights: Path | None,
    start: Path | None,
    cache: Path | None,
    device: str,
    save_every: float,
) -> None:
    """Train a captioner. The same command goes on with a run that was stopped or killed."""
    with needs_training():
        from cutline.experiment import Begun, Experiment, Validated
        from cutline.features import Encoded
        from cutline.recipe import Recipe
        from cutline.training import Step

    folder = out or Path("runs") / recipe.stem
    chosen = f" --weights {weights.name}" if weights else ""
    chosen += f" --start {start.name}" if start else ""
    command = f"cutline train recipes/{recipe.name} --data {data.resolve().name}{chosen}"
    experiment = Experiment(
        Recipe.read(recipe),
        data,
        folder,
        weights=weights,
        start=start,
        cache=cache,
        device=device,
        save_every=save_every,
        command=command,
    )
    events, steps, bars = experiment.run(), 0, Bars()
    with stop_after_the_event() as stop:
        for event in events:
            match event:
                case Encoded(done=done, total=total, damaged=damaged):
                    for sentence in damaged:
                        say(f"left out: {sentence}")
                    bars.show("encoded", done, total)
                case Begun():
                    steps = event.steps
                    _show_beginning(folder, event)
                case Step(number=number, loss=loss):
                    bars.show("step", number, steps, f"loss {loss:.3f}")
                case Validated():
                    _show_epoch(event)
            if stop.is_set():
                events.close()
                bars.close()
                say(f"stopped; the same command goes on from here ({folder})")
                sys.exit(130)
    _export(folder, folder / "model.onnx", "fp32", trust=True)
    say(f"done: `cutline caption --model {folder} PICTURE` runs it")


def _show_beginning(folder: Path, begun: "Begun") -> None:
    counts = ", ".join(f"{n} {split}" for split, n in begun.pictures.items())
    which = f", training {begun.training} of {begun.trainings}" if begun.trainings > 1 else ""
    resumed = f", going on after step {begun.step}" if begun.step else ""
    say(f"{folder}: {counts} pictures, {begun.words} words{which}{resumed}")


def _show_epoch(event: "Validated") -> None:
    scores = event.report.scores if event.report else {}
    told = "  ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
    say(f"epoch {event.epoch + 1}  loss {event.loss:.3f}  {told}{'  *' * event.is_best}")
    for warning in event.warnings:
        say(f"    look at this: {warning}")
    for example, caption in event.samples:
        say(f"    {example.image.name}: {caption.text}")


@commands.command()
@click.argument("model", type=Path)
@click.option("-o", "--out", type=Path, help="The file [default: model.onnx in the folder].")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp32",
    show_default=True,
    help="fp16: smaller; int8: smaller and faster.",
)
@click.option(
    "--data",
    type=Path,
    help="What it was trained on: int8 is measured on its pictures, and what that costs.",
)
@click.option(
    "--trust", is_flag=True, help="Run code of its maker's own, if its recipe names some."
)
def export(model: Path, out: Path | None, precision: str, data: Path | None, trust: bool) -> None:
    """Turn a model folder into the one-file form: pixels in, captions out, in one ONNX file."""
    _export(model, out or model / "model.onnx", precision, data, trust=trust)


def _export(
    model: Path, out: Path, precision: Any, data: Path | None = None, *, trust: bool
) -> None:
    with needs_training():
        from cutline.checkpoint import read_model
        from cutline.export import export, pictures_of
    from cutline.measuring import find_examples

    checkpoint = read_model(model, trust=trust)
    if data:
        find_examples(checkpoint.card, data, None, "validation")  # else there is nothing to score
    pixels = pictures_of(checkpoint, data) if data else ()
    export(checkpoint, out, precision=precision, pixels=pixels)
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {precision}")
    if data and precision != "fp32":
        _record_cost(checkpoint, out, precision, data)


def _record_cost(checkpoint: "Checkpoint", out: Path, precision: str, data: Path) -> None:
    """Write into the card what a narrower precision costs on validation."""
    from cutline.export import export, record
    from cutline.measuring import score_model

    split, metric = "validation", "CIDEr-D"
    with TemporaryDirectory() as folder:
        exact = Path(folder) / "fp32.onnx"
        export(checkpoint, exact)
        scores = {
            name: score_model(path, data, split).scores[metric]
            for name, path in (("fp32", exact), (precision, out))
        }
    record(out, {"precision_cost": {"split": split, "metric": metric, **scores}})
    told = ", ".join(f"{name} {100 * score:.1f}" for name, score in scores.items())
    say(f"{metric} on {split}: {told}")


@commands.command()
@click.argument("models", type=Path, nargs=-1, required=True)
@click.option("-o", "--out", type=Path, required=True, help="The new model folder.")
def soup(models: tuple[Path, ...], out: Path) -> None:
    """Make one model whose weights are the mean of several models' of one kind."""
    with needs_training():
        from cutline.checkpoint import read_model
        from cutline.soup import mix, save
    save(mix([read_model(model) for model in models]), out)
    say(f"{out}: the mean of {len(models)} models; `cutline evaluate {out}` scores it")


@commands.command("import")
@click.argument("encoder", type=Path)
@click.argument("decoder", type=Path)
@click.argument("vocabulary", type=Path)
@click.option("-o", "--out", type=Path, required=True, help="The new model folder.")
@click.option(
    "--fit",
    type=click.Choice(["crop", "squash"]),
    default="crop",
    show_default=True,
    help="How its pictures were made square.",
)
def adopt(encoder: Path, decoder: Path, vocabulary: Path, out: Path, fit: str) -> None:
    """Bring in a model of the classic image captioning projects.

    ENCODER and DECODER are saved state dictionaries (encoder-5.pkl, decoder-5.pkl), VOCABULARY
    is their vocab.pkl. Nothing in these files is run.
    """
    with needs_training():
        from cutline.adoption import adopt, save
    from cutline.pickled import read_vocabulary

    adopted = adopt(encoder, decoder, read_vocabulary(vocabulary), fit=fit)
    for match in adopted.matches:
        say(match)
    command = f"cutline import {encoder.name} {decoder.name} {vocabulary.name} --fit {fit}"
    save(adopted, out, command)
    say(f"{out}: `cutline export {out}` makes it one file that needs no torch")


if __name__ == "__main__":
    main()
