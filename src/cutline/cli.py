"""The command line: words into calls. torch is imported only by the commands that train."""

import glob
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cutline import __version__
from cutline.errors import CutlineError, DataError, ModelError
from cutline.progress import Bars, say, stop_after_the_event
from cutline.records import Caption, Report
from cutline.validation import is_picture

if TYPE_CHECKING:
    from cutline.experiment import Validated


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "-m", "--model", type=Path, help="Model folder or one-file model [default: built in]."
)
@click.option("-r", "--recursive", is_flag=True, help="Search folders to the bottom.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--best", default=1, show_default=True, help="How many candidates a picture.")
@click.option("--threads", type=int, help="Cores to use [default: all].")
def caption(
    paths: tuple[str, ...],
    model: Path | None,
    recursive: bool,
    as_json: bool,
    best: int,
    threads: int | None,
) -> None:
    """Write a caption under each picture.

    PATHS are pictures, folders, glob patterns, or - for a list of paths on standard input. One
    that cannot be read gets a line that says why, the rest go on, and the exit code is 1.
    """
    from cutline.captioner import load

    captioner = load(model, threads=threads)
    found = list(find_pictures(paths, recursive=recursive))
    readable = (Path(path) for path, problem in found if problem is None)
    answers = captioner.caption_each(readable, best=best)
    failed = False
    for path, problem in found:
        answer = problem or next(answers)
        failed |= isinstance(answer, CutlineError)
        _say(path, answer, as_json=as_json, alone=len(found) == 1)
    sys.exit(1 if failed else 0)


def find_pictures(
    paths: Iterable[str], *, recursive: bool
) -> Iterator[tuple[str, DataError | None]]:
    """Files as they are named, the pictures of folders sorted, glob patterns spelt out.

    A folder or a pattern in which there is none comes with what to say about it.
    """
    for path in paths:
        if path == "-":
            lines = (line.rstrip("\r\n") for line in sys.stdin)
            yield from find_pictures((line for line in lines if line), recursive=recursive)
            continue
        try:
            found = list(_look_at(path, recursive=recursive))
        except OSError as error:  # a name too long, a folder one may not enter
            found = [(path, DataError(f"{path} cannot be read: {error.strerror}"))]
        yield from found


def _look_at(path: str, *, recursive: bool) -> Iterator[tuple[str, DataError | None]]:
    if Path(path).is_dir():
        inside = Path(path).rglob("*") if recursive else Path(path).iterdir()
        pictures = sorted(str(p) for p in inside if is_picture(p.name))
        deeper = "" if recursive else " (--recursive looks deeper)"
        yield from _or_say(pictures, path, f"{path} has no pictures in it{deeper}")
    elif not Path(path).exists() and glob.has_magic(path):
        matching = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 (may be absolute)
        yield from _or_say(matching, path, f"{path} matches nothing")
    else:
        yield path, None


def _or_say(
    pictures: list[str], path: str, sentence: str
) -> Iterator[tuple[str, DataError | None]]:
    yield from ((picture, None) for picture in pictures)
    if not pictures:
        yield path, DataError(sentence)


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


# ----------------------------------------------------------------------------------- measuring


@commands.command()
@click.argument("predictions", type=Path)
@click.option("--references", type=Path, required=True, help="COCO, Karpathy, Flickr8k, JSON(L).")
@click.option("--partial", is_flag=True, help="Score the images that both files have.")
@click.option("--json", "as_json", is_flag=True, help="Scores and signature as JSON.")
def score(predictions: Path, references: Path, partial: bool, as_json: bool) -> None:
    """Score captions against what people wrote: BLEU-1..4 and CIDEr-D.

    The numbers are those of the COCO evaluator; the signature says how they were made.
    """
    from cutline import metrics
    from cutline.caption_files import read_predictions, read_references

    report = metrics.score(
        read_predictions(predictions), read_references(references), partial=partial
    )
    _show_report(report, as_json=as_json)


@commands.command()
@click.argument("model", type=Path, required=False)
@click.option("--data", type=Path, required=True, help="The data, as its owner has it.")
@click.option("--kind", help="What data it is [default: what the model was trained on].")
@click.option("--split", default="test", show_default=True, help="train, validation or test.")
@click.option("--out", type=Path, help="Write the captions here, as COCO results.")
@click.option("--record", is_flag=True, help="Write the scores into the one-file model's card.")
@click.option("--json", "as_json", is_flag=True, help="Scores and signature as JSON.")
def evaluate(
    model: Path | None,
    data: Path,
    kind: str | None,
    split: str,
    out: Path | None,
    record: bool,
    as_json: bool,
) -> None:
    """Caption a split of a data set and score the captions.

    MODEL is a model folder or a one-file model [default: built in].
    """
    from cutline.captioner import PACKAGED, load
    from cutline.evaluation import caption_split, score_split
    from cutline.recipe import open_source

    captioner = load(model)
    if record and (model or PACKAGED).is_dir():
        raise ModelError(f"{model} is a folder; scores are recorded in a file of `cutline export`")
    source = open_source({"kind": kind} if kind else captioner.card["source"], data)
    examples = [example for example in source if example.split == split and example.captions]
    if not examples:
        raise DataError(f"{data} has no pictures with captions in the split {split!r}")
    captioned = []
    bars = Bars()
    for number, each in enumerate(caption_split(captioner, examples), 1):
        captioned.append(each)
        bars.show("captioned", number, len(examples))
    if out:
        found = [{"image_id": _as_id(c.example.id), "caption": c.text} for c in captioned]
        out.write_text(json.dumps(found, indent=0, ensure_ascii=False), encoding="utf8")
    report = score_split(captioned)
    _show_report(report, as_json=as_json)
    if record:
        with _needs_training():
            from cutline.export import record_scores
        record_scores(model or PACKAGED, split, report)


