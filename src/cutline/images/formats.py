"""Image formats that are read, and the file suffixes by which folders are searched for them."""

from pathlib import Path

FORMATS = {
    "JPEG": (".jpg", ".jpeg"),
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
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)


def is_picture(name: str) -> bool:
    """Whether a file in a folder is taken for a picture: by its suffix, and if it is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
