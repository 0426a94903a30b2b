"""May this file be written? An output is no input, and no file that somebody else made.

What cutline made is known by what is in it, wherever it lies: a page and a drawing name their
maker, a model carries a vocabulary, lines and lists have the shape in which they are
written here. A file of captions is known by its journal, since a person may have made one of the
same shape.
"""

import json
import mmap
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from cutline.errors import CutlineError, DataError
from cutline.images.formats import is_picture
from cutline.io.atomic import require_writable

SOFTWARE = 0x0131
"""The EXIF tag in which a drawing names its maker."""
_BEGINNINGS = (b'[\n{\n"image_id": ', b"# Inspection of ")
"""Of what `cutline evaluate --out` and `cutline inspect --out` write."""
_MODEL = b"\x0a\x0avocabulary\x12"
"""The key of a one-file model's vocabulary, as Protocol Buffers spell it."""
_HEAD = 4096


def require_output(
    out: Path,
    inputs: Iterable[Path | None] = (),
    *,
    overwrite: bool = False,
    own: bool | None = None,
) -> None:
    """Raises `DataError` for an output that is one of the inputs or lies in one that is a folder,
    and, unless `overwrite` is asked for, for a file that cutline did not make.

    `own` says whether it did, where that does not stand in the file. What could not be written
    anyway, such as a link or a folder, is refused here too, before any work is done.
    """
    for given in inputs:
        if given is not None and given.exists() and out.exists() and _is_in(out, given):
            raise DataError(f"{out} is read here, so it is not written over: name another file")
    try:
        if require_writable(out) is None:
            return
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from None
    if overwrite or (is_made_by_cutline(out) if own is None else own):
        return
    raise DataError(
        f"{out} is there already, and is not known to be cutline's: name another file, or let it "
        "be replaced with --overwrite"
    )


def require_page_output(
    out: Path, inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """The same for a page; none is written over a picture, even if that is asked for."""
    if is_picture(out.name):
        raise DataError(
            f"{out} is the name of a picture, and a page is written: take {out.stem}.html"
        )
    require_output(out, inputs, overwrite=overwrite)


def is_made_by_cutline(path: Path) -> bool:
    """Whether cutline made a file, by what is in it."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if path.suffix == ".onnx":
            return _is_model(path)
        if is_picture(path.name):
            return _is_drawing(path)
    except OSError as error:
        raise CutlineError(f"{path} cannot be read: {error.strerror or error}") from None
    return GENERATOR.encode() in head or head.startswith(_BEGINNINGS) or _is_scores(path)


def _is_in(out: Path, given: Path) -> bool:
    return out.samefile(given) or (given.is_dir() and out.resolve().is_relative_to(given.resolve()))


def _is_model(path: Path) -> bool:
    with path.open("rb") as file:
        if not path.stat().st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_MODEL) >= 0


def _is_drawing(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return str(image.getexif().get(SOFTWARE, "")).startswith("cutline ")
    except Exception:  # Pillow raises nearly anything for a file that is no picture
        return False


def _is_scores(path: Path) -> bool:
    """Whether it begins as `cutline score --per-image` does."""
    with path.open("rb") as file:
        line = file.readline(10**6)
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, dict) or list(told)[:2] != ["image_id", "caption"]:
        return False
    scores = list(told.values())[2:]
    return bool(scores) and all(isinstance(score, float) for score in scores)


GENERATOR = '<meta name="generator" content="cutline '
"""In the head of every page: by it a page is known as cutline's."""
