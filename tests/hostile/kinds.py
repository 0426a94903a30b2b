"""The kinds of hostile input, each with its maker and the readers that would meet it.

A reader is the command itself wherever there is one, run in this process: what it refuses ends it
with a sentence, and whatever else it raises is a defect.
"""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from cutline.cli.main import main
from cutline.errors import CutlineError
from hostile.captions import make_captions, make_data, make_list, make_references
from hostile.folders import make_album, make_journal, make_page, make_undo, make_zip
from hostile.images import make_image, make_packet
from hostile.material import Material
from hostile.models import make_folder, make_model, make_recipe, make_vocabulary
from hostile.servers import Server, answers_in, make_answers

Maker = Callable[[Random, Path, Material], Path]
Reader = Callable[[Random, Path, Material], None]


class RefusedError(Exception):
    """A command ended with a sentence and a code that is not 0."""


@dataclass(frozen=True)
class Kind:
    """Inputs of one kind."""

    make: Maker
    """Writes an input into an empty folder; the path that a user would name."""
    read: Reader
    """Returns when it was answered; raises one of `Refusal` where it was refused."""
    share: int
    """Of the inputs of a campaign, in thousandths: fast readers get many."""
    needs: tuple[str, ...] = ("cutline.inference.captioner",)
    """What is imported before anything is measured."""


def run(*arguments: object) -> None:
    """`cutline`, in this process, with nobody at the terminal."""
    before = sys.argv, sys.stdin, sys.stdout, sys.stderr
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf8")
    complained = io.TextIOWrapper(io.BytesIO(), encoding="utf8", errors="backslashreplace")
    sys.argv = ["cutline", *map(str, arguments)]
    sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO()), said, complained
    try:
        main()
        said.flush()
    except SystemExit as stopped:
        said.flush()
        if isinstance(stopped.code, str):
            raise RefusedError(stopped.code.removeprefix("cutline: ")) from None
        if stopped.code:
            complained.flush()
            told = complained.buffer.getvalue().decode()  # type: ignore[attr-defined]
            raise RefusedError(told.strip().rpartition("\n")[2] or f"code {stopped.code}") from None
    finally:
        sys.argv, sys.stdin, sys.stdout, sys.stderr = before


def read_image(dice: Random, path: Path, material: Material) -> None:
    from cutline.images.load import View, open_image

    open_image(path, View())


def read_packet(dice: Random, path: Path, material: Material) -> None:
    run("write", path, "--as", "xmp", "--apply")


def read_model(dice: Random, path: Path, material: Material) -> None:
    picture = path.parent / "dog.png"
    picture.write_bytes(material.picture)
    match dice.randrange(6):
        case 0:
            run("card", path)
        case 1:
            from cutline.models.checkpoint import build
            from cutline.models.checkpoint import read_model as read

            build(read(path))
        case 2:
            run("caption", picture, "--model", path, "--max-chars", 20, "--json", "--threads", 1)
        case _:
            run("caption", picture, "--model", path, "--gaze", "--json", "--threads", 1)


def read_folder(dice: Random, path: Path, material: Material) -> None:
    picture = path.parent / "dog.png"
    picture.write_bytes(material.picture)
    match dice.randrange(6):
        case 0:
            run("card", path)
        case 1:
            run("report", path)
        case 2:
            from cutline.models.checkpoint import read_resume

            read_resume(path)
        case 3:
            run("soup", path, material.model, "-o", path.parent / "soup")
        case _:
            run("caption", picture, "--model", path, "--json", "--threads", 1)


def read_vocabulary(dice: Random, path: Path, material: Material) -> None:
    from cutline.models.legacy_vocabulary import read_vocabulary as read

    read(path)


def read_recipe(dice: Random, path: Path, material: Material) -> None:
    """As far as `train` goes before it looks at data."""
    from cutline.recipe import Recipe

    recipe = Recipe.read(path)
    _ = recipe.trainings
    recipe.as_json()
    recipe.build("source", path.parent)
    recipe.build("view")
    recipe.partial("search")


def read_captions(dice: Random, path: Path, material: Material) -> None:
    match dice.randrange(5):
        case 0:
            run("report", path, "-o", path.parent / "page.html")
        case 1:
            run("report", path, path, "-o", path.parent / "page.html")
        case 2:
            run("write", path, "--as", "txt", "--apply")
        case 3:
            run("write", path, "--as", "xmp", "--json")
        case _:
            run(
                "score",
                path,
                "--references",
                path,
                "--draws",
                0,
                "--only",
                "BLEU,CIDEr-D,diversity",
            )


