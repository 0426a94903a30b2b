"""Jupyter notebooks: the pictures in their Markdown cells, at the byte offsets of the file."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cutline.alttext.audit import Picture, Reader
from cutline.alttext.html import Dialect
from cutline.alttext.markdown import read_markdown
from cutline.alttext.page_text import PageText
from cutline.errors import DataError

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.S)
_SIGN = re.compile(
    r"(?:\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u....|\\.|.)", re.S
)


@dataclass
class _Cell:
    kind: str = ""
    strings: list[tuple[int, int]] = field(default_factory=list)
    """Spans of the strings of its source, without quotation marks."""


def read_notebook(path: Path, content: bytes, roots: tuple[Path, ...]) -> list[Picture]:
    """The pictures in the Markdown cells, in the order of the file.

    Raises `DataError` for a file that is no notebook.
    """
    try:
        json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not a notebook: its JSON cannot be read") from None
    text = content.decode("latin-1")  # a character per byte
    found = list[Picture]()
    for cell in _read_cells(text):
        if cell.kind == "markdown":
            found += _read_cell(path, text, cell, roots)
    return sorted(found, key=lambda picture: picture.byte)


def _read_cell(path: Path, text: str, cell: _Cell, roots: tuple[Path, ...]) -> Iterator[Picture]:
    source, offsets = bytearray(), list[int]()
    for start, end in cell.strings:
        for sign in _SIGN.finditer(text, start, end):
            escaped = sign[0].startswith("\\")
            read = json.loads(f'"{sign[0]}"').encode("utf-8", "replace") if escaped else b""
            read = read or sign[0].encode("latin-1")
            source += read
            offsets += [sign.start()] * len(read)
        offsets_end = end
    page = PageText(path, bytes(source), is_markdown=True)
    dialect = Dialect(prose=True)
    for picture in Reader(page, roots).read_markdown(read_markdown(page.text), dialect):
        at, to = (
            offsets[byte] if byte < len(offsets) else offsets_end
            for byte in (picture.byte, picture.end)
        )
        line = text.count("\n", 0, at) + 1
        yield replace(picture, byte=at, end=to, line=line, in_json=True)


def _read_cells(text: str) -> list[_Cell]:
    """The cells of a valid JSON file, by the path of keys to each string."""
    cells = dict[str, _Cell]()
    path, is_key = list[str | int](), False
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{":
                path.append("")
                is_key = True
            case "[":
                path.append(0)
            case "}" | "]":
                path.pop()
            case ",":
                last = path[-1]
                is_key = isinstance(last, str)
                path[-1] = "" if isinstance(last, str) else last + 1
            case ":":
                is_key = False
            case _ if is_key:
                path[-1] = token[1]
            case _ if token[1] is not None:
                _take_string(token, path, cells)
    return list(cells.values())


def _take_string(token: re.Match[str], path: list[str | int], cells: dict[str, _Cell]) -> None:
    """Note a string that is the kind of a cell, or a part of its source."""
    if len(path) not in (3, 4) or path[0] != "cells":
        return
    cell = cells.setdefault(str(path[1]), _Cell())
    if path[2] == "source":
        cell.strings.append(token.span(1))
    elif path[2:] == ["cell_type"]:
        cell.kind = token[1]
