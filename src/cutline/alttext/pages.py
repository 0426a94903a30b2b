"""Reads pages: files and folders → a `Page` with its images, or an error."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cutline.alttext.archives import read_archive
from cutline.alttext.audit import Page, Reader
from cutline.alttext.html import Dialect
from cutline.alttext.ignore_rules import IgnoreRules
from cutline.alttext.jsx import UnclearError, read_astro, read_jsx
from cutline.alttext.language import read_front_matter
from cutline.alttext.light_markup import read_asciidoc, read_restructuredtext
from cutline.alttext.markdown import read_markdown
from cutline.alttext.notebook import read_notebook
from cutline.alttext.page_text import PageText
from cutline.alttext.shortcodes import read_shortcodes
from cutline.errors import DataError

HTML = (
    ".html", ".htm", ".xhtml", ".shtml", ".php", ".phtml", ".vue", ".svelte", ".jsp", ".jspf",
    ".asp", ".aspx", ".cshtml", ".gohtml",
)  # fmt: skip
MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx", ".qmd", ".rmd")
NOTEBOOK = ".ipynb"
SPHINX = (".rst", ".rest")
COMPONENTS = (".jsx", ".tsx", ".astro")
ARCHIVES = (".epub", ".docx", ".pptx")
ASCIIDOC = (".adoc", ".asciidoc")
READ = (*HTML, *MARKDOWN, NOTEBOOK, *SPHINX, *ASCIIDOC, *COMPONENTS, *ARCHIVES)
UNREAD = (
    ".odt", ".odp", ".docm", ".pptm", ".pug", ".haml", ".slim", ".org",
    ".textile",
)  # fmt: skip
"""Suffixes of files that may hold pictures, but are not read."""
GENERATED = ("public", "dist", "build", "_site", "vendor")
"""Folders that programs write."""
TEMPLATES = (
    ".jinja", ".jinja2", ".j2", ".tmpl", ".tpl", ".njk", ".liquid", ".twig", ".erb", ".ejs",
    ".hbs", ".mustache",
)  # fmt: skip
"""Suffixes of templates, alone or after a page's: `list.tmpl`, `post.md.erb`; not `menu.js.erb`."""
MOST_BYTES = 50 * 10**6
MOST_SCRIPT_BYTES = 10**6
"""Larger scripts are bundles."""


@dataclass(frozen=True)
class Skipped:
    """A file or folder below a named one that was not read."""

    path: Path
    why: Literal["kind", "ignored", "generated", "unclear"]
    """A kind of page that is not read; ignored by Git; a folder that programs write; code that
    could not be told from markup."""


class UnreadError(DataError):
    """The code of a page could not be told from its markup."""


def read_page(path: Path, roots: Sequence[Path] = ()) -> Page:
    """Read a page; URLs such as `/img/a.jpg` are resolved in `roots`, by default its folder.

    No image outside of these, the page's folder and the working directory is read. Raises
    `DataError` for a file that cannot be read, or whose encoding cannot be preserved.
    """
    kind = kind_of(path)
    if kind in ARCHIVES:
        return read_archive(path, kind)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is too large for a page: more than 50 megabytes")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if kind == NOTEBOOK:
        found = read_notebook(path, content, tuple(roots) or (path.parent,))
        return Page(path, content, tuple(found), "utf-8")
    text = PageText(path, content, is_markdown=kind not in HTML)
    language = read_front_matter(text.text)
    reader = Reader(text, tuple(roots) or (path.parent,), language)
    if kind in SPHINX + ASCIIDOC:
        read_light = read_restructuredtext if kind in SPHINX else read_asciidoc
        return Page(path, content, tuple(read_light(reader, text.text)), text.written_in)
    if kind in COMPONENTS:
        try:
            parts = (read_astro if kind == ".astro" else read_jsx)(text.text)
        except UnclearError:
            raise UnreadError(f"{path} is not read: its code cannot be told from markup") from None
        return Page(path, content, tuple(reader.read_component(text.text, parts)), text.written_in)
    dialect = Dialect(components=kind in (".vue", ".svelte", ".mdx"), prose=kind in MARKDOWN)
    if kind in MARKDOWN:
        document = read_markdown(text.text, components=dialect.components)
        found = reader.read_markdown(document, dialect)
        found += read_shortcodes(reader, document.html)
        pictures = sorted(found, key=lambda picture: (picture.byte, picture.line))
    else:
        pictures = reader.read_html(
            _blank_razor(text.text) if kind == ".cshtml" else text.text, dialect
        )
    return Page(path, content, tuple(pictures), text.written_in)


