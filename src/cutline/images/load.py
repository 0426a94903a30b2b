"""Pictures: a file, bytes or an array becomes the uint8 array that a model was trained to see.

Enters: whatever people have, of any orientation, colour space, depth, transparency, damage.
Leaves: `(size, size, 3)`, uint8, RGB, upright, on white; or an `ImageError` of one sentence.
Resizing is Pillow's antialiased bilinear filter: the one with which ImageNet encoders are commonly
measured, never overshooting at edges as bicubic does, and a little nearer to the Flickr8k squares
that we train on (on 40 originals it differs from them by 3.98 of 255 in the mean, bicubic by 4.02).
"""

import io
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from math import ceil, isfinite
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from cutline.errors import ImageError, ModelError, nearest
from cutline.images import headers
from cutline.images.formats import FORMATS
from cutline.images.headers import RefusalError

FITS = ("squash", "crop")
LARGEST = 1024
CROPPED = 7 / 8
"""How much of the short side a crop keeps: 224 of 256, as ImageNet models are measured."""


@dataclass(frozen=True, slots=True)
class View:
    """How a model looks at a picture; it belongs to the model and travels with it as JSON."""

    size: int = 224
    """Width and height of what the model sees, in pixels."""
    fit: str = "squash"
    """`squash`: the whole picture, made square. `crop`: the middle square, as ImageNet is read."""

    def __post_init__(self) -> None:
        _insist_on_view(self.size, self.fit)

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> "View":
        """The view that `as_dict` described; a `ModelError` for anything unknown."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise ModelError(f"a view has no field {name!r}{nearest(str(name), known)}")
        _insist_on_view(options.get("size", 1), options.get("fit", FITS[0]))
        return cls(**options)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: `{"size": 224, "fit": "squash"}`."""
        return asdict(self)

    def box(self, width: float, height: float) -> tuple[float, float, float, float]:
        """The part of a picture that is seen: left, top, right, bottom."""
        if self.fit == "squash":
            return (0.0, 0.0, width, height)
        side = min(width, height) * CROPPED
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)


def _insist_on_view(size: Any, fit: Any) -> None:
    if type(size) is not int or not 1 <= size <= LARGEST:
        raise ModelError(f"a view has a size from 1 to {LARGEST} pixels, not {size!r}")
    if fit not in FITS:
        raise ModelError(f"a view cannot fit by {fit!r}{nearest(str(fit), FITS)}")


@runtime_checkable
class Readable(Protocol):
    """An open file, an upload, a response: anything that reads bytes."""

    def read(self, size: int = -1, /) -> Any:
        """As in `io.BufferedIOBase`."""


Source = str | PathLike[str] | bytes | bytearray | Readable | Image.Image | npt.NDArray[Any]


def open_image(source: Source, view: View) -> npt.NDArray[np.uint8]:
    """The picture as a model with this view sees it: `(size, size, 3)`, uint8, RGB, upright.

    A picture is a path, bytes, an open file, a PIL image, or an array `(height, width[, 1, 3, 4])`
    of uint8, uint16, bool or floats from 0 to 1. Raises `ImageError` when there is none to see.
    """
    least = min(2 * view.size, LARGEST)  # may be averaged to this before the real resize
    with _told_plainly(_name_of(source)), _hush, _opened(source, least) as picture:
        picture.load()
        colour, extent = _in_colour(picture, least)
        size, box = (view.size, view.size), view.box(*extent)
        square = colour.resize(size, Image.Resampling.BILINEAR, box)
        return np.array(_turned(square, _orientation(picture)))


def pixels_held(source: Source) -> int:
    """The number of pixels that must be in memory to decode a file, according to its header.

    0 for a baseline JPEG, which is decoded row by row at a reduced size; half the pixels of any
    other JPEG, which takes half the memory per pixel. Raises `ImageError` as `open_image` does.
    """
    with _told_plainly(_name_of(source)), _hush, _stream(source) as stream:
        picture = _recognised(headers.Metered(stream))
        _refuse_giant(picture, stream)
        kind = _kind(picture, stream)
    if kind == "JPEG by rows":
        return 0
    return _area(picture) // 2 if kind.startswith("JPEG") and kind != "JPEG2000" else _area(picture)


