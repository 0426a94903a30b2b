"""Loads images: a file, bytes or an array becomes the uint8 array that a model was trained to see.

Input may have any orientation, colour space, bit depth or transparency, or be damaged. Output is
`(size, size, 3)`, uint8, RGB, upright, on white; errors are an `ImageError` of one sentence.
Resizing uses Pillow's antialiased bilinear filter, with which ImageNet encoders are commonly
evaluated. Unlike bicubic it never overshoots at edges, and it is a little closer to the Flickr8k
squares of our training data (mean difference 3.98 of 255 on 40 originals; bicubic: 4.02).
"""

import io
import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from math import ceil, isfinite
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from cutline.errors import ImageError, ImageErrorKind
from cutline.images import headers, raw
from cutline.images.formats import FORMATS, INSTALL_HEIF
from cutline.images.headers import RefusalError
from cutline.images.shards import find_shard, member_of, read_member
from cutline.images.view import LARGEST as LARGEST
from cutline.images.view import View as View
from cutline.images.view import WholeView as WholeView

MOST_MISSING = 0.1
"""The largest fraction of rows that may be missing from a truncated JPEG."""
LOG = logging.getLogger("cutline")
_ORIENTATION = 0x0112


@runtime_checkable
class Readable(Protocol):
    """An open file, an upload, a response: anything that reads bytes."""

    def read(self, size: int = -1, /) -> Any:
        """As in `io.BufferedIOBase`."""


Bytes = bytes | bytearray | memoryview
Source = str | PathLike[str] | Bytes | Readable | Image.Image | npt.NDArray[Any]


def open_image(source: Source, view: View) -> npt.NDArray[np.uint8]:
    """Load an image as the input of a model with this view: `(size, size, 3)`, uint8, RGB, upright.
    With a `WholeView`, the sides differ.

    A camera raw file is read by its embedded JPEG preview, and HEIC if pillow-heif is installed.
    A JPEG may lack up to a tenth of its rows, with a warning in the log `cutline`.

    `source` is a path, bytes, an open file, a PIL image, or an array `(height, width[, 1, 3, 4])`
    of uint8, uint16, bool or floats from 0 to 1. Raises `ImageError` if it cannot be read.
    """
    least = min(2 * view.size, LARGEST)  # may be averaged to this before the real resize
    with _as_image_error(_name_of(source)), _hush, _opened(source, least) as picture:
        _load(picture, _name_of(source))
        colour, extent = _to_colour(picture, least)
        size, box = view.shape(*extent), view.box(*extent)
        square = colour.resize(size, Image.Resampling.BILINEAR, box)
        return np.array(_rotate(square, _orientation(picture)))


def pixels_held(source: Source) -> int:
    """The number of pixels that must be in memory to decode a file, according to its header.

    0 for a baseline JPEG, which is decoded row by row at a reduced size; half the pixels of any
    other JPEG, which takes half the memory per pixel. Raises `ImageError` as `open_image` does.
    """
    with _as_image_error(_name_of(source)), _hush, _stream(source) as stream:
        stream, _ = _preview_of(stream)
        picture = _identify(headers.Metered(stream))
        _refuse_giant(picture, stream)
        kind = _kind(picture, stream)
    if kind == "JPEG by rows":
        return 0
    return _area(picture) // 2 if kind.startswith("JPEG") and kind != "JPEG2000" else _area(picture)


def upright_size(source: Source) -> tuple[int, int]:
    """Width and height of the upright picture, in pixels. Raises `ImageError` as `open_image`."""
    with _as_image_error(_name_of(source)), _hush, _stream(source) as stream:
        stream, orientation = _preview_of(stream)
        picture = _identify(headers.Metered(stream))
        turned = max(orientation, _orientation(picture)) > 4
        return picture.size[::-1] if turned else picture.size


# ---------------------------------------------------------------------------------------- errors


@contextmanager
def _as_image_error(name: str) -> Iterator[None]:
    """Turn any exception into an `ImageError` that starts with the picture's name."""
    try:
        yield
    # A hostile file makes Pillow raise nearly anything: OSError, SyntaxError, ValueError, KeyError,
    # struct.error, ZeroDivisionError, MemoryError, RecursionError ... Each means that this picture
    # cannot be read, and none may stop a batch. KeyboardInterrupt is no Exception: it passes.
    except Exception as error:
        raise ImageError(f"{name} {_describe_error(error)}", kind=_kind_of(error)) from error


