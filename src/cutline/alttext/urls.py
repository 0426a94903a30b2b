"""What the address of a picture in a page means: a file, bytes in the page, another host, nothing.

Enters: `img/a%20dog.jpg?v=3`, where the page lies, what the folders of the site are. Leaves: one of
`Local`, `Inline`, `Remote`, `NotFound`, `Outside`, `Templated`. Nothing is opened here, and no
file is found outside of the site: a stranger's page must not lead to `../../private.jpg`.
"""

import os
import re
from base64 import b64decode
from binascii import Error as BinasciiError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, unquote_to_bytes, urljoin, urlsplit

PUBLIC = ("", "static", "public", "source")
"""Where in a site's folder the files lie that it serves under `/`: of Hugo, of Vite, of Hexo."""


@dataclass(frozen=True)
class Local:
    """A file that is there."""

    path: Path


@dataclass(frozen=True)
class Inline:
    """A picture within the page: `data:image/png;base64,…`."""

    content: bytes


@dataclass(frozen=True)
class Remote:
    """A picture of another host."""

    address: str


@dataclass(frozen=True)
class NotFound:
    """A file that is not there."""

    path: Path


@dataclass(frozen=True)
class Outside:
    """A file that is not the site's: `..`, a link or a `file:` address leads there."""

    path: Path


@dataclass(frozen=True)
class Templated:
    """Nobody knows before the template is filled."""


Place = Local | Inline | Remote | NotFound | Outside | Templated

_CODE = re.compile(r"\{\{|\{%|\{!!|<\?|<%|\$\{|#\{|^\{")
_PERHAPS_CODE = re.compile(r"^[@~]|\[\[|\{\w+\}|%[A-Z_]{3,}%")
"""A bundler's `@/a.jpg`, `%PUBLIC_URL%/a.jpg`; unless a file is really called that."""
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def locate(source: str, page: Path, roots: Sequence[Path], *, base: str = "") -> Place:
    """Where a picture is that a page speaks of.

    `/img/a.jpg` is looked for in `roots`, the folders of the site; `base` is the page's
    `<base href>`. What is written like a file's name counts as one, whatever a URL may hold. A file
    outside of the roots, of the page's folder and of the one that we are in is `Outside`.
    """
    source = re.sub(r"[\t\r\n]", "", source).strip(" \f")
    if not source or _CODE.search(source) or _CODE.search(base):
        return Templated()
    if base and not source.startswith("data:"):
        source = urljoin(base, source)
    scheme = _SCHEME.match(source)
    name = scheme[1].lower() if scheme else ""
    if name in ("http", "https") or source.replace("\\", "/").startswith("//"):
        return Remote(source if name else f"https:{source}")
    if name == "data":
        return _read_data(source)
    if name and name != "file":  # blob:, cid:
        return Templated()
    return _find_file(source, page, roots)


def _find_file(source: str, page: Path, roots: Sequence[Path]) -> Place:
    try:
        parts = urlsplit(source)
    except ValueError:  # [ without ]
        parts = SplitResult("", "", source, "", "")
    unescaped = unquote(parts.path, errors="surrogateescape")  # names may be any bytes
    names = (unescaped, unescaped.replace("\\", "/"), source.split("?")[0])
    tried = list[Path]()
    for name in dict.fromkeys(names):
        if parts.scheme == "file":
            tried.append(Path(name))
        elif name.startswith("/"):
            below = name.lstrip("/")
            tried += [root / public / below for root in roots for public in PUBLIC]
        else:
            tried.append(page.parent / name)
    folders, outside = (*roots, page.parent, Path()), list[Path]()
    for path in tried:
        if not _lies_in(path, folders, os.path.abspath):  # not even looked at
            outside.append(path)
        elif _is_file(path):
            if _lies_in(path, folders, os.path.realpath):
                return Local(path)
            outside.append(path)
    if _PERHAPS_CODE.search(source):
        return Templated()
    return Outside(outside[0]) if outside else NotFound(tried[0])


def _lies_in(path: Path, folders: Sequence[Path], spell: Callable[[Path], str]) -> bool:
    return any(Path(spell(path)).is_relative_to(spell(folder)) for folder in folders)


def _is_file(path: Path) -> bool:
    """A regular file, no device or pipe that would be read for ever."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long a name, a NUL
        return False


def _read_data(source: str) -> Place:
    head, comma, body = source.partition(",")
    try:
        if head.lower().rstrip().endswith("base64"):
            plain = re.sub(r"\s", "", unquote(body))
            return Inline(b64decode(plain + "=" * (-len(plain) % 4)))
        return Inline(unquote_to_bytes(body))
    except (BinasciiError, ValueError):
        return Inline(b"")
