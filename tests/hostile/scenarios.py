"""Commands that write, each with what it starts from and what must hold whenever it is ended.

They run as forks of this process, which has imported everything, so that hundreds of kills take
minutes; a fork is `cutline` from its arguments to its exit code.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cutline.cli.main import MODULES
from hostile.campaign import own_path

Contents = Mapping[str, bytes]
"""Files of a folder by their path in it."""
PICTURES = 12
HIDDEN = re.compile(r"(^|/)\.|\.part\b|\.tmp|\.undo\.|\.blobs$")
"""Journals, and what is not yet in its place."""
DATES = re.compile(rb'"date": "[^"]*"')


@dataclass(frozen=True)
class Scenario:
    """A command, and what it makes of a folder."""

    prepare: Callable[[Path], None]
    command: tuple[str, ...]
    fits: Callable[[str, bytes, Contents, Contents], bool]
    """Whether a file's content is right, between the folder before and the folder after."""
    is_exact: bool = True
    """Whether the same command makes the same bytes each time, but for dates."""


class Ended(NamedTuple):
    """How a fork ended: exit code (negative for a signal), what it said, how long it took."""

    code: int
    said: str
    seconds: float


def run_alone(
    module: str, *arguments: object, environment: Mapping[str, str] = {}
) -> dict[str, Any]:
    """What a module prints last, as JSON; it runs without threads, which a fork would not have."""
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": own_path()}
    told = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env={**os.environ, **threads, **environment},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(told.stdout.splitlines()[-1])


