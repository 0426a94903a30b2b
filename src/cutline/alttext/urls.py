"""Resolves the URLs of images in pages.

`img/a%20dog.jpg?v=3`, the path of the page and the folders of the site determine one of `Local`,
`Member`, `Inline`, `Remote`, `NotFound`, `Outside`, `Templated`. Nothing is opened, and no file
outside the site is resolved: an untrusted page must not lead to `../../private.jpg`.
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
"""Folders of files served under `/` by Hugo, Vite and Hexo, relative to the site."""


@dataclass(frozen=True)
class Local:
    """An existing file."""

    path: Path


@dataclass(frozen=True)
class Inline:
    """A data URL: `data:image/png;base64,…`."""

    content: bytes


@dataclass(frozen=True)
class Remote:
    """An image on another host."""

    address: str


@dataclass(frozen=True)
class NotFound:
    """A file that does not exist."""

    path: Path


@dataclass(frozen=True)
class Outside:
    """A file outside the site, by `..`, a link or a `file:` URL."""

    path: Path


@dataclass(frozen=True)
class Templated:
    """A URL that a template generates."""


@dataclass(frozen=True)
class Member:
    """A file in a zip file, such as a book."""

    archive: Path
    name: str


Place = Local | Member | Inline | Remote | NotFound | Outside | Templated

_CODE = re.compile(r"\{\{|\{%|\{!!|<\?|<%|\$\{|#\{|^\{|<\w+:")
_PERHAPS_CODE = re.compile(r"^[@~]|\[\[|\{\w+\}|%[A-Z_]{3,}%")
"""Aliases of bundlers, `@/a.jpg`, `%PUBLIC_URL%/a.jpg`, unless such a file exists."""
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def locate(source: str, page: Path, roots: Sequence[Path], *, base: str = "") -> Place:
    """Resolve the URL `source` of an image in `page`.

    `/img/a.jpg` is looked for in `roots`, the folders of the site; `base` is the page's
    `<base href>`. Unescaped file names are accepted, too. A file outside of the roots, the page's
    folder and the working directory is `Outside`.
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
        if not _lies_in(path, folders, os.path.abspath):  # not even checked for existence
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
    """Whether it is a regular file; reading devices or pipes might never end."""
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
