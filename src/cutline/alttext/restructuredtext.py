"""reStructuredText: the pictures of `image` and `figure` directives, where `:alt:` belongs.

The rules are those of docutils (https://docutils.sourceforge.io/docs/ref/rst/restructuredtext.html);
paths such as `/img/a.png` are those of Sphinx, relative to the folder of `conf.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VERBATIM = re.compile(
    r"(?:.*:)?(?:code|code-block|sourcecode|parsed-literal|math|raw|literalinclude|highlight|prompt"
    r"|doctest|test(?:code|output|setup|cleanup)|productionlist|graphviz|graph|digraph|mermaid|uml"
    r"|plantuml|jinja|ipython|plot|csv-table|(?:command|program|console)-output|exec|code-\w+"
    r"|prism|terminal|(?:rst-(?:class-)?)?example)"
)
"""Directives whose content is not reStructuredText, or only an example of it."""
MAX_OPTIONS = 100
"""Lines that the options of a directive may have."""
_LEAD = r"(?P<lead>[ \t]*(?:(?:[-*+•]|\(?(?:\d+|\#|[a-zA-Z])[.)])[ \t]+)*)"
_DIRECTIVE = re.compile(
    rf"{_LEAD}\.\.[ \t]+(?:\|[^|\n]+\|[ \t]+)?(?P<name>[a-zA-Z][\w:.+-]*?)[ \t]?::"
    r"(?:[ \t]+(?P<argument>.*))?"
)
_COMMENT = re.compile(rf"{_LEAD}\.\.(?:[ \t]+(?!_|\[|\||__).*)?")
_OPTION = re.compile(r"(?P<indent>[ \t]+):(?P<name>[\w-]+):(?:[ \t]+(?P<value>.*))?")


@dataclass(frozen=True)
class Directive:
    """An `image` or `figure`."""

    start: int
    source: str
    """The address, as written."""
    end: int
    """The offset after the address, where a new option belongs."""
    indent: str
    """What is written before each option."""
    options: dict[str, str]
    alt: tuple[int, int]
    """The span of the value of `alt`, if there is one."""


def read_directives(text: str) -> Iterator[Directive]:
    """The pictures of a document, in order, except those in code and comments."""
    lines = list(re.finditer(r"[^\n]*(?:\n|\Z)", text))
    verbatim: int | None = None
    for number, found in enumerate(lines):
        line = found[0].rstrip()
        if not line or (verbatim is not None and _column(line) > verbatim):
            continue
        directive = _DIRECTIVE.fullmatch(line)
        if directive and directive["name"].lower() in ("image", "figure"):
            verbatim = None
            yield _read_picture(lines, number, directive)
        else:
            following = lines[number + 1][0] if number + 1 < len(lines) else ""
            verbatim = _begin_verbatim(line, directive, following)


def _begin_verbatim(line: str, directive: re.Match[str] | None, following: str) -> int | None:
    """The column to the right of which what follows is code or a comment; None if nothing is."""
    if directive:
        column = _width(directive["lead"])
        if VERBATIM.fullmatch(directive["name"].lower()):
            return column
        return column + 3 if (directive["argument"] or "").endswith("::") else None
    if comment := _COMMENT.fullmatch(line):  # `..` alone before a blank line is an empty one
        is_empty = line.strip(" \t-*+") == ".." and not following.strip()
        return None if is_empty else _width(comment["lead"])
    lead = re.match(_LEAD, line)
    return _width(lead[0]) if lead and line.endswith("::") else None


def find_sphinx(page: Path, roots: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folder of Sphinx's `conf.py` above a page, not above the site, and those between.

    One of them is the root of the documents: `sphinx-build -c docs docs/user`.
    """
    passed = list[Path]()
    for folder in page.parents:
        passed.append(folder)
        if (folder / "conf.py").is_file():
            return tuple(reversed(passed))
        if folder in roots:
            break
    return ()


def _read_picture(lines: list[re.Match[str]], number: int, directive: re.Match[str]) -> Directive:
    """The directive on a line, and its options on those that follow."""
    line, lead = lines[number], directive["lead"]
    column, parts = _width(lead), [directive["argument"] or ""]
    end = line.start() + len(line[0].rstrip("\r\n"))
    indent, options, alt, last = "", dict[str, str](), (0, 0), ""
    for found in lines[number + 1 : number + MAX_OPTIONS]:
        text = found[0].rstrip()
        if not text or _column(text) <= column:
            break
        if option := _OPTION.fullmatch(text):
            last, indent = option["name"].lower(), indent or option["indent"]
            options[last] = (option["value"] or "").strip()
            if last == "alt":
                alt = tuple(found.start() + at for at in option.span("value"))  # type: ignore[assignment]
                if option["value"] is None:
                    alt = (found.start() + len(text),) * 2
        elif last:
            options[last] = f"{options[last]}\n{text.strip()}".strip()
        else:
            parts.append(text.strip())
            end = found.start() + len(found[0].rstrip("\r\n"))
    indent = indent or re.sub(r"\S", " ", lead) + "   "
    source = "".join("".join(parts).split())
    return Directive(line.start() + len(lead), source, end, indent, options, alt)


def _column(line: str) -> int:
    return _width(line[: len(line) - len(line.lstrip(" \t"))])


def _width(text: str) -> int:
    return len(text.expandtabs(8))
