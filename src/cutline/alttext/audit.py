"""The images of a page: which have an alt text, which need none, and which lack one.

A `PageText` of HTML or Markdown becomes a `Picture` for each `<img>` and each `![](…)`, with the
byte offset at which a missing alt text belongs. Which images are decorative follows the decision
tree of the W3C's Web Accessibility Initiative: https://www.w3.org/WAI/tutorials/images/decision-tree/
"""

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from html import unescape
from io import BytesIO
from pathlib import Path
from typing import Literal

from cutline.alttext.html import Attribute, Dialect, Tag, Text, is_code, read_markup
from cutline.alttext.imports import Imports
from cutline.alttext.language import find_language
from cutline.alttext.markdown import Document, Image
from cutline.alttext.page_text import PageText
from cutline.alttext.placeholders import is_placeholder
from cutline.alttext.urls import (
    Inline,
    Local,
    Member,
    NotFound,
    Outside,
    Place,
    Remote,
    Templated,
    locate,
)
from cutline.errors import DataError
from cutline.io.zips import read_member

MAX_TINY_SIDE = 2
"""Pixels: images at most this wide or high are spacers or tracking pixels."""
MAX_TINY_BYTES = 4096
"""Bytes: larger files cannot be such tiny images."""


class State(StrEnum):
    """The state of an image in a page."""

    PRESENT = "present"
    """It has an alt text, or another accessible name."""
    DECORATIVE = "decorative"
    """It needs no alt text."""
    UNKNOWN = "unknown"
    """A template decides whether it has an alt text."""
    MISSING = "missing"
    """It has no alt text, and the image can be captioned."""
    REMOTE = "remote"
    """It has no alt text, and the image is on another host."""
    FILE_NOT_FOUND = "file_not_found"
    """It has no alt text, and the image file does not exist."""
    TEMPLATED = "templated"
    """It has no alt text, and a template determines the image."""
    PLACEHOLDER = "placeholder"
    """Its alt text says nothing: `image`, `IMG_1234`, a file name."""
    FUNCTIONAL = "functional"
    """It is all that a link or button contains; a person has to write what that does."""
    FILLED = "filled"
    """A missing alt text was filled in."""
    UNSURE = "unsure"
    """It has no alt text, and the caption is not good enough."""
    UNREADABLE = "unreadable"
    """It has no alt text, and the image cannot be read or downloaded."""
    UNWRITTEN = "unwritten"
    """An alt text was found, but the page could not be written."""


Syntax = Literal["", "plain", "strict", "list"]
"""As it is; without signs that might mean something; as the first entry of a list with commas."""


