"""XMP packets: read the descriptions of a picture, and insert cutline's text.

What other programs wrote stays as it is, byte for byte: a packet is not serialized anew, only
cutline's properties are cut out and inserted. A packet may have several `rdf:Description` elements
of one picture (XMP specification, part 1, ISO 16684-1).
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageFile, IptcImagePlugin, UnidentifiedImageError

from cutline.errors import WritingError
from cutline.images.headers import Metered
from cutline.images.load import open_heif
from cutline.metadata.keywords import HIERARCHY, IN_XMP, SUBJECT, TAGS, Keywords
from cutline.metadata.keywords import IPTC as IPTC_KEYWORDS
from cutline.metadata.provenance import ALT, DESCRIPTION, NAMESPACE, Found, Mark

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
IPTC = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
DIGIKAM = "http://www.digikam.org/ns/1.0/"

FIELDS = {
    f"{DC} description": DESCRIPTION,
    f"{IPTC} AltTextAccessibility": ALT,
    f"{IPTC} ExtDescrAccessibility": "extended description",
    "http://ns.adobe.com/tiff/1.0/ ImageDescription": "TIFF description",
    "http://ns.acdsee.com/iptc/1.0/ caption": "ACDSee caption",
}
"""Properties in which programs keep descriptions of a picture."""
_ADDED = "added"
_KEYWORDS = {
    f"{DC} subject": SUBJECT,
    f"{DIGIKAM} TagsList": TAGS,
    "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject": HIERARCHY,
    f"{NAMESPACE} Keywords": _ADDED,
}
"""Properties in which programs keep keywords, and those that cutline added."""

_EXIF_DESCRIPTION, _WINDOWS_COMMENT = 0x010E, 0x9C9C
_TAG = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")

_NEW = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
{block} </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def read_packet(packet: bytes) -> Found:
    """The descriptions in a packet. Raises `WritingError` for what is not XMP, or has a DOCTYPE."""
    return _parse(packet).found


def read_embedded(picture: Path) -> Found:
    """The descriptions in a picture that Pillow reads: XMP, EXIF, IPTC, PNG.

    Empty if the picture cannot be read.
    """
    with suppress(Exception), warnings.catch_warnings():  # see `images.load`: any kind of exception
        warnings.simplefilter("ignore")
        with picture.open("rb") as file, _open(Metered(file)) as image:
            if image.format == "PNG":
                image.load()  # its texts may follow the pixels
            packet, exif = image.info.get("xmp"), image.getexif()
            iptc = IptcImagePlugin.getiptcinfo(image) or {}
        found = Found()
        with suppress(WritingError):  # a broken packet; the other fields may have a text
            found = read_packet(packet) if isinstance(packet, bytes) else found
        texts = {
            "EXIF description": _as_text(exif.get(_EXIF_DESCRIPTION)),
            "Windows comment": _as_text(exif.get(_WINDOWS_COMMENT), "utf-16-le"),
            "IPTC caption": _as_text(iptc.get((2, 120))),
            "PNG description": _as_text(image.info.get("Description")),
        }
        named = {name: {"x-default": text} for name, text in texts.items() if text}
        keywords = dict(found.keywords.fields)
        if in_iptc := _keywords_in(iptc.get((2, 25))):
            keywords[IPTC_KEYWORDS] = in_iptc
        added = found.keywords.added
        return Found({**found.texts, **named}, found.text_hash, Keywords(keywords, added))
    return Found()


def _open(file: Metered) -> ImageFile.ImageFile:
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        return open_heif(file)


def _as_text(said: object, charset: str = "utf8") -> str:
    text = said.decode(charset, "replace") if isinstance(said, bytes) else said
    return text.strip("\0 \t\r\n") if isinstance(text, str) else ""


def _keywords_in(said: object) -> tuple[str, ...]:
    """The keywords of IPTC: UTF-8, or Latin-1 as old programs wrote it."""
    pieces = [said] if isinstance(said, bytes) else said if isinstance(said, list) else []
    texts = []
    for each in pieces:
        try:
            texts.append(each.decode())
        except UnicodeDecodeError:
            texts.append(each.decode("latin-1"))
    return tuple(text for text in map(_as_text, texts) if text.isprintable() and text)


def put_text(
    packet: bytes | None,
    text: str,
    mark: Mark | None,
    language: str,
    keywords: Keywords | None = None,
) -> bytes:
    """The packet with this text as description and alt text instead of an earlier one of cutline's.

    Without a packet, a new one. `mark` is None for a person's text. `keywords` replace those that
    are there; None leaves them. Raises `WritingError` for a packet that cannot be read, or that
    holds a person's text.
    """
    if packet is None:
        return _NEW.format(rdf=RDF, block=_block("", text, mark, language, keywords)).encode()
    before = _parse(packet)
    with_keywords = keywords is not None
    cuts = _cuts(before, with_keywords)
    if before.found.human:
        raise WritingError(f"holds a person's text: {before.found.human}")
    if before.end is None:
        raise WritingError("holds no rdf:RDF to put a caption into")
    block = _block(before.about, text, mark, language, keywords).encode()
    pieces, start = [], 0
    place, _ = _with_space(packet, before.end, before.end)
    for cut in sorted([*cuts, (place, place)]):
        pieces += [packet[start : cut[0]], block if cut[0] == cut[1] else b""]
        start = cut[1]
    after = b"".join([*pieces, packet[start:]])
    told = _parse(after)
    is_told = told.found.holds(text, language, human=mark is None)
    is_told &= keywords is None or told.found.keywords.hold(keywords, IN_XMP)
    if not is_told or _others(told, with_keywords) != _others(before, with_keywords):
        raise WritingError(
            "is structured so that cutline cannot add a caption without changing other text"
        )
    return after


def _block(
    about: str, text: str, mark: Mark | None, language: str, keywords: Keywords | None
) -> str:
    properties = "".join(
        f"   <cutline:{name}>{escape(value)}</cutline:{name}>\n"
        for name, value in (mark.properties() if mark else ())
    )
    said = "".join(
        f"   <{name}>\n    <rdf:Alt>\n"
        f'     <rdf:li xml:lang="x-default">{escape(text)}</rdf:li>\n'
        f"     <rdf:li xml:lang={quoteattr(language)}>{escape(text)}</rdf:li>\n"
        f"    </rdf:Alt>\n   </{name}>\n"
        for name in ("dc:description", "Iptc4xmpCore:AltTextAccessibility")
    )
    lists = "".join(_lists(keywords)) if keywords else ""
    spaces = f'\n    xmlns:digiKam="{DIGIKAM}"' if lists else ""
    return (
        f'  <rdf:Description rdf:about={quoteattr(about)} xmlns:rdf="{RDF}"\n'
        f'    xmlns:dc="{DC}" xmlns:Iptc4xmpCore="{IPTC}" xmlns:cutline="{NAMESPACE}"{spaces}>\n'
        f"{said}{properties}{lists}  </rdf:Description>\n"
    )


def _lists(keywords: Keywords) -> Iterator[str]:
    """The properties that hold keywords; the last one belongs to the mark."""
    for name, kind, items in (
        ("dc:subject", "Bag", keywords.fields.get(SUBJECT)),
        ("digiKam:TagsList", "Seq", keywords.fields.get(TAGS)),
        ("cutline:Keywords", "Bag", keywords.added),
    ):
        if items:
            each = "".join(f"     <rdf:li>{escape(item)}</rdf:li>\n" for item in items)
            yield f"   <{name}>\n    <rdf:{kind}>\n{each}    </rdf:{kind}>\n   </{name}>\n"


# --------------------------------------------------------------------------------- reading


@dataclass
class _Property:
    """One property: its span in bytes, and its text in each language, or its list of texts."""

    name: str
    start: int
    end: int = 0
    said: dict[str, str] = field(default_factory=dict)
    items: list[str] = field(default_factory=list)


@dataclass
class _Description:
    """One `rdf:Description`: its span, and its properties as elements and as attributes."""

    start: int
    end: int = 0
    properties: list[_Property] = field(default_factory=list)
    attributes: list[_Property] = field(default_factory=list)


@dataclass(frozen=True)
class _Parsed:
    packet: bytes
    descriptions: list[_Description]
    about: str
    end: int | None
    """Offset of `</rdf:RDF>`."""
    found: Found


def _parse(packet: bytes) -> _Parsed:
    packet = packet.rstrip(b"\0")  # padding of some programs
    if b"\0" in packet:
        raise WritingError("is not UTF-8, which XMP requires")
    reader = _Reader(packet)
    try:
        reader.parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise WritingError(f"is not XMP: {error}") from None
    found = _found_in(p for d in reader.descriptions for p in (*d.properties, *d.attributes))
    return _Parsed(packet, reader.descriptions, reader.about, reader.end, found)


def _found_in(properties: Iterable[_Property]) -> Found:
    texts: dict[str, Mapping[str, str]] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    text_hash = ""
    for each in properties:
        if field_name := _KEYWORDS.get(each.name):
            items = filter(None, map(str.strip, each.items or each.said.values()))
            keywords[field_name] = (*keywords.get(field_name, ()), *items)
        said = {language: text.strip() for language, text in each.said.items() if text.strip()}
        if each.name == f"{NAMESPACE} TextHash":
            text_hash = next(iter(said.values()), "")
        elif (name := FIELDS.get(each.name)) and said:
            texts[name] = {**texts.get(name, {}), **said}
    added = keywords.pop(_ADDED, ())
    return Found(texts, text_hash, Keywords({k: v for k, v in keywords.items() if v}, added))


class _Reader:
    """Walks through a packet and records the spans of its properties."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.descriptions: list[_Description] = []
        self.about = ""
        self.end: int | None = None
        self._starts: list[int] = []
        self._root: int | None = None
        self._language, self._text = "", ""
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.namespace_prefixes = True
        self.parser.ordered_attributes = True
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._open
        self.parser.EndElementHandler = self._close
        self.parser.CharacterDataHandler = self._hear
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.XmlDeclHandler = self._look_at_encoding

    @property
    def _depth(self) -> int | None:
        """How deep we are under `rdf:RDF`: 1 in a Description, 2 in a property."""
        return None if self._root is None else len(self._starts) - self._root

    def _open(self, name: str, attributes: list[str]) -> None:
        name, start = _without_prefix(name), self.parser.CurrentByteIndex
        self._starts.append(start)
        if self._root is None and name == f"{RDF} RDF":
            self._root = len(self._starts)
        pairs = list(zip(attributes[::2], attributes[1::2], strict=True))
        match self._depth:
            case 1:
                self._describe(start, pairs)
            case 2:
                self._text, self._language = "", ""
                self.descriptions[-1].properties.append(_Property(name, start))
            case 4:
                languages = {_without_prefix(n).split()[-1]: value for n, value in pairs}
                self._text, self._language = "", languages.get("lang", "")

    def _describe(self, start: int, pairs: list[tuple[str, str]]) -> None:
        description = _Description(start)
        spans = _spans_of_attributes(self.packet, start)
        for name, value in pairs:
            if name.startswith(f"{RDF} about"):
                self.about = self.about or value
                continue
            raw = ":".join(reversed(name.split(" ")[1:]))
            begins, ends = spans.get(raw.encode(), (start, start))
            prop = _Property(_without_prefix(name), begins, ends, {"": value})
            description.attributes.append(prop)
        self.descriptions.append(description)

    def _hear(self, text: str) -> None:
        self._text += text

    def _close(self, _: str) -> None:
        depth, start = self._depth, self._starts.pop()
        if depth == 0:
            self.end, self._root = self.parser.CurrentByteIndex, None
            return
        if depth not in (1, 2, 4):
            return
        end = self._end_of(start)
        if depth == 1:
            self.descriptions[-1].end = end
            return
        current = self.descriptions[-1].properties[-1]
        if depth == 4:
            current.items.append(self._text)
        if depth == 4 or not current.said:
            current.said[self._language] = self._text
        current.end, self._text = end, ""

    def _end_of(self, start: int) -> int:
        tag = _TAG.match(self.packet, start)
        if tag and tag[0].endswith(b"/>"):
            return tag.end()
        return self.packet.index(b">", self.parser.CurrentByteIndex) + 1

    def _refuse_doctype(self, *_: object) -> None:
        raise WritingError("has a DOCTYPE, which XMP never has")

    def _look_at_encoding(self, _: str, encoding: str | None, __: int) -> None:
        if encoding and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise WritingError(f"is in {encoding}, not UTF-8, which XMP requires")


