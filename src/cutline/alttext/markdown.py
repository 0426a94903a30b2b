"""Scans Markdown for images with their offsets, and for embedded HTML.

Blocks are recognised as in CommonMark 0.31, as far as needed to tell code, HTML and text apart;
front matter and template code are left out as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Literal

from cutline.alttext.html import SPACE
from cutline.alttext.placeholders import is_placeholder


@dataclass(frozen=True)
class Image:
    """`![text](source)` or `![text][name]`."""

    start: int
    end: int
    source: str
    """The URL, with escapes and entities decoded."""
    text: str
    """The raw text between the brackets."""
    attributes: str = ""
    """`{: .wide}` or `{alt="…"}` after it, as in some dialects."""
    link: Literal["", "bare", "text"] = ""
    """Whether it is in a link, alone or with text: `[![](a.png) Home](/)`."""


@dataclass(frozen=True)
class Document:
    """The images and the HTML of a file."""

    images: tuple[Image, ...]
    html: str
    """The text with code, images and front matter blanked out, at unchanged offsets."""


def read_markdown(text: str, *, components: bool = False) -> Document:
    """Find images and possible HTML; with `components`, the code of MDX is left out."""
    if components:
        text = _blank_out(text, [code.span() for code in _MDX_CODE.finditer(text)])
    blocks = _Blocks(text, components)
    runs = list(blocks.read())
    images, blanks = list[Image](), list(blocks.code)
    for start, end in runs:
        for found in _read_inline(text, start, end, blocks.addresses):
            if isinstance(found, Image):
                images.append(found)
                blanks.append((found.start, found.end))
            else:
                blanks.append(found)
    return Document(tuple(images), _blank_out(text, blanks))


_MDX_CODE = re.compile(
    r"^(?:import|export)[ \t](?:(?!\n[ \t\r]*\n).)*+|\{/\*.*?(?:\*/\}|\Z)", re.S | re.M
)
"""Statements, which end at a blank line, and comments."""


def _blank_out(text: str, spans: list[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in sorted(spans):
        if start < at:
            continue
        parts += [text[at:start], re.sub(r"[^\n]", " ", text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


# -------------------------------------------------------------------------------------- blocks

_QUOTE = re.compile(r"(?: {0,3}> ?)+")
_ITEM = re.compile(r"(?:[-+*]|\d{1,9}[.)])(?=[ \t]|$)")
_FENCE = re.compile(r"(`{3,})[^`]*$|(~{3,})")
_HEADING = re.compile(r"#{1,6}(?=[ \t]|$)|(?:[-_*][ \t]*){3,}$")
_DEFINITION = re.compile(
    r"\[(?!\^)((?:[^\[\]\\]|\\.)+)\]:[ \t]*(?:<((?:[^<>\\]|\\.)*)>|([^\s<]\S*))"
    r"(?:[ \t]+(?:\".*\"|'.*'|\(.*\)))?[ \t]*$"
)
_FRONT_MATTER = re.compile(r"\ufeff?(---|\+\+\+)[ \t]*\r?\n.*?^\1[ \t]*\r?$", re.S | re.M)
_BLOCK_NAMES = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|"
    "dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|"
    "hr|html|iframe|legend|li|link|main|menu|menuitem|nav|noframes|ol|optgroup|option|p|param|"
    "search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|track|ul"
)
_TAG = (
    r"<(?:/[a-zA-Z][\w-]*\s*|[a-zA-Z][\w-]*(?:\s+[a-zA-Z_:][\w.:-]*"
    r"(?:\s*=\s*(?:[^\s\"'=<>`]+|'[^']*'|\"[^\"]*\"))?)*\s*/?)>"
)
_HTML = (
    (re.compile(r"<(?:pre|script|style|textarea)(?=[\s>]|$)", re.I),
     re.compile(r"</(?:pre|script|style|textarea)>", re.I)),
    (re.compile(r"<!--"), re.compile(r"-->")),
    (re.compile(r"<\?"), re.compile(r"\?>")),
    (re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    (re.compile(r"<![a-zA-Z]"), re.compile(r">")),
    (re.compile(rf"</?(?:{_BLOCK_NAMES})(?=[\s>]|/>|$)", re.I), None),
)  # fmt: skip
"""Patterns for the start and end of HTML blocks; None: ends at a blank line."""
_LONE_TAG = re.compile(rf"{_TAG}\s*$")
_MARKDOWN_INSIDE = re.compile(r"<[^>]*\smarkdown(?:=|\s|>)", re.I)


@dataclass
class _Blocks:
    """Parses line by line; the state is what previous lines left open."""

    text: str
    components: bool = False
    """MDX, which has no indented code, and Markdown within elements."""
    code: list[tuple[int, int]] = field(default_factory=list)
    """Spans of code and front matter."""
    addresses: dict[str, str] = field(default_factory=dict)
    """Link reference definitions, `[name]: address`, of the whole document."""
    items: list[int] = field(default_factory=list)
    """Columns at which the content of open list items begins."""
    fence: str = ""
    fence_place: tuple[int, int] = (0, 0)
    """Quote depth and list indentation at which the fence was opened."""
    html_end: re.Pattern[str] | None = None
    in_html: bool = False
    in_paragraph: bool = False
    depth: int = 0
    """Quote depth of the last line."""

    def read(self) -> Iterator[tuple[int, int]]:
        """Yield spans of text that may contain images."""
        begun: int | None = None
        at = 0
        if matter := _FRONT_MATTER.match(self.text):
            at = matter.end()
            self.code.append((0, at))
        while at < len(self.text):
            newline = self.text.find("\n", at)
            end = len(self.text) if newline < 0 else newline + 1
            was = self.in_paragraph
            begins = self.take(self.text[at:end].rstrip("\r\n"), at, end)
            if begun is not None and (begins or not (was and self.in_paragraph)):
                yield begun, at
                begun = None
            if self.in_paragraph or begins:
                begun = at if begun is None else begun
            at = end
        if begun is not None:
            yield begun, at

    def take(self, line: str, start: int, end: int) -> bool:
        """Process a line; return whether it begins a paragraph, a heading or an item."""
        quote = _QUOTE.match(line)
        depth = quote[0].count(">") if quote else 0
        rest = line[quote.end() :] if quote else line
        body = rest.expandtabs(4)
        indent = len(body) - len(body.lstrip(" "))
        body = body.strip(SPACE)
        if self.fence and not self.leaves_fence(body, depth, indent):
            self.code.append((start, end))
            if re.fullmatch(f"{self.fence[0]}{{{len(self.fence)},}}", body):
                self.fence = ""
            return False
        if self.in_html:
            self.in_html = bool(body) if self.html_end is None else not self.html_end.search(body)
            return False
        if not body:
            self.in_paragraph = False
            return False
        self.in_paragraph &= (
            depth <= self.depth
        )  # a new quote ends a paragraph; lazy continuation may end a quote
        if depth != self.depth and not self.in_paragraph:
            self.items.clear()
        self.depth = depth
        return self.begin(body, depth, indent, (start, end))

    def leaves_fence(self, body: str, depth: int, indent: int) -> bool:
        """Whether a line is outside the quote or list item in which the fence was opened."""
        if depth < self.fence_place[0] or (body and indent < self.fence_place[1]):
            self.fence = ""
            return True
        return False

    def begin(self, body: str, depth: int, indent: int, span: tuple[int, int]) -> bool:
        """Process a line that is not blank, outside fences and HTML."""
        is_item = bool(_ITEM.match(body)) and not _HEADING.match(body)
        while self.items and indent < self.items[-1] and (is_item or not self.in_paragraph):
            self.items.pop()
        margin = self.items[-1] if self.items else 0
        if indent - margin >= 4 and not self.in_paragraph and not self.components:
            self.code.append(span)
            return False
        begins = not self.in_paragraph
        while is_item and (item := _ITEM.match(body)):
            inner = body[item.end() :]
            gap = len(inner) - len(inner.lstrip(" "))
            indent += item.end() + (gap if 1 <= gap <= 4 else 1)
            self.items.append(indent)
            body, begins = inner.strip(SPACE), True
            self.in_paragraph = False
            if gap > 4 and not self.components:  # an item that begins with indented code
                self.code.append(span)
                return False
        if fence := _FENCE.match(body):
            self.fence = fence[1] or fence[2]
            self.fence_place = (depth, self.items[-1] if self.items else 0)
            self.code.append(span)
            self.in_paragraph = False
            return False
        if self.begins_html(body):
            return False
        if not self.in_paragraph and (definition := _DEFINITION.match(body)):
            name, pointed, bare = definition.groups()
            self.addresses.setdefault(_normal(name), _read_address(pointed or bare or ""))
            return False
        heading = bool(_HEADING.match(body))
        self.in_paragraph = bool(body) and not heading
        return begins or heading

    def begins_html(self, body: str) -> bool:
        """Whether a line begins an HTML block, in which Markdown is not parsed."""
        ends = [closing for opening, closing in _HTML if opening.match(body)]
        if not ends and not self.in_paragraph and _LONE_TAG.match(body):
            ends = [None]
        if not ends or _MARKDOWN_INSIDE.match(body) or self.components:
            return False
        [closing, *_] = ends
        self.in_paragraph = False
        self.html_end = closing
        self.in_html = closing is None or not closing.search(body, 2)
        return True


# -------------------------------------------------------------------------------------- images

_SIGN = re.compile(r"\\[!-/:-@\[-`{-~]|`+|<|\{\{|\{%|!\[|\[|\]")
# Templates and comments end before the next one begins: a search for the missing end of each would
# read to the end of the text every time.
_BRACES = r"\{\{(?:(?!\{\{).)*?\}\}|\{%(?:(?!\{%).)*?%\}"
_INLINE_TAG = re.compile(
    r"<!--(?:(?!<!--).)*?-->|</?[a-zA-Z](?:(?!!\[)[^\"'<>]|\"[^\"]*\"|'[^']*')*+>", re.S
)
_TEMPLATE = re.compile(_BRACES, re.S)
_TEXT = re.compile(r"!\[((?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.)*+\])*+)\]", re.S)
_ADDRESS = re.compile(
    rf"""\(\s*(?:
        <(?P<pointed>(?:[^<>\n\\]|\\.)*+)>
        | (?P<bare>(?!<)(?:{_BRACES}|[^\s()\\]|\\.
            |\((?:[^\s()\\]|\\.|\((?:[^\s()\\]|\\.)*+\))*+\))*+)
    )(?:\s+(?:"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\((?:[^()\\]|\\.)*+\)))?\s*\)""",
    re.S | re.X,
)
_NAME = re.compile(r"\[((?:[^\[\]\\]|\\.)*+)\]", re.S)
_ATTRIBUTES = re.compile(r"\{[^{}\n%]*\}")


def _read_inline(
    text: str, start: int, end: int, addresses: dict[str, str]
) -> Iterator[Image | tuple[int, int]]:
    """Images in a span of text, and spans of inline code."""
    at, found = start, list[Image]()
    opened = list[int]()  # offsets of the `[` that may begin a link
    while sign := _SIGN.search(text, at, end):
        at = sign.end()
        if sign[0].startswith("\\"):
            if sign[0] == "\\<":
                yield sign.span()
        elif sign[0].startswith("`"):
            if closing := re.compile(rf"(?<!`){sign[0]}(?!`)").search(text, at, end):
                at = closing.end()
                yield sign.start(), at
        elif sign[0] in "[]":
            _take_bracket(text, sign, end, opened, found, addresses)
        elif sign[0] != "![":
            pattern = _INLINE_TAG if sign[0] == "<" else _TEMPLATE
            if passed := pattern.match(text, sign.start(), end):
                at = passed.end()
        elif image := _read_image(text, sign.start(), end, addresses):
            found.append(image)
            at = image.end
    yield from found


def _take_bracket(
    text: str,
    sign: re.Match[str],
    end: int,
    opened: list[int],
    found: list[Image],
    addresses: dict[str, str],
) -> None:
    """Note a `[`, or set the `link` of the images before the `]` of a link."""
    if sign[0] == "[":
        opened.append(sign.start())
    elif opened:
        start = opened.pop()
        if found and found[-1].start > start and _is_target(text, sign.end(), end, addresses):
            _mark_linked(text, found, start, sign.start())
            opened.clear()  # links do not nest


def _is_target(text: str, at: int, end: int, addresses: dict[str, str]) -> bool:
    """Whether `(address)` or a `[name]` that is defined follows the `]` of a link."""
    name = _NAME.match(text, at, end)
    defined = name is not None and _normal(name[1]) in addresses
    return defined or _ADDRESS.match(text, at, end) is not None


def _mark_linked(text: str, found: list[Image], start: int, end: int) -> None:
    """Set the `link` of the images between the brackets of a link."""
    first = len(found)
    while first and found[first - 1].start > start:
        first -= 1
    inside = found[first:]
    spans = [(image.start - start - 1, image.end - start - 1) for image in inside]
    other = _blank_out(text[start + 1 : end], spans)
    named = bool(re.sub(r"[*_~\s]", "", other)) or any(map(_has_text, inside))
    found[first:] = [replace(image, link="text" if named else "bare") for image in inside]


def _has_text(image: Image) -> bool:
    return bool(image.text.strip()) and not is_placeholder(image.text, image.source)


def _read_image(text: str, start: int, end: int, addresses: dict[str, str]) -> Image | None:
    words = _TEXT.match(text, start, end)
    if not words:
        return None
    if inline := _ADDRESS.match(text, words.end(), end):
        source, last = _read_address(inline["pointed"] or inline["bare"] or ""), inline.end()
    else:
        name = _NAME.match(text, words.end(), end)
        found = addresses.get(_normal(name[1] if name and name[1].strip() else words[1]))
        if found is None:
            return None
        source, last = found, name.end() if name else words.end()
    more = _ATTRIBUTES.match(text, last, end)
    return Image(start, last, source, words[1], more[0] if more else "")


def _normal(name: str) -> str:
    """Normalize a link label for comparison."""
    return " ".join(name.split()).casefold()


def _read_address(written: str) -> str:
    """Decode backslash escapes and entities."""
    return unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written))