def _kind_of(error: Exception) -> ImageErrorKind:
    match error:
        case MemoryError() | Image.DecompressionBombError():
            return "too_large"
        case RefusalError():
            return _kind_of_refusal(str(error))
        case OSError() if error.errno is not None:
            return "missing"
    return "damaged"


def _kind_of_refusal(message: str) -> ImageErrorKind:
    if message.startswith("is too large"):
        return "too_large"
    return "damaged" if message.startswith(("is damaged", "is empty")) else "unsupported"


def _describe_error(error: Exception) -> str:
    """The end of the error message, for each kind of exception."""
    detail = " ".join(str(error).split())[:200] or type(error).__name__
    match error:
        case RefusalError():
            return str(error)
        case FileNotFoundError() | NotADirectoryError():
            return "does not exist"
        case PermissionError():
            return "may not be read: permission denied"
        case MemoryError():
            return "does not fit into memory"
        case Image.DecompressionBombError():
            return "is too large to be decoded safely"
        case OSError() if error.errno is not None:
            return f"cannot be read: {error.strerror}"
    cut_off = any(word in detail.lower() for word in _TRUNCATION_WORDS)
    ended = isinstance(error, EOFError | struct.error) or cut_off
    return _CUT_OFF if ended else f"is damaged ({detail})"


_CUT_OFF = "is truncated: the file ends before the picture does"
_TRUNCATION_WORDS = ("truncat", "end of file", "eof", "not enough", "requires a buffer")


def _name_of(source: Any) -> str:
    """The name of a picture in messages: its path if it has one."""
    if isinstance(source, np.ndarray):
        return "the array"
    name = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    name = name or getattr(source, "filename", None)
    if not isinstance(name, str | PathLike):
        return "the picture" if isinstance(source, Image.Image) else "the file"
    return str(name) if str(name).isprintable() else repr(str(name))


class _Hush:
    """Suppresses Pillow's warnings (corrupt EXIF, odd palettes) while pictures are read.

    Warning filters are global: two threads that each save and restore them can leave them wrong
    for good. So the first thread to enter saves them, and the last one to leave restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._saved = warnings.catch_warnings()  # good for one use only
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module="PIL|pillow_heif")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._saved.__exit__(None, None, None)


_hush = _Hush()
_one_giant = threading.Lock()


# ------------------------------------------------------------------------- from a source to Pillow


@contextmanager
def _opened(source: Any, least: int) -> Iterator[Image.Image]:
    """The picture, with its header read and accepted, and its pixels not yet decoded."""
    if isinstance(source, Image.Image):
        yield source  # it has passed Pillow's own limits
    elif isinstance(source, np.ndarray):
        yield _from_array(source)
    else:
        with _stream(source) as stream:
            length = stream.seek(0, io.SEEK_END)
            _refuse_unless(length > 0, "is empty (0 bytes)")
            _refuse_unless(length <= MOST_BYTES, "is too large: more than 256 megabytes")
            stream, orientation = _preview_of(stream)
            metered = headers.Metered(stream)
            picture = _identify(metered)
            _refuse_giant(picture, stream)
            if orientation != 1 and _orientation(picture) == 1:
                picture.getexif()[_ORIENTATION] = orientation  # the preview itself has none
            metered.begin_pixels()
            alone = _one_giant if _area(picture) > EXACT else nullcontext()  # may take most of a GB
            picture.draft(None, (least, least))  # a JPEG then decodes at 1/2, 1/4 or 1/8
            with alone:
                yield picture


def _stream(source: Any) -> io.BytesIO | io.BufferedReader:
    """The bytes as a file that can be rewound."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        if shard := find_shard(path):
            return io.BytesIO(read_member(shard, member_of(path, shard)))
        _refuse_unless(not path.is_dir(), "is a folder, not a picture")
        # reading a pipe or a device might never end
        _refuse_unless(path.is_file() or not path.exists(), "is not a file")
        return path.open("rb")
    if isinstance(source, Bytes):
        return io.BytesIO(source)
    _refuse_unless(hasattr(source, "read"), f"is of {type(source)}, not a path, bytes or an array")
    found = source.read(MOST_BYTES + 1)
    _refuse_unless(not isinstance(found, str), "was opened as text: open it with mode 'rb'")
    return io.BytesIO(found)


