"""Reads pages: files and folders of HTML and Markdown → a `Page` with its images, or an error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cutline.alttext.audit import Picture, Reader
from cutline.alttext.html import Dialect
from cutline.alttext.page_text import PageText
from cutline.errors import DataError

HTML = (".html", ".htm", ".xhtml", ".shtml", ".php", ".phtml", ".vue", ".svelte")
MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mdx")
TEMPLATES = (
    ".jinja", ".jinja2", ".j2", ".tmpl", ".tpl", ".njk", ".liquid", ".twig", ".erb", ".ejs",
    ".hbs", ".mustache",
)  # fmt: skip
"""Suffixes of templates, alone or after a page's: `list.tmpl`, `post.md.erb`; not `menu.js.erb`."""
MOST_BYTES = 50 * 10**6


@dataclass(frozen=True)
class Page:
    """A file as it was when it was read."""

    path: Path
    content: bytes
    pictures: tuple[Picture, ...]
    encoding: str
    """The encoding for new alt texts: `utf-8`, `utf-16-le`, or `ascii` if uncertain."""


def read_page(path: Path, roots: Sequence[Path] = ()) -> Page:
    """Read a page; URLs such as `/img/a.jpg` are resolved in `roots`, by default its folder.

    No image outside of these, the page's folder and the working directory is read. Raises
    `DataError` for a file that cannot be read, or whose encoding cannot be preserved.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is too large for a page: more than 50 megabytes")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    kind = kind_of(path)
    text = PageText(path, content, is_markdown=kind in MARKDOWN)
    reader = Reader(text, tuple(roots) or (path.parent,))
    dialect = Dialect(components=kind in (".vue", ".svelte", ".mdx"), prose=text.is_markdown)
    read = reader.read_markdown if text.is_markdown else reader.read_html
    pictures = read(text.text, dialect)
    return Page(path, content, tuple(pictures), text.written_in)


def kind_of(path: Path) -> str:
    """The suffix without templates', `.md` for `post.md.erb`; empty for other files."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in TEMPLATES:
        if len(suffixes) == 1:
            return ".html"
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in HTML + MARKDOWN else ""


def find_pages(
    paths: Sequence[str | Path], roots: Sequence[Path] = ()
) -> Iterator[Page | DataError]:
    """Read all named pages and those in named folders, or yield the error.

    Hidden folders, `node_modules` and links that leave a folder are skipped. A named folder is a
    root of the pages in it, after `roots`.
    """
    seen = set[Path]()
    for named in map(Path, paths):
        inside = named.is_dir()
        files = sorted(_search(named, named.resolve())) if inside else [named]
        if inside and not files:
            yield DataError(f"{named} has no pages in it ({', '.join(HTML + MARKDOWN)} …)")
        for path in files:
            if path.resolve() in seen:
                continue
            seen.add(path.resolve())
            try:
                if not path.exists():
                    raise DataError(f"there is no {path}")
                if not kind_of(path):
                    raise DataError(f"{path} is not a page ({', '.join(HTML + MARKDOWN)})")
                yield read_page(path, (*roots, named if inside else path.parent))
            except DataError as error:
                yield error


def _search(folder: Path, top: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "node_modules":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _search(path, top)
        elif kind_of(path) and path.is_file() and path.resolve().is_relative_to(top):
            yield path
