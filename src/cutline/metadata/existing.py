"""Texts that a picture carries already, in itself or in a sidecar, and that cutline did not write.

The alt text comes before the description, that before the captions of older formats; of each, a
sidecar's comes before the picture's, as photo programs have it. What cameras write into every
picture is no text, and neither is the picture's name.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from cutline.errors import WritingError
from cutline.io.atomic import read_file
from cutline.metadata.name_clashes import Neighbours
from cutline.metadata.provenance import (
    ALT,
    DESCRIPTION,
    Found,
    clean_text,
    hash_text,
    is_by_camera,
)
from cutline.metadata.writer import sidecars_of
from cutline.metadata.xmp import read_embedded, read_packet
from cutline.types import ExistingText

FIELDS = (
    ALT,
    DESCRIPTION,
    "IPTC caption",
    "EXIF description",
    "TIFF description",
    "PNG description",
    "ACDSee caption",
)
"""The fields in which a text is looked for, the best first."""


def find_text(picture: str | Path) -> ExistingText | None:
    """The text that a person or another program gave a picture; None if there is none."""
    picture = Path(picture)
    files = [*_sidecars(picture), (picture, read_embedded(picture))]
    own = {found.text_hash for _, found in files}  # also of copies by other programs
    for name in FIELDS:
        for file, found in files:
            text = _choose(found.texts.get(name, {}))
            said = text.casefold()
            is_name = said in (picture.name.casefold(), picture.stem.casefold())
            if text and not is_name and not is_by_camera(text) and hash_text(text) not in own:
                return ExistingText(text, name, file)
    return None


def find_texts_again() -> Callable[[Path], ExistingText | None]:
    """`find_text`, which reads files again only after they have changed."""
    known: dict[Path, tuple[object, ExistingText | None]] = {}

    def find(picture: Path) -> ExistingText | None:
        stamp = [_stamp(file) for file in (picture, *sidecars_of(picture))]
        if picture not in known or known[picture][0] != stamp:
            known[picture] = stamp, find_text(picture)
        return known[picture][1]

    return find


def _sidecars(picture: Path) -> list[tuple[Path, Found]]:
    full, stem = sidecars_of(picture)
    found = []
    with suppress(OSError):
        files = [full, stem] if stem.exists() and Neighbours().has_unique_stem(picture) else [full]
        for file in files:
            with suppress(OSError, WritingError):  # what is no XMP holds no text
                if packet := read_file(file):
                    found.append((file, read_packet(packet)))
    return found


def _choose(texts: Mapping[str, str]) -> str:
    """A text in the default language, in English, or in any other; empty if it cannot be used."""
    text = texts.get("x-default") or texts.get("en") or next(iter(texts.values()), "")
    with suppress(WritingError):
        return clean_text(text)
    return ""


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