def _preview_of(stream: Any) -> tuple[Any, int]:
    """A camera raw file's JPEG preview and its orientation; any other file as it is, and 1."""
    stream.seek(0)
    preview = raw.find_preview(stream) if raw.is_raw(stream.read(16)) else None
    return (stream, 1) if preview is None else (io.BytesIO(preview.content), preview.orientation)


def _load(picture: Image.Image, name: str) -> None:
    """Decode the pixels; if the last rows of a JPEG are missing, the one before is repeated."""
    try:
        picture.load()
    except OSError as error:
        if picture.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        picture.tile = []  # type: ignore[attr-defined]  # the rows so far are the picture
        seen = picture.getbbox()  # rows that were not decoded are exactly black
        bottom = seen[3] if seen else 0
        missing = picture.height - bottom
        if missing > picture.height * MOST_MISSING:
            raise
        last = picture.crop((0, bottom - 1, picture.width, bottom))
        if missing:
            picture.paste(last.resize((picture.width, missing)), (0, bottom))
        LOG.warning(f"{name} is truncated: {missing / picture.height:.1%} of it is missing")


def _refuse_unless(fine: bool, reason: str) -> None:
    if not fine:
        raise RefusalError(reason)


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    """An array of pixels as a picture of 8 bits per channel."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise RefusalError(f"has the shape ({shape}), not (height, width[, 1, 3 or 4])")
    _refuse_unless(array.size > 0, f"has no pixels: its shape is ({shape})")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(_to_bytes(array)))


def _to_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    kind, width = array.dtype.kind, array.dtype.itemsize
    if kind == "u" and width == 1:
        return array.astype(np.uint8)
    if kind == "u" and width == 2:
        return _scaled(array, 65535.0)
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        fine = bool((array >= 0).all() and (array <= 1).all())
        _refuse_unless(fine, "holds floats outside 0 to 1")
        return _scaled(array, 1.0)
    raise RefusalError(f"holds {array.dtype}, not uint8, uint16, bool or floats from 0 to 1")


def _scaled(values: npt.NDArray[Any], top: float) -> npt.NDArray[np.uint8]:
    """Scale values from 0..`top` to 0..255, rounded and clipped; NaN becomes 0."""
    with np.errstate(all="ignore"):
        share = np.nan_to_num(values.astype(np.float32) / np.float32(top), nan=0.0)
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


# --------------------------------------------------------------------------- formats and limits


MOST_BYTES = 256 * 10**6
EXACT = 25 * 10**6  # pixels up to which a picture is converted at once, in parallel with others
LONG = 100_000  # rows from which the cost of rows counts: no photograph is this tall
BAND = 4 * 10**6  # pixels of a larger picture that are converted at a time

# Limits that keep decoding below 1 GB and 10 s, as test_damaged_images.py measures; others: 100. A
# sequential JPEG decodes at 1/8; a progressive one is buffered whole, 2 bytes per sample; TIFF,
# WebP and AVIF hold up to four copies. Names in lower case: Pillow's decoders in Python.
MEGAPIXELS = {"JPEG by rows": 250, "JPEG progressive": 80, "JPEG": EXACT // 10**6, "TIFF": 50}
MEGAPIXELS |= {"HEIF": 50, "WEBP": 40, "AVIF": 40, "JPEG2000": 16}
MEGAPIXELS |= {"ppm": 3, "ppm_plain": 3, "bmp_rle": 4}


def _identify(stream: headers.Metered) -> ImageFile.ImageFile:
    """The picture, opened with the first format that accepts the file's first bytes."""
    Image.init()
    stream.seek(0)
    start = stream.read(16)
    for name in FORMATS:
        # Not Image.open: its bomb check is one global limit, for all formats and for all users.
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory and accept and accept(start) is True:
            if name == "TIFF":
                headers.refuse_long_lists(stream)
            stream.seek(0)
            return factory(stream, "")  # type: ignore[arg-type]  # it reads and seeks
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return open_heif(stream)
    is_raw = start == b"FUJIFILMCCD-RAW " or start[4:12] == b"ftypcrx "
    _refuse_unless(not is_raw, "is a raw file without a JPEG preview")
    raise RefusalError(_describe_unknown(start))


