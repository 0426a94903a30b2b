"""Who wrote a text: cutline's texts carry a mark, and all others are a person's.

The mark holds model, version, confidence and date, and a digest of the text that it came with. A
text that was edited afterwards has another digest, and so is a person's.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from cutline.errors import WritingError
from cutline.metadata.keywords import Keywords

NAMESPACE = "urn:cutline:1.0/"
"""The XMP namespace of the mark."""

DESCRIPTION, ALT = "description", "alt text"
"""The fields that cutline writes: `dc:description`, `Iptc4xmpCore:AltTextAccessibility`."""

_BY_CAMERAS = re.compile(
    r"OLYMPUS DIGITAL CAMERA|(MINOLTA |KODAK |SONY |SAMSUNG )?DIGITAL (STILL )?CAMERA|"
    r"(SONY|Minolta) DSC|SAMSUNG|Exif[_ ]JPEG(_PICTURE)?|DCIM\\.*|DJI_\d+|default|untitled",
    re.IGNORECASE,
)
"""What cameras put into the description of every picture."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The origin of the text with the digest `text_hash`."""

    text_hash: str
    model: str = ""
    fingerprint: str = ""
    version: str = ""
    confidence: float | None = None
    date: str = ""

    def properties(self) -> Iterator[tuple[str, str]]:
        """XMP property names and values, where known: `("Model", "flickr8k-...")`.

        A value is one line that is valid in XML, whatever a model is called.
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
    """The descriptions in one file, by field and language, the digest of the mark, and keywords."""

    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`{"description": {"x-default": "a dog", "en": "a dog"}}`; fields without text are absent."""
    text_hash: str = ""
    """The text hash of the mark; empty if there is none."""
    keywords: Keywords = Keywords()

    @property
    def human(self) -> str:
        """The end of a sentence about a person's text; empty if there is none."""
        for name, texts in self.texts.items():
            for text in texts.values():
                if not is_by_camera(text) and hash_text(text) != self.text_hash:
                    start = text if len(text) <= 40 else f"{text[:39]}…"
                    return f"the {name} says {' '.join(start.split())!r}"
        if self.text_hash and not {DESCRIPTION, ALT} <= self.texts.keys():
            return "somebody removed what cutline had written"
        return ""

    @property
    def own(self) -> tuple[str, ...]:
        """The fields that hold cutline's text, or a copy by another program."""
        return tuple(
            name
            for name, texts in self.texts.items()
            if any(hash_text(text) == self.text_hash for text in texts.values())
        )

    def holds(self, text: str, language: str, *, human: bool = False) -> bool:
        """Whether exactly this text is there, in this language; with cutline's mark, or without it
        for a `human`.
        """
        said = {name: self.texts.get(name, {}) for name in (DESCRIPTION, ALT)}
        wanted = {"x-default": text, language: text}
        mark = "" if human else hash_text(text)
        return self.text_hash == mark and all(t == wanted for t in said.values())


def is_by_camera(text: str) -> bool:
    """Whether a text is what a camera puts into the description of every picture."""
    return bool(_BY_CAMERAS.fullmatch(text))


def hash_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return sha256(text.strip().encode("utf8", "surrogatepass")).hexdigest()


def clean_text(text: str) -> str:
    """A text with line feeds between its lines and no space around it.

    Raises `WritingError` for an empty text, and for characters that XML does not allow.
    """
    text = "\n".join(text.splitlines()).strip()
    if not text:
        raise WritingError("has an empty caption")
    for character in text:
        if _is_forbidden(character):
            raise WritingError(f"has a caption with {character!r} in it, which XMP does not allow")
    return text


def _as_line(value: str) -> str:
    allowed = (" " if _is_forbidden(character) else character for character in value)
    return " ".join("".join(allowed).split())


def _is_forbidden(character: str) -> bool:
    code = ord(character)
    return (
        (code < 0x20 and character not in "\t\n")
        or 0x7F <= code < 0xA0
        or 0xD800 <= code < 0xE000
        or code in (0xFFFE, 0xFFFF)
    )