def _as_id(id: str) -> int | str:
    """COCO's ids are numbers."""
    return int(id) if id.isdecimal() else id


@commands.command()
@click.argument("model", type=Path, required=False)
def card(model: Path | None) -> None:
    """Show what a model was trained on, how well it does, and what it gets wrong."""
    from cutline.captioner import load
    from cutline.card import write_card

    click.echo(write_card(load(model).card), nl=False)


def _show_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
        return
    for name, value in report.scores.items():
        click.echo(f"{name:<8} {100 * value:6.1f}")
    click.echo(report.signature)


# ------------------------------------------------------------------------------------- training


@commands.command()
@click.argument("recipe", type=Path)
@click.option("--data", type=Path, required=True, help="The data, as its owner has it.")
@click.option("--out", type=Path, help="Model folder [default: runs/NAME OF THE RECIPE].")
@click.option("--weights", type=Path, help="The encoder's weights [default: the built-in model's].")
@click.option("--cache", type=Path, help="Where encoded pictures are kept [~/.cache/cutline].")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--save-every", default=60.0, show_default=True, help="Seconds between savings.")
def train(
    recipe: Path,
    data: Path,
    out: Path | None,
    weights: Path | None,
    cache: Path | None,
    device: str,
    save_every: float,
) -> None:
    """Train a captioner. The same command goes on with a run that was stopped or killed."""
    with _needs_training():
        from cutline.experiment import Begun, Experiment, Validated
        from cutline.features import Encoded
        from cutline.recipe import Recipe
        from cutline.training import Step

    folder = out or Path("runs") / recipe.stem
    chosen = f" --weights {weights.name}" if weights else ""
    command = f"cutline train recipes/{recipe.name} --data {data.resolve().name}{chosen}"
    experiment = Experiment(
        Recipe.read(recipe),
        data,
        folder,
        weights=weights,
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
                case Begun(pictures=pictures, words=words, step=begun, steps=steps):
                    counts = ", ".join(f"{n} {split}" for split, n in pictures.items())
                    resumed = f", going on after step {begun}" if begun else ""
                    say(f"{folder}: {counts} pictures, {words} words{resumed}")
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


def _show_epoch(event: "Validated") -> None:
    scores = event.report.scores if event.report else {}
    told = "  ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
    say(f"epoch {event.epoch + 1}  loss {event.loss:.3f}  {told}{'  *' * event.is_best}")
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
    help="How the weights are stored; they compute in single precision.",
)
@click.option(
    "--trust", is_flag=True, help="Run code of its maker's own, if its recipe names some."
)
def export(model: Path, out: Path | None, precision: str, trust: bool) -> None:
    """Turn a model folder into the one-file form: pixels in, captions out, in one ONNX file."""
    _export(model, out or model / "model.onnx", precision, trust=trust)


def _export(model: Path, out: Path, precision: Any, *, trust: bool) -> None:
    with _needs_training():
        from cutline.checkpoint import read_model
        from cutline.export import export
    export(read_model(model, trust=trust), out, precision=precision)
    say(f"{out}: {out.stat().st_size / 1e6:.1f} MB, weights in {precision}")


# ----------------------------------------------------------------------------------------- data


@commands.group()
def data() -> None:
    """Look at training data."""


@data.command()
@click.argument("folder", type=Path)
@click.option("--kind", default="folder", show_default=True, help="flickr8k, coco, folder ...")
def check(folder: Path, kind: str) -> None:
    """Name everything that is wrong with a data set, by file and line."""
    from cutline.recipe import open_source
    from cutline.validation import check

    problems = check(open_source({"kind": kind}, folder))
    for problem in problems:
        click.echo(str(problem))
    fatal = sum(problem.is_fatal for problem in problems)
    click.echo(f"{fatal} to mend, {len(problems) - fatal} worth knowing", err=True)
    sys.exit(1 if fatal else 0)


@contextmanager
def _needs_training() -> Iterator[None]:
    """Without torch, say how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CutlineError(
            f"this command trains and needs {error.name}: pip install 'cutline[train]', "
            "or '.[train]' in a clone"
        ) from None


if __name__ == "__main__":
    main()