def kind_of(path: Path) -> str:
    """The suffix without templates', `.md` for `post.md.erb`; empty for other files.

    A script counts as `.jsx` if it imports a library of components and has elements in it.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".js"] and suffixes[-2:-1] != [".min"] and _has_elements(path):
        return ".jsx"
    while suffixes and suffixes[-1] in TEMPLATES:
        if len(suffixes) == 1:
            return ".html"
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in READ else ""


def _has_elements(script: Path) -> bool:
    try:
        if not script.is_file() or script.stat().st_size > MOST_SCRIPT_BYTES:
            return False
        content = script.read_bytes()
    except OSError:  # it is reported where it is named
        return False
    return bool(_LIBRARY.search(content) and re.search(rb"/>|</", content))


_LIBRARY = re.compile(
    rb"""(?:from\s{0,9}|require\(\s{0,9}|import\s{0,9})["']"""
    rb"""(?:react|preact|next/[\w-]+|gatsby[\w-]*|@docusaurus/[\w/-]+|@theme/[\w/-]+)["']"""
)
_RAZOR = re.compile(
    r"""@\*(?s:.*?)(?:\*@|\Z) | @"(?:[^"]|"")*" | ^[ \t]*(?![ \t<@]).*;[ \t\r]*$""", re.M | re.X
)
"""Comments, verbatim strings and statements, whose strings may hold markup."""


def _blank_razor(text: str) -> str:
    return _RAZOR.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)


def find_pages(
    paths: Sequence[str | Path], roots: Sequence[Path] = ()
) -> Iterator[Page | Skipped | DataError]:
    """Read all named pages and those in named folders, or yield the error.

    Hidden folders, `node_modules` and links that leave a folder are passed over. `Skipped` are
    kinds of pages that are not read, what Git ignores, and generated folders, unless they are
    named. A named folder is a root of the pages in it, after `roots`.
    """
    seen = set[Path]()
    for named in map(Path, paths):
        inside = named.is_dir()
        entries = sorted(_search(named), key=_path_of) if inside else [named]
        if not any(isinstance(entry, Path) for entry in entries):
            yield DataError(f"{named} has no pages in it ({', '.join(HTML + MARKDOWN)} …)")
        for path in entries:
            if isinstance(path, Skipped):
                yield path
                continue
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                if not path.exists():
                    raise DataError(f"there is no {path}")
                if not kind_of(path):
                    raise DataError(f"{path} is not a page ({', '.join(HTML + MARKDOWN)})")
                yield read_page(path, (*roots, named if inside else path.parent))
            except UnreadError:
                yield Skipped(path, "unclear")
            except DataError as error:
                yield error


def _path_of(entry: Path | Skipped) -> Path:
    return entry.path if isinstance(entry, Skipped) else entry


def _search(named: Path) -> Iterator[Path | Skipped]:
    """The pages below a folder, and what was skipped."""
    top = named.resolve()
    yield from _search_below(named, top, IgnoreRules.above(top), [])


def _search_below(
    folder: Path, top: Path, rules: IgnoreRules, below: list[str]
) -> Iterator[Path | Skipped]:
    rules = rules.enter(folder, below)
    for path in folder.iterdir():
        if path.name.startswith((".", "~$")) or path.name == "node_modules":
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        is_page = not is_folder and bool(kind_of(path))
        if not is_folder and not is_page and path.suffix.lower() not in UNREAD:
            continue
        if rules.ignores([*below, path.name], is_folder=is_folder):
            yield Skipped(path, "ignored")
        elif is_folder and path.name in GENERATED:
            yield Skipped(path, "generated")
        elif is_folder:
            yield from _search_below(path, top, rules, [*below, path.name])
        elif not is_page:
            yield Skipped(path, "kind")
        elif path.is_file() and path.resolve().is_relative_to(top):
            yield path
