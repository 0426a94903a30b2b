"""Alt texts that say nothing: words for a picture, names of cameras' files, file names."""

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

from cutline.images.formats import SUFFIXES

_WORDS = re.compile(
    r"(?:an? |the |my |enter |insert |add |your )?"
    r"(?:image|images|img|imgs|picture|pictures|pic|pics|photo|photos|photograph|graphic|alt|"
    r"alt[ _-]?text|alternate text|alternative text|bild|foto|imagen|immagine|afbeelding|"
    r"placeholder|untitled|unnamed|thumbnail|todo|tbd|fixme|null|undefined|n/a)"
    r"(?: ?(?:alt|text|alt text|description|title|name|caption|here|description here))?"
    r"[ _-]?(?:\d+|\(\d+\))?[.:!]?",
    re.I,
)
_SIGNS = re.compile(r"[-.…_*#–—\s]+")
_CAMERA = re.compile(
    r"(?:IMG|DSC|DSCN|DSCF|PXL|MVIMG|IMAG|CIMG|KIMG|GOPR|DJI|SAM|PICT|WP|P|VID|_MG|_DSC)"
    r"[-_ ]?\d{3,}[-_~.\w]*(?: ?\(\d+\))?|"
    r"(?:screenshot|screen shot|image|whatsapp image)[-_ ]\d{4}[-_ .:\w]*|"
    r"\d{8}[-_ ]?\d*|[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}|[\da-f]{32,64}",
    re.I,
)
_SUFFIX = re.compile(
    rf"\.(?:{'|'.join(sorted(s.lstrip('.') for s in SUFFIXES))}|svg|ico|heic|pdf)", re.I
)
_LOOKS_LIKE_A_NAME = re.compile(r".*_|(?:[^-]*-){2}|(?:\D*\d){4}", re.S)
"""Underscores, two hyphens or four digits: `T-shirt` and `route66` may be words."""


def is_placeholder(alt: str, source: str = "") -> bool:
    """Whether an alt text stands in for one: `...`, `image`, `IMG_1234`, `hero_banner.png`.

    `source` is the URL of the picture: its file name, if it looks like one, is no alt text.
    """
    text = alt.strip()
    if not text or "\n" in text or len(text) > 200:
        return False
    if any(pattern.fullmatch(text) for pattern in (_WORDS, _SIGNS, _CAMERA)):
        return True
    file = PurePosixPath(unquote(source.split("?")[0].split("#")[0])).name
    suffix = PurePosixPath(text).suffix
    if text == file or (" " not in text and _SUFFIX.fullmatch(suffix)):
        return bool(_SUFFIX.fullmatch(suffix))
    return text == PurePosixPath(file).stem and bool(_LOOKS_LIKE_A_NAME.match(text))