def open_heif(stream: Any) -> ImageFile.ImageFile:
    """Open a HEIF file; pillow-heif is imported only here, and is not registered with Pillow."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        why = f"is a HEIC file: {INSTALL_HEIF}, or convert it to JPEG first"
        raise RefusalError(why) from None
    stream.seek(0)
    return HeifImageFile(stream, "")  # type: ignore[no-untyped-call]


def _describe_unknown(start: bytes) -> str:
    if start[:4] == b"\0\0\1\0":
        return "is an icon (ICO), which is not supported: convert it to PNG first"
    return f"is not a picture in a supported format ({', '.join(FORMATS)})"


def _refuse_giant(picture: Image.Image, stream: Any) -> None:
    """Check the size that the header declares, before anything is decoded."""
    most = MEGAPIXELS.get(_kind(picture, stream), 100)
    size = f"{_area(picture) / 1e6:,.0f} megapixels ({picture.width:,} x {picture.height:,})"
    reason = f"is too large: {size}; the limit for this kind of file is {most}"
    _refuse_unless(_area(picture) <= most * 10**6, reason)


def _area(picture: Image.Image) -> int:
    """Pixels to decode; a TIFF may declare a tile larger than itself, which is decoded whole.

    Each row costs as much as two more pixels, for a pointer, which matters in very narrow pictures.
    """
    tags = getattr(picture, "tag_v2", {})
    tile = [side for side in (tags.get(322), tags.get(323)) if isinstance(side, int)]
    sizes = [picture.size, *([tile] if len(tile) == 2 else [])]
    return max(width * height + (2 * height if height > LONG else 0) for width, height in sizes)


def _kind(picture: Image.Image, stream: Any) -> str:
    """What determines the cost of decoding: the format, or a special encoding of it."""
    if picture.format in ("JPEG", "MPO"):
        return _jpeg_kind(picture, stream)
    decoders = [tile[0] for tile in getattr(picture, "tile", [])]
    if "ppm_plain" in decoders:
        headers.refuse_many_comments(stream)
    return next((name for name in decoders if name in MEGAPIXELS), picture.format or "")


def _jpeg_kind(picture: Image.Image, stream: Any) -> str:
    if headers.decodes_by_rows(stream):
        return "JPEG by rows"
    headers.refuse_many_scans(stream)
    # others are lossless or another rarity, which libjpeg cannot scale down
    return "JPEG progressive" if "progressive" in picture.info else "JPEG"


# ---------------------------------------------------------- from Pillow to colours, and upright


def _to_colour(picture: Image.Image, least: int) -> tuple[Image.Image, tuple[float, float]]:
    """RGB on white, giants averaged down to `least` or more pixels a side; and the extent."""
    width, height = picture.size
    top = _white_value(picture)
    if width * height <= EXACT:
        return _to_rgb(picture, top), (float(width), float(height))
    across, down = max(1, width // least), max(1, height // least)
    small = Image.new("RGB", (ceil(width / across), ceil(height / down)))
    rows = down * max(1, BAND // (width * down))  # bands avoid a second copy of full size
    for start in range(0, height, rows):
        band = picture.crop((0, start, width, min(start + rows, height)))
        small.paste(_to_rgb(band, top).reduce((across, down)), (0, start // down))
    return small, (width / across, height / down)


def _white_value(picture: Image.Image) -> float:
    """The value of white in a picture of more than 8 bits: the smallest usual range that fits."""
    if picture.mode.startswith("I;16"):
        return 65535.0
    if picture.mode not in ("I", "F"):
        return 255.0
    found = float(picture.getextrema()[1])  # type: ignore[arg-type]  # one channel: two numbers
    tops = (65535.0,) if picture.mode == "I" else (1.0, 255.0, 65535.0)
    return next((top for top in tops if found <= top), found if isfinite(found) else 65535.0)


def _to_rgb(picture: Image.Image, top: float) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return Image.fromarray(_scaled(np.asarray(picture), top)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    seen = picture.convert("RGBA")
    white = Image.new("RGB", seen.size, "white")
    white.paste(seen, mask=seen.getchannel("A"))
    return white


def _orientation(picture: Image.Image) -> int:
    with suppress(Exception):  # corrupt EXIF raises anything; the picture itself is whole
        return int(picture.getexif().get(_ORIENTATION, 1))
    return 1


def _rotate(picture: Image.Image, orientation: int) -> Image.Image:
    """Rotate upright; done last, on the small square, because it is cheap."""
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


_Turn = Image.Transpose
_TURNS = {2: _Turn.FLIP_LEFT_RIGHT, 3: _Turn.ROTATE_180, 4: _Turn.FLIP_TOP_BOTTOM}
_TURNS |= {5: _Turn.TRANSPOSE, 6: _Turn.ROTATE_270, 7: _Turn.TRANSVERSE, 8: _Turn.ROTATE_90}
