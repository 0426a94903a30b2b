"""Whose a text is: cutline's own texts carry a mark, and whatever has none is a human's.

The mark names model, version, confidence and date, and holds a digest of the text that it came
with. A text that somebody edited afterwards has another digest: it is a human's from then on.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from cutline.errors import WritingError

NAMESPACE = "urn:cutline:1.0/"
"""Where the mark's properties live in XMP; nobody else writes there."""

DESCRIPTION, ALT = "description", "alt text"
"""What cutline writes of each picture: `dc:description`, `Iptc4xmpCore:AltTextAccessibility`."""

_BY_CAMERAS = re.compile(
    r"OLYMPUS DIGITAL CAMERA|(MINOLTA |KODAK |SONY |SAMSUNG )?DIGITAL (STILL )?CAMERA|"
    r"(SONY|Minolta) DSC|SAMSUNG|Exif[_ ]JPEG(_PICTURE)?|DCIM\\.*|DJI_\d+|default|untitled",
    re.IGNORECASE,
)
"""What cameras put into the description of every picture: nobody wrote it about this one."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How a text came to be; `text_hash` says which text is meant."""

    text_hash: str
    model: str = ""
    fingerprint: str = ""
    version: str = ""
    confidence: float | None = None
    date: str = ""

    def properties(self) -> Iterator[tuple[str, str]]:
        """The names of XMP and their values, those that are known: `("Model", "flickr8k-...")`.

        A value is one line that XML can hold, whatever a stranger's model calls itself.
        """
        confidence = "" if self.confidence is None else f"{self.confidence:.4f}"
        for name, value in (
            ("Model", self.model),
            ("Fingerprint", self.fingerprint),
            ("Version", self.version),
            ("Confidence", confidence),
            ("Date", self.date),
            ("TextHash", self.text_hash),
        ):
            if line := _as_line(value):
                yield name, line


@dataclass(frozen=True, slots=True)
class Found:
    """What one file says of a picture: texts by field and language, and the mark's digest."""

    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`{"description": {"x-default": "a dog", "en": "a dog"}}`; fields without text are absent."""
    text_hash: str = ""
    """Of the mark; empty where there is none."""

    @property
    def human(self) -> str:
        """The end of a sentence about a human's text; empty where there is none."""
        for name, texts in self.texts.items():
            for text in texts.values():
                if not _BY_CAMERAS.fullmatch(text) and hash_text(text) != self.text_hash:
                    start = text if len(text) <= 40 else f"{text[:39]}…"
                    return f"the {name} says {' '.join(start.split())!r}"
        if self.text_hash and not {DESCRIPTION, ALT} <= self.texts.keys():
            return "somebody took away what cutline had written"
        return ""

    @property
    def own(self) -> tuple[str, ...]:
        """The fields that hold cutline's text, or a copy of it that another program made."""
        return tuple(
            name
            for name, texts in self.texts.items()
            if any(hash_text(text) == self.text_hash for text in texts.values())
        )

    def holds(self, text: str, language: str, *, human: bool = False) -> bool:
        """Whether a text is there already, word for word, in this language; with cutline's mark,
        or without, if it is a `human`'s.
        """
        said = {name: self.texts.get(name, {}) for name in (DESCRIPTION, ALT)}
        wanted = {"x-default": text, language: text}
        mark = "" if human else hash_text(text)
        return self.text_hash == mark and all(t == wanted for t in said.values())


def hash_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return sha256(text.strip().encode("utf8", "surrogatepass")).hexdigest()


def clean_text(text: str) -> str:
    """A text as every format can hold it: lines end alike, no space around.

    Raises `WritingError` for characters that XML has no place for.
    """
    text = "\n".join(text.splitlines()).strip()
    if not text:
        raise WritingError("has an empty caption")
    for character in text:
        if _is_nowhere_allowed(character):
            raise WritingError(
                f"has a caption with {character!r} in it, which XMP has no place for"
            )
    return text


def _as_line(value: str) -> str:
    allowed = (" " if _is_nowhere_allowed(character) else character for character in value)
    return " ".join("".join(allowed).split())


def _is_nowhere_allowed(character: str) -> bool:
    code = ord(character)
    return (
        (code < 0x20 and character not in "\t\n")
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or code in (0xFFFE, 0xFFFF)
    )