def run_fork(
    folder: Path,
    command: tuple[str, ...],
    *,
    kill_after: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `cutline` in a folder; kill -9 it after so many seconds, if any are given."""
    said = folder.with_name(f"{folder.name}.said")
    began = time.monotonic()
    child = os.fork()
    if not child:
        _become(folder, command, said, environment or {})
    code = None
    while code is None and (kill_after is None or time.monotonic() - began < kill_after):
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0.0005)
    if code is None:
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.monotonic() - began
    return Ended(code, said.read_text("utf8", "replace") if said.exists() else "", seconds)


def _become(
    folder: Path, command: tuple[str, ...], said: Path, environment: Mapping[str, str]
) -> None:
    """In the child: the command, to the end of the process."""
    code = 70
    try:
        os.chdir(folder)
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115, PTH123
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115, PTH123
        sys.argv = ["cutline", *command]
        os.environ.update(environment)
        try:
            from cutline.cli.main import main

            main()
            code = 0
        except SystemExit as stopped:
            code = _code_of(stopped)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 71
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code_of(stopped: SystemExit) -> int:
    if isinstance(stopped.code, str):
        print(stopped.code, file=sys.stderr)
        return 1
    return stopped.code or 0


def contents_of(folder: Path) -> dict[str, bytes]:
    """Every file that is no journal and in its place, without dates."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and not HIDDEN.search(name):
            found[name] = DATES.sub(b"", path.read_bytes())
    return found


def litter_of(folder: Path) -> list[str]:
    """What stands beside its place still."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in names if re.search(r"\.part|\.tmp", name))


def find_damage(scenario: Scenario, before: Contents, after: Contents, now: Contents) -> list[str]:
    """Files that are lost, or neither as before nor as after."""
    lost = [f"{name} is lost" for name in before.keys() & after.keys() if name not in now]
    strange = [
        f"{name} is half"
        for name, content in now.items()
        if content not in (before.get(name), after.get(name))
        and not scenario.fits(name, content, before, after)
    ]
    return sorted(lost + strange)


# ------------------------------------------------------------------------------ what must hold


def _never(name: str, content: bytes, before: Contents, after: Contents) -> bool:
    return False


def _are_lines(name: str, content: bytes, before: Contents, after: Contents) -> bool:
    """Whole lines, all of which the whole run has too."""
    whole = after.get(name, b"").split(b"\n")
    return not content or (content[-1:] == b"\n" and set(content.split(b"\n")) <= {*whole, b""})


def _is_model(name: str, content: bytes, before: Contents, after: Contents) -> bool:
    """A file of a model folder that can be read; weights are never the same twice."""
    if name.endswith(".onnx"):
        import onnx

        return len(onnx.load_model_from_string(content).graph.node) > 0
    if name.endswith(".json"):
        return isinstance(json.loads(content), dict)
    if name.endswith(".safetensors"):
        from safetensors.torch import load

        return len(load(content)) > 0
    if name.endswith(".pt"):
        return zipfile.is_zipfile(__import__("io").BytesIO(content))
    return True  # lines of JSON that are taken up at the last whole one


# -------------------------------------------------------------------------------- preparations


def draw_album(folder: Path) -> None:
    """Pictures that are all different."""
    chance = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 30)).save(folder / f"{number:02}.png")


def _write_captions(folder: Path) -> None:
    draw_album(folder)
    lines = (
        {
            "path": f"{number:02}.png",
            "caption": f"a dog of {number}",
            "date": "2026-11-23T10:12:00Z",
        }
        for number in range(PICTURES)
    )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "captions.jsonl").write_text(text)


def _apply(folder: Path) -> None:
    _write_captions(folder)
    done = run_fork(folder, ("write", "captions.jsonl", "--as", "xmp", "--apply"))
    assert done.code == 0, done.said


def _draw_site(folder: Path) -> None:
    draw_album(folder)
    for number in range(PICTURES):
        page = f'<p>{number}</p><img src="{number:02}.png">\n' * 40
        (folder / f"{number:02}.html").write_text(page)


def _copy_model(model: Path) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        shutil.copytree(model, folder / "model")
        (folder / "model" / "model.onnx").unlink()

    return prepare


RECIPE = """
title = "Tiny"
source = {kind = "shapes", count = 60, size = 32}
view = {size = 32}
vocabulary = {min_count = 1}
encoder = {kind = "mosaic", tiles = 8}
decoder = {kind = "show-and-tell", embedding = 16, hidden = 16, dropout = 0.0}
training = {epochs = 3, captions_a_step = 16}
search = {kind = "beam", width = 2, max_words = 8}
"""


def _write_recipe(folder: Path) -> None:
    (folder / "tiny.toml").write_text(RECIPE)


PARCEL = "Flickr8k_text.zip"


def make_archive(path: Path) -> dict[str, object]:
    """A zip of texts, and its entry in the catalog."""
    chance = Random(0)
    texts = {f"{n}.txt": chance.randbytes(60_000).hex() for n in range(6)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    contents = "".join(f"{sha256(t.encode()).hexdigest()}  {n}\n" for n, t in texts.items())
    return {"size": path.stat().st_size, "contents": contents}


def offer_archive(mirror: Path) -> None:
    """Have `data get flickr8k-text --mirror` expect the archive in this folder."""
    from cutline.datasets.catalog import DOWNLOADABLE, DownloadableDataset
    from cutline.datasets.download import RemoteFile

    mirror.mkdir(parents=True, exist_ok=True)
    about = make_archive(mirror / PARCEL)
    remote = RemoteFile(PARCEL, PARCEL, about["size"], contents=about["contents"])  # type: ignore[arg-type]
    DOWNLOADABLE["flickr8k-text"] = DownloadableDataset("https://example.org/", {"text": remote})


DRIVEN = (
    "inference.captioner",
    "inference.library",
    "metadata.writer",
    "alttext.edit",
    "training.experiment",
    "models.onnx_export",
)
"""What the commands import late."""


def scenarios(model: Path, mirror: Path) -> dict[str, Scenario]:
    """By the name of what is done."""
    for module in (*(f"cli.{name}" for name in MODULES), *DRIVEN):
        import_module(f"cutline.{module}")  # once, not in every fork
    chosen = ("--model", str(model / "model.onnx"), "--threads", "1")
    offer_archive(mirror)
    write = ("write", "captions.jsonl", "--apply", "--as")
    get = ("data", "get", "flickr8k-text", "-o", "flickr", "--mirror", mirror.as_uri())
    train = ("train", "tiny.toml", "--data", "shapes", "--out", "run", "--cache", "cache")
    caption = ("caption", ".", "--out")
    return {
        "caption --out .jsonl": Scenario(draw_album, (*caption, "new.jsonl", *chosen), _are_lines),
        "caption --out .csv": Scenario(draw_album, (*caption, "new.csv", *chosen), _are_csv),
        "write --as txt": Scenario(_write_captions, (*write, "txt"), _never),
        "write --as xmp": Scenario(_write_captions, (*write, "xmp"), _never),
        "undo": Scenario(_apply, ("undo", "--apply"), _never),
        "alt --apply": Scenario(_draw_site, ("alt", ".", "--apply", *chosen), _never),
        "data get": Scenario(lambda folder: None, get, _never),
        "export": Scenario(_copy_model(model), ("export", "model"), _is_model, is_exact=False),
        "train": Scenario(
            _write_recipe,
            (*train, "--save-every", "0", "--device", "cpu"),
            _is_model,
            is_exact=False,
        ),
    }


def _are_csv(name: str, content: bytes, before: Contents, after: Contents) -> bool:
    whole = after.get(name, b"").split(b"\r\n")
    return content.endswith(b"\r\n") and all(line in whole for line in content.split(b"\r\n"))


def refresh(folder: Path, scenario: Scenario) -> Contents:
    """The folder as the scenario begins, and what is in it."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    scenario.prepare(folder)
    return contents_of(folder)