# ---------------------------------------------------------------------------- what may go wrong


@contextmanager
def _told_plainly(name: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one sentence that starts with the picture's name."""
    try:
        yield
    # A hostile file makes Pillow raise nearly anything: OSError, SyntaxError, ValueError, KeyError,
    # struct.error, ZeroDivisionError, MemoryError, RecursionError ... Each means that this picture
    # cannot be seen, and none may stop a batch. KeyboardInterrupt is no Exception: it passes.
    except Exception as error:
        raise ImageError(f"{name} {_what_is_wrong(error)}") from error


def _what_is_wrong(error: Exception) -> str:
    """The end of the sentence, for each kind of mistake."""
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
    cut_off = any(sign in detail.lower() for sign in _SIGNS_OF_THE_END)
    ended = isinstance(error, EOFError | struct.error) or cut_off
    return _CUT_OFF if ended else f"is damaged ({detail})"


_CUT_OFF = "is cut off: the file ends before the picture does"
_SIGNS_OF_THE_END = ("truncat", "end of file", "eof", "not enough", "requires a buffer")


def _name_of(source: Any) -> str:
    """What to call a picture: its path where it has one."""
    if isinstance(source, np.ndarray):
        return "the array"
    name = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    name = name or getattr(source, "filename", None)
    if not isinstance(name, str | PathLike):
        return "the picture" if isinstance(source, Image.Image) else "the file"
    return str(name) if str(name).isprintable() else repr(str(name))


class _Hush:
    """Keeps Pillow's warnings (corrupt EXIF, odd palettes) from users while pictures are read.

    Warning filters belong to the process, not to a thread: two threads that each save and restore
    them can leave them wrong for ever. So the first one in saves, and the last one out restores.
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
                warnings.filterwarnings("ignore", module="PIL")

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
    """The picture, its header read and found acceptable, its pixels not yet decoded."""
    if isinstance(source, Image.Image):
        yield source  # whoever opened it has passed Pillow's own limits
    elif isinstance(source, np.ndarray):
        yield _from_array(source)
    else:
        with _stream(source) as stream:
            length = stream.seek(0, io.SEEK_END)
            _refuse_unless(length > 0, "is empty (0 bytes)")
            _refuse_unless(length <= MOST_BYTES, "is too large: more than 256 megabytes")
            metered = headers.Metered(stream)
            picture = _recognised(metered)
            _refuse_giant(picture, stream)
            metered.begin_pixels()
            alone = _one_giant if _area(picture) > EXACT else nullcontext()  # may take most of a GB
            picture.draft(None, (least, least))  # a JPEG then decodes at 1/2, 1/4 or 1/8
            with alone:
                yield picture


def _stream(source: Any) -> io.BytesIO | io.BufferedReader:
    """The bytes as a file that can be rewound."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        _refuse_unless(not path.is_dir(), "is a folder, not a picture")
        # a pipe or a device could keep us waiting, or reading, for ever
        _refuse_unless(path.is_file() or not path.exists(), "is not a file")
        return path.open("rb")
    if isinstance(source, bytes | bytearray):
        return io.BytesIO(source)
    _refuse_unless(hasattr(source, "read"), f"is of {type(source)}, and no path, bytes or array")
    found = source.read(MOST_BYTES + 1)
    _refuse_unless(not isinstance(found, str), "was opened as text: open it with mode 'rb'")
    return io.BytesIO(found)


def _refuse_unless(fine: bool, reason: str) -> None:
    if not fine:
        raise RefusalError(reason)


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    """An array of pixels as a picture of 8 bits a channel."""
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
    """Values from 0 to `top` as 0 to 255, rounded; what lies outside is cut, no number is black."""
    with np.errstate(all="ignore"):
        share = np.nan_to_num(values.astype(np.float32) / np.float32(top), nan=0.0)
        return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


# ----------------------------------------------------------------- which files, and how large


MOST_BYTES = 256 * 10**6
EXACT = 25 * 10**6  # pixels up to which a picture is converted whole, beside others
LONG = 100_000  # rows from which they count: no photograph has so many
BAND = 4 * 10**6  # pixels of a larger one that are converted at a time

# What takes less than 1 GB and 10 s, as test_damaged_images.py measures; all others: 100. A JPEG by
# rows decodes at 1/8; a progressive one is kept whole at first, 2 bytes a sample; TIFF, WebP and
# AVIF hold a picture up to four times. Names in small letters: decoders that Pillow has in Python.
MEGAPIXELS = {"JPEG by rows": 250, "JPEG progressive": 80, "JPEG": EXACT // 10**6, "TIFF": 50}
MEGAPIXELS |= {"WEBP": 40, "AVIF": 40, "JPEG2000": 16, "ppm": 3, "ppm_plain": 3, "bmp_rle": 4}


def _recognised(stream: headers.Metered) -> ImageFile.ImageFile:
    """The picture in the first format that knows the file's first bytes, its header read."""
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
    raise RefusalError(f"is not a picture{_stranger(start)}")


def _stranger(start: bytes) -> str:
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return " that Pillow reads but HEIC: convert it to JPEG first"
    if start[:4] == b"\0\0\1\0":
        return " that can be read here but an icon (ICO): convert it to PNG first"
    return f" that can be read here ({', '.join(FORMATS)})"


def _refuse_giant(picture: Image.Image, stream: Any) -> None:
    """Measure what the header declares, before anything of that size is decoded."""
    most = MEGAPIXELS.get(_kind(picture, stream), 100)
    size = f"{_area(picture) / 1e6:,.0f} megapixels ({picture.width:,} x {picture.height:,})"
    reason = f"is too large: {size}, and at most {most} of its kind can be read"
    _refuse_unless(_area(picture) <= most * 10**6, reason)


def _area(picture: Image.Image) -> int:
    """Pixels to decode; a TIFF may declare a tile larger than itself, which is decoded whole.

    A row costs as much as two pixels more: a pointer, of which a picture may have more than pixels.
    """
    tags = getattr(picture, "tag_v2", {})
    tile = [side for side in (tags.get(322), tags.get(323)) if isinstance(side, int)]
    sizes = [picture.size, *([tile] if len(tile) == 2 else [])]
    return max(width * height + (2 * height if height > LONG else 0) for width, height in sizes)


def _kind(picture: Image.Image, stream: Any) -> str:
    """What decides how costly a picture is: its format, or a special way of writing it."""
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
    # what is neither is lossless or another rarity, which libjpeg cannot reduce
    return "JPEG progressive" if "progressive" in picture.info else "JPEG"


# ---------------------------------------------------------- from Pillow to colours, and upright


def _in_colour(picture: Image.Image, least: int) -> tuple[Image.Image, tuple[float, float]]:
    """RGB on white, a giant also averaged to no less than `least` a side; and its true extent."""
    width, height = picture.size
    top = _brightest(picture)
    if width * height <= EXACT:
        return _to_rgb(picture, top), (float(width), float(height))
    across, down = max(1, width // least), max(1, height // least)
    small = Image.new("RGB", (ceil(width / across), ceil(height / down)))
    rows = down * max(1, BAND // (width * down))  # bands: never a second picture of full size
    for start in range(0, height, rows):
        band = picture.crop((0, start, width, min(start + rows, height)))
        small.paste(_to_rgb(band, top).reduce((across, down)), (0, start // down))
    return small, (width / across, height / down)


def _brightest(picture: Image.Image) -> float:
    """The number that means white in a picture of more than 8 bits: the least usual range."""
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
        return int(picture.getexif().get(0x0112, 1))
    return 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Upright; done last, because the small square costs nothing to turn."""
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


_Turn = Image.Transpose
_TURNS = {2: _Turn.FLIP_LEFT_RIGHT, 3: _Turn.ROTATE_180, 4: _Turn.FLIP_TOP_BOTTOM}
_TURNS |= {5: _Turn.TRANSPOSE, 6: _Turn.ROTATE_270, 7: _Turn.TRANSVERSE, 8: _Turn.ROTATE_90}
