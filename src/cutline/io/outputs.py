"""Checks of an output path: it must not be an input file, and may replace only cutline's files.

Files that cutline wrote are recognized by content: pages and drawings name their generator,
one-file models contain a vocabulary, scores and results are recognized by their format. A file of
captions is recognized by its journal, since a person may have written one in the same format.
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
"""The EXIF tag `Software`, by which drawings are recognized."""
_BEGINNINGS = (b'[\n{\n"image_id": ', b"# Inspection of ")
"""First bytes of the files that `cutline evaluate --out` and `cutline inspect --out` write."""
_MODEL = b"\x0a\x0avocabulary\x12"
"""The metadata key of a one-file model, in Protocol Buffers encoding."""
_HEAD = 4096


def require_output(
    out: Path,
    inputs: Iterable[Path | None] = (),
    *,
    overwrite: bool = False,
    own: bool | None = None,
) -> None:
    """Raise `DataError` for an output that is an input, lies in an input folder, or cannot be
    written, and, without `overwrite`, for an existing file that cutline did not make.

    `own` says whether cutline made it, if its content cannot tell.
    """
    for given in inputs:
        if given is not None and given.exists() and out.exists() and _is_in(out, given):
            raise DataError(f"{out} is an input, which is never overwritten: name another file")
    try:
        if require_writable(out) is None:
            return
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror}") from None
    if overwrite or (is_made_by_cutline(out) if own is None else own):
        return
    raise DataError(
        f"{out} exists, and is not known to be cutline's: name another file, or replace it with "
        "--overwrite"
    )


def require_page_output(
    out: Path, inputs: Iterable[Path | None] = (), *, overwrite: bool = False
) -> None:
    """The same for an HTML page, which never replaces a picture, not even with `overwrite`."""
    if is_picture(out.name):
        raise DataError(
            f"{out} is the name of a picture, and the output is a page: use {out.stem}.html"
        )
    require_output(out, inputs, overwrite=overwrite)


def is_made_by_cutline(path: Path) -> bool:
    """Whether cutline made a file, by its content."""
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
    except Exception:  # Pillow raises nearly anything for a broken picture
        return False


def _is_scores(path: Path) -> bool:
    """Whether it begins like a file of `cutline score --per-image`."""
    with path.open("rb") as file:
        line = file.readline(10**6)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict) or list(record)[:2] != ["image_id", "caption"]:
        return False
    scores = list(record.values())[2:]
    return bool(scores) and all(isinstance(score, float) for score in scores)


GENERATOR = '<meta name="generator" content="cutline '
"""The tag in the head of every page, by which pages are recognized."""
