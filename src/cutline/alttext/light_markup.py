"""reStructuredText and AsciiDoc: directives and macros → pictures and their states."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cutline.alttext.asciidoc import Macro, read_macros
from cutline.alttext.audit import (
    Picture,
    Reader,
    State,
    Syntax,
    judge_text,
    mark_functional,
)
from cutline.alttext.restructuredtext import Directive, find_sphinx, read_directives
from cutline.alttext.urls import NotFound

_SIBLINGS = ("images", "../images", "../../images", "../../../images", "../assets/images")
"""Where `imagesdir`, set elsewhere, points to: also `modules/ROOT/images`, as in Antora."""
_ANY_SUFFIX = (".png", ".jpg", ".jpeg", ".gif", ".webp")
"""What `a.*` of Sphinx may be."""


def read_restructuredtext(reader: Reader, text: str) -> list[Picture]:
    """The pictures of `image` and `figure` directives."""
    reader.roots = (*find_sphinx(reader.text.path, reader.roots), *reader.roots)
    return [_judge_directive(reader, each) for each in read_directives(text)]


def _judge_directive(reader: Reader, found: Directive) -> Picture:
    source = reader.text.read(found.source)
    options = [source]
    if source.endswith(".*"):
        options = [source[:-2] + suffix for suffix in _ANY_SUFFIX]
    picture = _judge(reader, options, found.options.get("alt"), (found.start, found.end, found.alt))
    newline = "\r\n" if reader.text.text[found.end : found.end + 1] == "\r" else "\n"
    opening = "" if picture.end > picture.byte else f"{newline}{found.indent}:alt: "
    picture = replace(picture, source=source, opening=opening, syntax="plain")
    return mark_functional(picture) if found.options.get("target") else picture


def read_asciidoc(reader: Reader, text: str) -> list[Picture]:
    """The pictures of block and inline macros."""
    return [_judge_macro(reader, each) for each in read_macros(text)]


def _judge_macro(reader: Reader, found: Macro) -> Picture:
    source = re.sub(r"^(?:[\w.@-]*:)*image\$", "", reader.text.read(found.source))
    options = [source]
    if not re.match(r"[a-z]+:|/", source):
        options += [f"{folder}/{source}" for folder in _SIBLINGS]
    picture = _judge(reader, options, found.text, (found.start, found.at, found.alt))
    closing = "" if picture.end > picture.byte else found.ends_with
    quoted = reader.text.text[found.alt[1] : found.alt[1] + 1] == '"'
    syntax: Syntax = "strict" if quoted and picture.end > picture.byte else "list"
    picture = replace(picture, source=source, closing=closing, syntax=syntax)
    if "{" in source and picture.state is State.FILE_NOT_FOUND:
        picture = replace(picture, state=State.TEMPLATED, why="")
    return mark_functional(picture) if found.entries.get("link") else picture


def _judge(
    reader: Reader, sources: list[str], alt: str | None, where: tuple[int, int, tuple[int, int]]
) -> Picture:
    """The state of a picture, by the first address that leads to a file."""
    start, at, span = where
    text = reader.text.read(alt).strip() if alt is not None else None
    end, state, why = at, None, ""
    if text is not None:
        state, why = judge_text(text, sources[0])
    if state is State.PLACEHOLDER:
        at, end = span
    pictures = _place_each(reader, sources, start, at, state, why)
    first = next(pictures)
    picture = next(
        (each for each in (first, *pictures) if not isinstance(each.place, NotFound)), first
    )
    return replace(picture, end=reader.text.byte_of(end), language=reader.language)


def _place_each(
    reader: Reader, sources: Iterable[str], start: int, at: int, state: State | None, why: str
) -> Iterator[Picture]:
    for source in sources:
        yield reader.place(source, start, at, "", state, why)