def read_references(dice: Random, path: Path, material: Material) -> None:
    predictions = path.parent / "predictions.json"
    predictions.write_text('[{"image_id": 1, "caption": "a dog"}]')
    only = ("--partial", "--draws", 20, "--only", "BLEU,ROUGE-L,CIDEr-D")
    if dice.random() < 0.5:
        run("score", predictions, "--references", path, *only)
    else:
        run("compare", predictions, path, "--references", path, *only)


def read_data(dice: Random, path: Path, material: Material) -> None:
    kind = "folder"
    if (path / "annotations").exists():
        kind = "coco"
    elif (path / "Flickr8k.token.txt").exists():
        kind = "flickr8k"
    if dice.random() < 0.6:
        run("data", "check", path, "--kind", kind)
    else:
        run("data", "show", path, "--kind", kind, "-o", path.parent / "page.html")


def read_list(dice: Random, path: Path, material: Material) -> None:
    out = path.parent / "captions_test2014_cutline_results.json"
    avoid = ("--avoid", path.parent / "avoid.txt") if dice.random() < 0.3 else ()
    chosen = ("--model", material.model / "model.onnx", "--threads", 1)
    run("submit", path, "--images", path.parent, "--out", out, *chosen, *avoid)


def read_album(dice: Random, path: Path, material: Material) -> None:
    chosen = ("--model", material.model / "model.onnx", "--threads", 1)
    form = dice.choice(((), (), ("--write", "txt"), ("--write", "xmp"), ("--write", "html")))
    run("caption", ".", "-r", "--out", "captions.jsonl", *chosen, *form, *(form and ("--apply",)))


def read_undo(dice: Random, path: Path, material: Material) -> None:
    run("undo", path, "--apply")


def read_journal(dice: Random, path: Path, material: Material) -> None:
    chosen = ("--model", material.model / "model.onnx", "--threads", 1)
    run("caption", path, "--out", path / "captions.jsonl", *chosen)


def read_zip(dice: Random, path: Path, material: Material) -> None:
    from cutline.datasets.unzip import unpack

    for _ in unpack(path, path.parent / "inside"):
        pass


def read_page(dice: Random, path: Path, material: Material) -> None:
    if dice.random() < 0.5:
        run("alt", path, "--check")
    else:
        chosen = ("--model", material.model / "model.onnx", "--threads", 1)
        run("alt", path.parent, *(("--apply",) if dice.random() < 0.5 else ()), *chosen)


def read_answers(dice: Random, path: Path, material: Material) -> None:
    from cutline.alttext.fetch import Limits, fetch_picture
    from cutline.datasets.download import RemoteFile, fetch

    server = _server()
    server.answers = answers_in(path)
    address = f"http://127.0.0.1:{server.port}/file"
    if dice.random() < 0.5:
        fetch_picture(address, allowed=lambda _: True, limits=Limits(10**6, 0.5, 3))
        return
    for _ in fetch(RemoteFile("file", address, 50_000), path / "here", timeout=0.2, pause=0):
        pass


@cache
def _server() -> Server:
    return Server()


TORCH = ("cutline.inference.captioner", "cutline.inference.torch")
KINDS: dict[str, Kind] = {
    "image": Kind(make_image, read_image, 500),
    "metadata of a picture": Kind(make_packet, read_packet, 60),
    "one-file model": Kind(make_model, read_model, 50, TORCH),
    "model folder": Kind(make_folder, read_folder, 40, TORCH),
    "pickled vocabulary": Kind(make_vocabulary, read_vocabulary, 60),
    "recipe": Kind(make_recipe, read_recipe, 60, TORCH),
    "captions": Kind(make_captions, read_captions, 60),
    "references": Kind(make_references, read_references, 30),
    "data set": Kind(make_data, read_data, 30),
    "image list": Kind(make_list, read_list, 10),
    "album with links and pipes": Kind(make_album, read_album, 20),
    "undo journal": Kind(make_undo, read_undo, 20),
    "captioning journal": Kind(make_journal, read_journal, 20),
    "zip": Kind(make_zip, read_zip, 30),
    "page": Kind(make_page, read_page, 30),
    "server": Kind(make_answers, read_answers, 10),
}

Refusal = (CutlineError, RefusedError)
