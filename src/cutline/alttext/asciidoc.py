"""AsciiDoc: the pictures of `image::a.png[]` and `image:a.png[]`, where the alt text belongs.

The rules are those of Asciidoctor: https://docs.asciidoctor.org/asciidoc/latest/macros/images/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Macro:
    """A block or inline image."""

    start: int
    source: str
    """The address, with `imagesdir` before it; attributes that are unknown stay as `{name}`."""
    at: int
    """The offset after the bracket, where a new alt text belongs."""
    text: str | None
    """The alt text; None if there is none."""
    alt: tuple[int, int]
    """The span of the alt text, without quotation marks."""
    entries: dict[str, str] = field(default_factory=dict)
    """The named entries."""
    ends_with: str = ""
    """A comma if the first entry has a name, before which a new alt text is put."""


_BLOCK = re.compile(r"(?:^|(?<=\|)[ \t]*)image::(?P<target>[^\s\[](?:[^\[\n]{0,1000}[^\s\[])?)\[")
_INLINE = re.compile(r"(?<![\w\\])image:(?P<target>[^:\s\[](?:[^\[\n]{0,1000}[^\s\[])?)\[")
_DELIMITER = re.compile(r"(-{4,}|\.{4,}|/{4,}|\+{4,}|`{3,}|~{4,})(?:\w[\w,+-]*)?")
_ATTRIBUTE = re.compile(r":(?P<unset>!?)(?P<name>\w[\w-]*)(?P<after>!?):(?:[ \t]+(?P<value>.*))?")
_STYLE = re.compile(
    r"\[(?:source|listing|literal|pass|stem|latexmath|asciimath|comment|mermaid|plantuml|ditaa"
    r"|graphviz)(?=[\],%#.]).*\]|\[,\s*\w+.*\]"
)
_ITEM = re.compile(r"(?:[-*.]{1,5}|\d+\.|[a-zA-Z]\.|<\d+>|[^\s|][^|]*(?:::+|;;))(?:\s|$)")
_LITERAL = re.compile(
    r"`[^`\n]+`|\+{1,3}[^+\n]{1,1000}\+{1,3}|\$\$[^$\n]{1,1000}\$\$|pass:\w{0,9}\[[^\]\n]{0,1000}\]"
)
_CLOSE = re.compile(r"(?<!\\)\]")
MAX_ENTRIES = 2000
"""Characters between the brackets of a macro."""
_ENTRY = re.compile(
    r"""\s*(?:(?P<name>[\w-]+)\s*=\s*)?(?:
        "(?P<double>(?:[^"\\]|\\.)*)"\s*(?=,|$) | '(?P<single>(?:[^'\\]|\\.)*)'\s*(?=,|$)
        | (?P<bare>[^,]*) )""",
    re.X | re.S,
)


def read_macros(text: str) -> Iterator[Macro]:
    """The pictures of a document, in order, except those in code and comments."""
    attributes = dict[str, str]()
    fence = ""
    is_code = in_paragraph = begins_code = False
    for found in re.finditer(r"[^\n]*(?:\n|\Z)", text):
        line = found[0].rstrip()
        if fence:
            fence = "" if line == fence else fence
            continue
        if (delimiter := _DELIMITER.fullmatch(line)) or (begins_code and line == "--"):
            fence = delimiter[1] if delimiter else "--"
            begins_code = in_paragraph = is_code = False
            continue
        if not line:
            in_paragraph = is_code = False
            continue
        if is_code or line.startswith("//"):
            continue
        if entry := _ATTRIBUTE.fullmatch(line):
            _set(attributes, entry)
        elif line.startswith("[") and line.endswith("]"):
            begins_code, in_paragraph = bool(_STYLE.fullmatch(line)) or begins_code, False
        elif line.startswith(".") and re.match(r"\.[^\s.]", line):
            continue  # a title
        else:
            indented = line[0] in " \t" and not _ITEM.match(line.lstrip())
            is_code = begins_code or (indented and not in_paragraph)
            begins_code, in_paragraph = False, True
            if not is_code:
                yield from _read_line(line, found.start(), attributes)


def _set(attributes: dict[str, str], entry: re.Match[str]) -> None:
    if entry["unset"] or entry["after"]:
        attributes.pop(entry["name"].lower(), None)
    else:
        attributes[entry["name"].lower()] = _expand((entry["value"] or "").strip(), attributes)


def _expand(text: str, attributes: dict[str, str]) -> str:
    return re.sub(r"\{([\w-]+)\}", lambda name: attributes.get(name[1].lower(), name[0]), text)


def _read_line(line: str, start: int, attributes: dict[str, str]) -> Iterator[Macro]:
    line = _LITERAL.sub(lambda code: " " * len(code[0]), line)
    for found in sorted([*_BLOCK.finditer(line), *_INLINE.finditer(line)], key=re.Match.start):
        close = _CLOSE.search(line, found.end(), found.end() + MAX_ENTRIES)
        if close:
            source = _expand(found["target"], attributes)
            folder = attributes.get("imagesdir", "")
            if folder and not re.match(r"[a-z]+:|/|\{", source):
                source = f"{folder.rstrip('/')}/{source}"
            at = start + found.end()
            inside = line[found.end() : close.start()]
            yield _read_entries(start + found.start(), source, at, inside)


def _read_entries(start: int, source: str, at: int, inside: str) -> Macro:
    named, text, alt, first = dict[str, str](), None, (at, at), ""
    place, number = 0, 0
    while place <= len(inside) and (entry := _ENTRY.match(inside, place)):
        kind = next(each for each in ("double", "single", "bare") if entry[each] is not None)
        name, value = (entry["name"] or "").lower(), entry[kind]
        first = name if number == 0 else first
        if name:
            named[name] = value
        if name == "alt" or (number == 0 and not name and (value.strip() or kind != "bare")):
            text, alt = value, (at + entry.start(kind), at + entry.start(kind) + len(value))
        number, place = number + 1, entry.end() + 1
    return Macro(start, source, at, text, alt, named, ends_with="," if first else "")
