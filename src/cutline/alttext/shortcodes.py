"""Pictures in Markdown by Hugo's shortcode `figure` and by Jekyll's includes, and their states.

Hugo: https://gohugo.io/shortcodes/figure/; Jekyll: https://jekyllrb.com/docs/includes/
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cutline.alttext.audit import (
    Picture,
    Reader,
    State,
    judge_text,
    mark_functional,
)

_HUGO = re.compile(
    r"\{\{(?P<mark>[<%])\s*(?P<name>[\w/-]+)(?P<inside>\s(?:[^\"`{]|\"(?:[^\"\\]|\\.)*\"|`[^`]*`)*?)"
    r"/?(?:>|%)\}\}"
)
_JEKYLL = re.compile(
    r"\{%-?\s*include(?:_cached|_relative)?\s+(?P<name>[\w./-]+)"
    r"(?P<inside>\s(?:[^\"'{]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')*?)-?%\}"
)
_PARAMETER = re.compile(
    r"(?P<name>[\w-]+)\s*=\s*(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>(?:[^'\\]|\\.)*)'"
    r"|`(?P<raw>[^`]*)`|(?P<bare>[^\s\"'`]+))"
)
_PICTURE = re.compile(r"(?:.*/)?[\w-]*(?:figure|image|img|picture|photo)[\w-]*(?:\.\w+)?", re.I)
_KNOWN = ("figure", "figure.html", "figure.liquid")
"""Includes of themes that have `alt`; others are looked at in `_includes`."""
_SOURCES = ("src", "image_path", "path", "url", "img", "image", "file", "filename")
_MAX_BYTES = 10**6


@dataclass(frozen=True)
class _Parameter:
    value: str
    start: int
    end: int
    """The span of the value, without quotation marks."""
    after: int
    is_variable: bool


def read_shortcodes(reader: Reader, text: str) -> Iterator[Picture]:
    """The pictures of a Markdown file, whose code is blanked out, that are shortcodes."""
    for found in _HUGO.finditer(text):
        if _PICTURE.fullmatch(found["name"]):
            picture = _judge(reader, found, takes_alt=found["name"] == "figure", is_hugo=True)
            yield from [picture] if picture else []
    known = dict[str, bool]()
    for found in _JEKYLL.finditer(text):
        name = found["name"]
        if _PICTURE.fullmatch(name):
            known[name] = known[name] if name in known else _takes_alt(name, reader)
            picture = _judge(reader, found, takes_alt=known[name], is_hugo=False)
            yield from [picture] if picture else []


def _judge(
    reader: Reader, found: re.Match[str], *, takes_alt: bool, is_hugo: bool
) -> Picture | None:
    """The picture and its state; None if it names none."""
    parameters = _read_parameters(found, is_hugo=is_hugo)
    source = next((parameters[name] for name in _SOURCES if name in parameters), None)
    if source is None:
        return None
    address = "{" if source.is_variable else reader.text.read(source.value)
    alt, at, end = parameters.get("alt"), source.after, source.after
    text = reader.text.read(alt.value).strip() if alt else ""
    state, why = None, ""
    if alt:
        state, why = (State.PRESENT, "") if alt.is_variable else judge_text(text, address)
        if state is State.PLACEHOLDER:
            at, end = alt.start, alt.end
    elif is_hugo and takes_alt and "caption" in parameters:
        state, why = State.PRESENT, "its caption is its alt text"
    elif not takes_alt:
        state, why = State.UNKNOWN, "a template decides what it is"
    picture = reader.place(address, found.start(), at, "", state, why)
    mark = '"' if end == at else ""
    picture = replace(
        picture,
        source=reader.text.read(source.value),
        end=reader.text.byte_of(end),
        opening=" alt=" + mark if mark else "",
        closing=mark,
        quote="" if is_hugo else '"',
        syntax="strict" if is_hugo else "",
        language=reader.language,
        has_own_language=True,
    )
    return mark_functional(picture) if "link" in parameters and takes_alt else picture


def _read_parameters(found: re.Match[str], *, is_hugo: bool) -> dict[str, _Parameter]:
    parameters = dict[str, _Parameter]()
    for each in _PARAMETER.finditer(found["inside"]):
        kind = next(k for k in ("double", "single", "raw", "bare") if each[k] is not None)
        at = found.start("inside")
        parameters[each["name"].lower()] = _Parameter(
            each[kind],
            at + each.start(kind),
            at + each.end(kind),
            at + each.end(),
            is_variable=kind == "bare" and not is_hugo,
        )
    return parameters


def _takes_alt(name: str, reader: Reader) -> bool:
    """Whether an include writes its parameter `alt`."""
    for folder in (*reader.roots, *reader.text.path.parents[:4]):
        path: Path = folder / "_includes" / name
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
            if inside and path.is_file() and path.stat().st_size < _MAX_BYTES:
                return "include.alt" in path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return name in _KNOWN
