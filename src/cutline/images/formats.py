"""Image formats that are read, and the file suffixes by which folders are searched for them."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "PPM": (),
    "JPEG2000": (".jp2",),
}
"""Pillow's name of each format, in the order in which they are tried, and its usual suffixes.

Left out are formats that start a program (EPS) and those decoded while they are opened (ICO). A
file that is named explicitly is opened whatever its suffix.
"""
RAW = frozenset(
    (".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".dng", ".orf", ".pef", ".srw", ".erf")
    + (".rw2", ".raf")
)
"""Suffixes of camera raw files, which are read by their embedded JPEG preview."""
HEIF = frozenset((".heic", ".heif", ".hif"))
"""Suffixes of the files of phones that pillow-heif reads."""
UNREAD = frozenset((".crw", ".x3f", ".iiq", ".3fr", ".jxl", ".psd"))
"""Suffixes of pictures that cannot be read; those in a folder are counted and reported."""
INSTALL_HEIF = "pip install 'cutline[heif]'"

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes) | RAW


def is_picture(name: str) -> bool:
    """Whether a file in a folder is taken for a picture: by its suffix, and if it is not hidden."""
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in SUFFIXES or (suffix in HEIF and has_heif()))


def skipped_suffix(name: str) -> str:
    """The suffix of a picture that cannot be read here, as `HEIC`; empty for any other file."""
    suffix = Path(name).suffix.lower()
    skipped = not name.startswith(".") and (suffix in UNREAD or (suffix in HEIF and not has_heif()))
    return suffix[1:].upper() if skipped else ""


def has_heif() -> bool:
    """Whether pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def describe_skipped(counts: Mapping[str, int]) -> str:
    """`12 HEIC files skipped: pip install ...; 1 PSD file skipped: the format is not supported`."""
    parts = []
    for suffix, count in sorted(counts.items()):
        why = INSTALL_HEIF if f".{suffix.lower()}" in HEIF else "the format is not supported"
        parts.append(f"{count:,} {suffix} file{'s' * (count != 1)} skipped: {why}")
    return "; ".join(parts)
