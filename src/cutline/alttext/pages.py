"""Pages: HTML and Markdown, in files and folders → what each says of its pictures.

Enters: paths. Leaves: a `Page` for each file, as it was when it was read, or a `DataError`.
"""

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
"""Of a page alone, or behind its ending: `list.tmpl`, `post.md.erb`; not `menu.js.erb`."""
MOST_BYTES = 50 * 10**6


@dataclass(frozen=True)
class Page:
    """A file, as it was when it was read."""

    path: Path
    content: bytes
    pictures: tuple[Picture, ...]
    encoding: str
    """In which an alt text is written: `utf-8`, `utf-16-le`, or `ascii` where others are unsure."""


def read_page(path: Path, roots: Sequence[Path] = ()) -> Page:
    """The pictures of a page; `roots` are where `/img/a.jpg` is looked for [its own folder].

    No picture is taken from outside of these, the page's folder and the folder that we are in.
    Raises `DataError` for a file that is no page, or is in an encoding that cannot be kept.
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
    """`.md` of `post.md.erb`; empty for what is no page."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in TEMPLATES:
        if len(suffixes) == 1:
            return ".html"
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in HTML + MARKDOWN else ""


def find_pages(
    paths: Sequence[str | Path], roots: Sequence[Path] = ()
) -> Iterator[Page | DataError]:
    """Every page named or in a folder named, read; or what is wrong with one.

    Hidden folders, `node_modules` and links out of a folder are passed over. A folder that is named
    is a root of the pages in it, after `roots`.
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
                    raise DataError(f"{path} is no page: {', '.join(HTML + MARKDOWN)} are")
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
