"""Word and PowerPoint: the pictures in the XML of a part, and where their alt text belongs.

The alt text is `descr` of `wp:docPr` or `p:cNvPr` (ECMA-376, 20.4.2.5 and 19.3.1.12); a picture
that is marked as decorative has the extension `adec:decorative`.
"""

import re
from dataclasses import dataclass, field
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

MAX_DEPTH = 500
"""Elements within each other."""
WORD_PARTS = re.compile(r"word/(?:document|header|footer|footnotes|endnotes)\d*\.xml")
SLIDES = re.compile(r"ppt/slides/slide\d+\.xml")
_TAG = re.compile(rb"<(?P<name>[^\s/>]+)(?:\s+[^\s=]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*+\s*/?>", re.S)
_DESCRIPTION = re.compile(rb"\sdescr\s*=\s*(?P<quote>[\"'])(?P<value>.*?)(?P=quote)", re.S)


class PartError(Exception):
    """The XML of a part is damaged or hostile."""


@dataclass
class Drawing:
    """A picture of a document or slide."""

    line: int
    attributes: dict[str, str]
    start: int
    """The byte offset at which a new attribute belongs, or the value of `descr` begins."""
    end: int
    """The offset after that value; None in its place is `start`."""
    is_new: bool
    """There is no `descr` yet."""
    relations: list[str] = field(default_factory=list)
    """The ids of the pictures; several in a group."""
    is_link: bool = False
    is_decorative: bool = False


def read_drawings(part: bytes) -> list[Drawing]:
    """The pictures of a part, in order. Raises `PartError`."""
    reader = _Reader(part)
    _parse(part, reader)
    return [each for each in reader.found if each.relations]


def read_relations(part: bytes) -> dict[str, tuple[str, bool]]:
    """The target of each relation, and whether it is outside of the archive. Raises `PartError`."""
    found = dict[str, tuple[str, bool]]()
    parser = _create()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.endswith("Relationship"):
            outside = attributes.get("TargetMode") == "External"
            found[attributes.get("Id", "")] = attributes.get("Target", ""), outside

    parser.StartElementHandler = start
    _run(parser, part)
    return found


class _Reader:
    def __init__(self, part: bytes) -> None:
        self.part, self.found = part, list[Drawing]()
        self.open = list[tuple[str, Drawing | None]]()
        """Elements, each with the drawing that it is or is in."""
        self.skipped = 0
        """Depth in `mc:Fallback`, which repeats what is before it for older programs."""

    def start(self, parser: XMLParserType, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        own = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        if len(self.open) > MAX_DEPTH:
            raise PartError("it is nested too deeply")
        self.skipped += local == "Fallback"
        inside = self.open[-1][1] if self.open else None
        if self.skipped:
            pass
        elif local == "docPr" or (local == "cNvPr" and self.is_slide_picture()):
            inside = self.begin(parser, own)
            if self.open:  # what follows it in the same frame belongs to it
                self.open[-1] = self.open[-1][0], inside
            if local == "cNvPr" and len(self.open) > 1:
                self.open[-2] = self.open[-2][0], inside
        elif inside and local == "blip":
            inside.relations += [own[key] for key in ("embed", "link") if own.get(key)][:1]
        elif inside and local == "hlinkClick":
            inside.is_link = True
        elif inside and local == "decorative":
            inside.is_decorative = own.get("val") in ("1", "true")
        self.open.append((local, inside))

    def is_slide_picture(self) -> bool:
        """Whether a `cNvPr` is that of a `p:pic`; in Word, `wp:docPr` counts instead."""
        names = [name for name, _ in self.open]
        return names[-2:] == ["pic", "nvPicPr"] and "graphicData" not in names

    def begin(self, parser: XMLParserType, attributes: dict[str, str]) -> Drawing:
        at = parser.CurrentByteIndex
        tag = _TAG.match(self.part, at)
        if tag is None:
            raise PartError("a tag was not found")
        value = _DESCRIPTION.search(self.part, tag.end("name"), tag.end())
        start, end = value.span("value") if value else (tag.end("name"),) * 2
        drawing = Drawing(parser.CurrentLineNumber, attributes, start, end, value is None)
        self.found.append(drawing)
        return drawing

    def finish(self, name: str) -> None:
        self.skipped -= name.rpartition(" ")[2] == "Fallback"
        self.open.pop()


def _parse(part: bytes, reader: _Reader) -> None:
    parser = _create()
    parser.StartElementHandler = lambda name, own: reader.start(parser, name, own)
    parser.EndElementHandler = reader.finish
    _run(parser, part)


def _create() -> XMLParserType:
    """A parser that refuses entities, and encodings in which tags are not found."""
    parser = ParserCreate(namespace_separator=" ")

    def refuse(*_: object) -> None:
        raise PartError("it declares a document type")

    def check(version: str, encoding: str | None, standalone: int) -> None:
        if (encoding or "utf-8").lower() not in ("utf-8", "us-ascii"):
            raise PartError(f"it is in {encoding}, not in UTF-8")

    parser.StartDoctypeDeclHandler = refuse
    parser.XmlDeclHandler = check
    return parser


def _run(parser: XMLParserType, part: bytes) -> None:
    if part.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PartError("it is in UTF-16, not in UTF-8")
    try:
        parser.Parse(part, True)
    except (ExpatError, UnicodeError) as error:
        raise PartError(str(error)) from None