def _without_prefix(name: str) -> str:
    """`http://purl.org/dc/elements/1.1/ description dc` -> the same without `dc`."""
    return " ".join(name.split(" ")[:2])


def _spans_of_attributes(packet: bytes, start: int) -> dict[bytes, tuple[int, int]]:
    tag = _TAG.match(packet, start)
    if tag is None:
        return {}
    return {each[1]: each.span() for each in _ATTRIBUTE.finditer(packet, start, tag.end())}


# ----------------------------------------------------------------------------- cutting out


def _is_own(parsed: _Parsed, each: _Property, with_keywords: bool) -> bool:
    """The mark, the fields that cutline writes, and copies of its text by other programs."""
    if _KEYWORDS.get(each.name) in (*IN_XMP, _ADDED):
        return with_keywords
    name = FIELDS.get(each.name)
    marks = each.name.startswith(f"{NAMESPACE} ")
    return marks or name in (DESCRIPTION, ALT) or name in parsed.found.own


def _cuts(parsed: _Parsed, with_keywords: bool) -> list[tuple[int, int]]:
    """Spans to cut out; of a Description without other properties, the whole of it."""
    cuts = []
    for description in parsed.descriptions:
        everything = [*description.properties, *description.attributes]
        own = [each for each in everything if _is_own(parsed, each, with_keywords)]
        if own and len(own) == len(everything):
            cuts.append(_with_space(parsed.packet, description.start, description.end))
        else:
            cuts += [
                (each.start, each.end)
                if each in description.attributes
                else _with_space(parsed.packet, each.start, each.end)
                for each in own
            ]
    return cuts


def _with_space(packet: bytes, start: int, end: int) -> tuple[int, int]:
    """The span with its indentation and line end, so that no empty line remains."""
    line = packet.rfind(b"\n", 0, start) + 1
    if packet[line:start].strip():
        return start, end
    return line, end + 1 if packet[end : end + 1] == b"\n" else line if start == end else end


def _others(parsed: _Parsed, with_keywords: bool) -> list[bytes]:
    """The bytes of all properties that are not cutline's."""
    return sorted(
        parsed.packet[each.start : each.end].strip()
        for description in parsed.descriptions
        for each in (*description.properties, *description.attributes)
        if not _is_own(parsed, each, with_keywords)
    )