@dataclass(frozen=True)
class Picture:
    """An image in a page."""

    page: Path
    line: int
    source: str
    """The URL, decoded."""
    state: State
    why: str = ""
    """The reason for the state, if it needs one."""
    place: Place = Templated()
    byte: int = 0
    """The byte offset at which to insert an alt text."""
    end: int = 0
    """The byte offset after the placeholder that the alt text replaces; else that of `byte`."""
    quote: str = ""
    """The quotation mark of attributes; empty in Markdown and in what `syntax` names."""
    syntax: Syntax = ""
    """How the alt text is escaped, where that follows the rules of neither HTML nor Markdown."""
    opening: str = ""
    closing: str = ""
    """What is written before and after the alt text: ` alt="` and `"`."""
    language: str = ""
    """The language in which readers will take the alt text: `de-AT`; empty if unknown."""
    lang_name: str = "lang"
    """The attribute for a language: `xml:lang` in books."""
    in_json: bool = False
    """Whether it is in a JSON string, as in a notebook."""
    has_own_language: bool = False
    """Whether the tag has a `lang` attribute itself."""
    alt: str = ""
    """The new alt text."""
    confidence: float | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a needed alt text is missing."""
        fine = (State.PRESENT, State.DECORATIVE, State.UNKNOWN, State.FILLED)
        return self.state not in fine


@dataclass(frozen=True)
class Page:
    """A file as it was when it was read, or a member of an archive."""

    path: Path
    content: bytes
    """Empty for an archive, which is read again to be written."""
    pictures: tuple[Picture, ...]
    encoding: str
    """The encoding for new alt texts: `utf-8`, `utf-16-le`, or `ascii` if uncertain."""
    members: tuple["Page", ...] = ()
    """Of an archive: the parts that have pictures."""


_ALT = re.compile(r"(?::|v-bind:|x-bind:|th:|data-th-|ng-attr-|bind:|\[|\[attr\.)?alt\]?(?:\.\w+)?")
_BOUND_SOURCE = re.compile(
    r"(?::|v-bind:|x-bind:|th:|data-th-|ng-|ng-attr-|bind:|\[|\[attr\.)src(?:set)?\]?(?:\.\w+)?"
)
_BOUND_ALL = ("v-bind", "x-bind", "th:attr", "data-th-attr", "th:alt-title", "th:attrappend")
_SOURCES = (
    "data-src", "data-original", "data-lazy-src", "data-lazy", "data-srcset", "data-lazy-srcset",
    "src", "srcset",
)  # fmt: skip
"""With lazy loading, `src` is a placeholder."""
_LINKS = ("a", "button", "Link", "NextLink", "NavLink", "Button")
_NAMES = ("aria-label", "aria-labelledby", "title")
EMPTY = "its alt text is empty"
_SPACER = re.compile(
    r"(?:^|/)(?:spacer|space|pixel|tracking|blank|clear|trans|transparent|shim|dot|empty|"
    r"1x1|1px|pix)[-_.\d]*\.(?:gif|png|webp)(?:[?#]|$)",
    re.I,
)
_PIXELS = re.compile(r"\s*(\d{1,6})(?:px)?\s*")
_HIDDEN = re.compile(r"display\s*:\s*none|(?:^|;)\s*(?:width|height)\s*:\s*[012](?:px|\s*(?:;|$))")
_CONTROL = re.compile(
    r"(?:\{%|\{\{|<%|<\?php)[-~+]?\s*[#/]?(?:if\w*|el\w*if|else|end\w*|unless|case|when|with|range)\b"
)


class Reader:
    """Finds the images of one page."""

    def __init__(
        self,
        page: PageText,
        roots: tuple[Path, ...],
        language: str = "",
        locate: Callable[[str], Place] | None = None,
    ) -> None:
        self.text, self.roots, self.base, self.language = page, roots, "", language
        self.locate = locate or self.find
        self.links = list[_Link]()
        """The links and buttons of the page that were closed."""
        self.imports = Imports({}, frozenset())
        """What the names in a component stand for."""

    def read_markdown(self, document: Document, dialect: Dialect) -> list[Picture]:
        """Images in Markdown and in embedded HTML, in document order."""
        found = self.read_html(document.html, dialect)
        for image in document.images:
            found.append(self.judge_markdown(image))
        return sorted(found, key=lambda picture: (picture.byte, picture.line))

    def judge_markdown(self, image: Image) -> Picture:
        """The state of an `![text](source)`."""
        source, text = self.text.read(image.source), image.text.strip()
        state, why, at, end = None, "", image.start + 2, 0
        if re.search(r"\balt\s*=", image.attributes, re.I):
            state = State.PRESENT
        elif is_placeholder(self.text.read(text), source):
            state, why = State.PLACEHOLDER, describe_placeholder(self.text.read(text))
            at += image.text.index(text)
            end = at + len(text)
        elif text:
            state = State.PRESENT
        elif image.text:
            state = State.DECORATIVE  # a single blank marks a decorative image
        picture = self.place(source, image.start, at, "", state, why)
        picture = replace(picture, end=self.text.byte_of(end or at), language=self.language)
        around = [link for link in self.links if link.start <= image.start < link.end]
        if image.link or any(link.is_link for link in around):
            has_text = image.link == "text" or any(link.has_text for link in around)
            return mark_decorative(picture, _NAMED) if has_text else mark_functional(picture)
        return picture

    def read_html(self, text: str, dialect: Dialect) -> list[Picture]:
        """Every `<img>`, in document order."""
        if dialect.components:
            self.imports = Imports.read(self.text.text)
        return self.read_tags(text, read_markup(text, dialect))

    def read_component(self, text: str, parts: Iterable[Tag | Text]) -> list[Picture]:
        """Every `<img>` and `<Image>` of a component, from its tags, in document order."""
        self.imports = Imports.read(text)
        return self.read_tags(text, parts)

    def read_tags(self, text: str, parts: Iterable[Tag | Text]) -> list[Picture]:
        """The images among the tags of a page."""
        found = list[Picture]()
        link = _Link()
        for part in parts:
            if isinstance(part, Text):
                link.read(text[part.start : part.end])
            elif part.name == "base" and not self.base:
                self.base = unescape(self.text.read(part.get("href") or ""))
            elif part.name in ("html", "body") and not part.is_end:
                self.language = find_language(part) or self.language
            elif (part.name == "img" or part.name in self.imports.components) and not part.is_end:
                link.pictures.append(len(found))
                found.append(self.judge(part))
            elif part.name in _LINKS:
                if link.closes_with(part):
                    link.end = part.start
                    self.links.append(link)
                    link.settle(found)
                link = _Link(part)
            else:
                link.see(part)
        return found

    def judge(self, tag: Tag) -> Picture:
        """The state of an `<img>`."""
        attribute = _find_source(tag)
        source = attribute.value or "" if attribute else ""
        if attribute and attribute.name.endswith("srcset"):
            source = source.strip(", \t\n\f\r").split()[0].rstrip(",") if source.strip(", ") else ""
        source = self.imports.resolve(unescape(self.text.read(source)))
        state, why = _inspect_tag(tag)
        alt, own = _find_alt(tag), find_language(tag)
        if alt and not state:
            text = self.text.read(unescape(alt.value or ""))
            is_filler = is_placeholder(text, source)
            state = State.PLACEHOLDER if is_filler else State.PRESENT
            why = describe_placeholder(text) if is_filler else ""
        after_name = tag.start + len(f"<{tag.name}")
        simple = attribute is not None and not tag.templates
        at = attribute.end if attribute and simple else after_name
        bound = [a for a in tag.attributes if _BOUND_SOURCE.fullmatch(a.name)]
        sources = [a for a in tag.attributes if a.name in _SOURCES]
        if bound or (tag.templates and len(sources) > 1):
            source = (bound or sources)[0].value or source
            state = state or State.TEMPLATED
        quotes = [a.quote for a in (attribute, *tag.attributes) if a and a.quote]
        picture = self.place(source, tag.start, at, (*quotes, '"')[0], state, why)
        if state is State.PLACEHOLDER and alt:
            picture = self.replace_value(picture, alt)
            if bound or tag.templates:
                picture = replace(picture, place=Templated())
        return replace(picture, language=own or self.language, has_own_language=bool(own))

    def find(self, source: str) -> Place:
        """The place of a URL."""
        return locate(source, self.text.path, self.roots, base=self.base)

    def replace_value(self, picture: Picture, alt: Attribute) -> Picture:
        """The image, with the span of its placeholder as what the new alt text replaces."""
        written = alt.value or ""
        if alt.is_braced:  # in JavaScript, whose strings have other escapes
            start = self.text.text.index("{", alt.start)
            byte, end = (self.text.byte_of(at) for at in (start, alt.end))
            return replace(picture, byte=byte, end=end, quote='"', opening='"', closing='"')
        start = alt.end - len(alt.quote) - len(written.lstrip())
        byte, end = (self.text.byte_of(at) for at in (start, start + len(written.strip())))
        mark = "" if alt.quote else picture.quote
        quote = alt.quote or picture.quote
        return replace(picture, byte=byte, end=end, quote=quote, opening=mark, closing=mark)

    def place(
        self, source: str, start: int, at: int, quote: str, state: State | None, why: str = ""
    ) -> Picture:
        """The image at an offset; its URL is resolved unless `state` is already known."""
        line, byte = self.text.line_of(start), self.text.byte_of(at)
        picture = Picture(self.text.path, line, source, State.MISSING, why, byte=byte, end=byte)
        opening = f" alt={quote}" if quote else ""
        picture = replace(picture, quote=quote, opening=opening, closing=quote)
        if state and state is not State.PLACEHOLDER:
            return replace(picture, state=state)
        place = self.locate(source)
        picture = replace(picture, place=place)
        if state is State.PLACEHOLDER:
            picture = replace(picture, state=state)
            spacer = _why_decorative(place, source)
            return mark_decorative(picture, spacer) if spacer else picture
        if why := _why_decorative(place, source):
            return mark_decorative(picture, why)
        match place:
            case Remote():
                return replace(picture, state=State.REMOTE)
            case NotFound(path):
                return replace(picture, state=State.FILE_NOT_FOUND, why=f"there is no {path}")
            case Outside(path):
                why = f"{path} is outside the site; add its folder with --root"
                return replace(picture, state=State.FILE_NOT_FOUND, why=why)
            case Templated():
                return replace(picture, state=State.TEMPLATED)
        return picture


class _Link:
    """A link or button, the images in it, and whether it has another accessible name."""

    def __init__(self, tag: Tag | None = None) -> None:
        self.tag = tag if tag and not tag.is_end else None
        self.has_text = bool(self.tag and _is_named(self.tag))
        self.is_link = bool(self.tag and _is_operable(self.tag))
        self.start = self.end = self.tag.end if self.tag else 0
        self.pictures = list[int]()

    def read(self, text: str) -> None:
        """Text in the link."""
        if self.tag and not self.has_text:
            self.has_text = bool(re.sub(r"&(?:nbsp|#160|#xa0);?|\xc2?\xa0", " ", text).strip())

    def see(self, tag: Tag) -> None:
        """Another tag in the link, which may have a name: an `<svg>`, a component with a slot."""
        is_component = tag.name[:1].isupper() or "-" in tag.name
        if self.tag and (tag.name == "title" or _is_named(tag)):
            self.has_text = True
        elif self.tag and is_component:  # only the program that renders it knows
            self.is_link = False

    def closes_with(self, tag: Tag) -> bool:
        """Whether it is the end tag."""
        return self.tag is not None and tag.is_end and tag.name == self.tag.name

    def settle(self, found: list[Picture]) -> None:
        """Correct the states of its images, once it is closed."""
        alone = [found[number] for number in self.pictures]
        if self.has_text or any(p.state in (State.PRESENT, State.UNKNOWN) for p in alone):
            for number in self.pictures:
                found[number] = mark_decorative(found[number], _NAMED)
        elif self.is_link:
            missing = [number for number in self.pictures if found[number].is_missing]
            empty = [number for number in self.pictures if found[number].why == EMPTY]
            for number in missing or empty[:1]:
                found[number] = mark_functional(found[number])


_NAMED = "its link has text"


def _is_named(tag: Tag) -> bool:
    return any((tag.get(name) or "").strip() for name in _NAMES)


def _is_operable(tag: Tag) -> bool:
    """Whether it is a link with an address, or a button, that is not hidden."""
    addressed = tag.name.lower() == "button" or any(
        "href" in each.name or each.name == "to" for each in tag.attributes
    )
    return addressed and tag.get("aria-hidden") != "true" and tag.get("hidden") is None


def judge_text(text: str, source: str) -> tuple[State, str]:
    """Whether an alt text says something, and the reason; blanks mark a decorative image."""
    if is_placeholder(text, source):
        return State.PLACEHOLDER, describe_placeholder(text)
    return (State.PRESENT, "") if text.strip() else (State.DECORATIVE, EMPTY)


def describe_placeholder(text: str) -> str:
    """Why a text is none."""
    return f'its alt text is a placeholder: "{text.strip()}"'


def mark_decorative(picture: Picture, why: str) -> Picture:
    """The image as one that needs no alt text; a placeholder should be removed, not replaced."""
    if picture.state is State.PLACEHOLDER:
        return replace(picture, place=Templated(), why=f"{picture.why}; {why}: it needs none")
    return replace(picture, state=State.DECORATIVE, why=why) if picture.is_missing else picture


def mark_functional(picture: Picture) -> Picture:
    """The image as one whose link has no other text, if it has none itself."""
    if not picture.is_missing and picture.why != EMPTY:
        return picture
    why = "it is all that its link or button contains: write what that does"
    return replace(picture, state=State.FUNCTIONAL, why=why, place=Templated())


def _find_alt(tag: Tag) -> Attribute | None:
    return next((a for a in tag.attributes if _ALT.fullmatch(a.name)), None)


def _find_source(tag: Tag) -> Attribute | None:
    for name in _SOURCES:
        for attribute in tag.attributes:
            if attribute.name == name and (attribute.value or "").strip():
                return attribute
    return None


def _inspect_tag(tag: Tag) -> tuple[State | None, str]:
    """The state that follows from the tag alone, if any, and the reason."""
    alt = _find_alt(tag)
    if alt and not (alt.value or "").strip():
        return State.DECORATIVE, EMPTY
    if alt and (alt.name.lower() != "alt" or is_code((alt.value or "").strip())):
        return State.PRESENT, ""
    if any((tag.get(name) or "").strip() for name in (_NAMES[:2] if alt else _NAMES)):
        return State.PRESENT, "it has another accessible name"
    hidden = tag.get("aria-hidden") == "true" or tag.get("hidden") is not None
    if hidden or (tag.get("role") or "").strip().lower() in ("presentation", "none"):
        return State.DECORATIVE, "it is marked as decorative"
    if alt:  # if it is a placeholder, depends on the source
        return None, ""
    sizes = (
        re.fullmatch(r"\s*(\d{1,9})(?:px)?\s*", tag.get(name) or "") for name in ("width", "height")
    )
    if any(size and int(size[1]) <= MAX_TINY_SIDE for size in sizes):
        return State.DECORATIVE, "it is at most two pixels wide or high"
    if _HIDDEN.search((tag.get("style") or "").lower()):
        return State.DECORATIVE, "it is hidden"
    razor = any(a.name.startswith("@") and a.value is None for a in tag.attributes)
    if (
        razor
        or any(a.name in _BOUND_ALL or is_code(a.name) for a in tag.attributes)
        or any("alt" in code or not _CONTROL.match(code) for code in tag.templates)
    ):
        return State.UNKNOWN, "a template generates its attributes"
    return None, ""


def _why_decorative(place: Place, source: str) -> str:
    """Why an image is decorative, by its file or name; only small files can be."""
    match place:
        case Local(path):
            content = _read_start(path)
        case Member(archive, name):
            content = _read_member_start(archive, name)
        case Inline(content):
            pass
        case _:
            content = b""
    if len(content) > MAX_TINY_BYTES:
        return ""
    if _SPACER.search(source):
        return "its name is that of a spacer"
    return "it is at most two pixels wide or high" if _is_tiny(content) else ""


def _read_member_start(archive: Path, name: str) -> bytes:
    try:
        return read_member(archive, name, MAX_TINY_BYTES + 1)
    except DataError:  # the captioner will report it
        return b""


def _read_start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TINY_BYTES + 1)
    except OSError:  # the captioner will report it
        return b""


def _is_tiny(content: bytes) -> bool:
    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(BytesIO(content), formats=("GIF", "PNG", "JPEG", "WEBP", "BMP")) as picture,
        ):
            return min(picture.size) <= MAX_TINY_SIDE
    except Exception:  # the captioner will report damage
        return False
