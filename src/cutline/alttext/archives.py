"""Books and documents that are zip files: EPUB, Word and PowerPoint → a `Page` with its members."""

import posixpath
import re
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cutline.alttext.audit import Page, Picture, Reader, State, judge_text, mark_functional
from cutline.alttext.html import Dialect
from cutline.alttext.office import (
    SLIDES,
    WORD_PARTS,
    Drawing,
    PartError,
    read_drawings,
    read_relations,
)
from cutline.alttext.page_text import PageText
from cutline.alttext.urls import Local, Member, NotFound, Place, Remote, locate
from cutline.errors import DataError
from cutline.io.zips import DAMAGED, find_problem

MAX_BYTES = 200 * 10**6
"""A larger archive is not read."""
_CHAPTER = re.compile(r"(?!META-INF/).*\.(?:x?html?|htm)", re.I | re.S)
_LANGUAGE = re.compile(rb"<dc:language[^>]{0,200}>\s*([\w-]{2,20})\s*</dc:language")
_SIGNATURES = re.compile(r"META-INF/signatures\.xml|_xmlsignatures/.*")
_GROUP = "a group of pictures: a person has to write what it shows"


@dataclass(frozen=True)
class _Archive:
    path: Path
    content: dict[str, bytes]
    """The members that are text."""
    names: frozenset[str]

    def locate(self, member: str, source: str) -> Place:
        """Resolve the address of a picture in a member."""
        source = source.strip()
        if re.match(r"[a-zA-Z][\w+.-]+:|//|\{", source):
            found = locate(source, self.path, ())
            return NotFound(Path(source)) if isinstance(found, Local) else found
        try:
            path = unquote(urlsplit(source).path)
        except ValueError:  # [ without ]
            path = source
        name = _join(member, path)
        return Member(self.path, name) if name in self.names else NotFound(Path(name))


def _join(member: str, path: str) -> str:
    """The name of the member that a path in another one leads to."""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(member), path)).lstrip("/")


def read_archive(path: Path, kind: str) -> Page:
    """Read a book or document. Raises `DataError` for one that is damaged, hostile or signed."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is too large: more than {MAX_BYTES // 10**6} megabytes")
        archive = _open(path, kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except DAMAGED as error:
        what = "an old or encrypted document, or" if kind != ".epub" else "not a zip file, or"
        raise DataError(f"{path} cannot be read: it is {what} damaged ({error})") from None
    read = partial(_read_chapter, archive) if kind == ".epub" else partial(_read_part, archive)
    texts = [name for name in sorted(archive.content) if not name.endswith((".rels", ".opf"))]
    members = [read(name) for name in texts]
    shown = tuple(member for member in members if member.pictures)
    pictures = tuple(picture for member in shown for picture in member.pictures)
    return Page(path, b"", pictures, "utf-8", shown)


def _open(path: Path, kind: str) -> _Archive:
    texts = {".epub": _CHAPTER, ".docx": WORD_PARTS, ".pptx": SLIDES}[kind]
    packed = path.read_bytes()
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if problem := find_problem(path, members, len(packed)):
            raise DataError(problem)
        if len(set(names)) < len(names):
            raise DataError(f"{path} is damaged: it has two members of the same name")
        if any(_SIGNATURES.fullmatch(name) for name in names):
            raise DataError(f"{path} stays as it is: it is signed, and would not be any more")
        wanted = [n for n in names if texts.fullmatch(n) or n.endswith((".rels", ".opf"))]
        if kind != ".epub" and not any(texts.fullmatch(name) for name in wanted):
            raise DataError(f"{path} is not a {kind} document")
        content = {name: archive.read(name) for name in wanted}
    return _Archive(path, content, frozenset(names))


def _read_chapter(archive: _Archive, name: str) -> Page:
    """The pictures of a chapter of a book."""
    content = archive.content[name]
    opf = next((text for n, text in archive.content.items() if n.endswith(".opf")), b"")
    language = _LANGUAGE.search(opf)
    text = PageText(archive.path / name, content, is_markdown=False)
    told = language[1].decode() if language else ""
    reader = Reader(text, (), told, partial(archive.locate, name))
    # braces are no template code, in a book about programs
    found = reader.read_html(text.text.replace("{", "("), Dialect())
    pictures = tuple(replace(each, lang_name="xml:lang") for each in found)
    return Page(archive.path / name, content, pictures, text.written_in)


def _read_part(archive: _Archive, name: str) -> Page:
    """The pictures of a part of a document."""
    content = archive.content[name]
    text = PageText(archive.path / name, content, is_markdown=True)
    folder, _, file = name.rpartition("/")
    try:
        drawings = read_drawings(content)
        relations = read_relations(archive.content.get(f"{folder}/_rels/{file}.rels", b"<a/>"))
    except PartError as error:
        raise DataError(f"{archive.path} is damaged: {name}: {error}") from None
    pictures = [_judge(archive, text, name, each, relations) for each in drawings]
    pictures.sort(key=lambda picture: picture.byte)
    return Page(archive.path / name, content, tuple(pictures), "utf-8")


def _judge(
    archive: _Archive,
    text: PageText,
    name: str,
    drawing: Drawing,
    relations: dict[str, tuple[str, bool]],
) -> Picture:
    target, is_outside = relations.get(drawing.relations[0], ("", False))
    source = target if is_outside else _join(name, target)
    reader = Reader(text, (), "", partial(_locate_target, archive, is_outside=is_outside))
    told = [drawing.attributes.get(key, "").strip() for key in ("descr", "title")]
    state, why = None, ""
    if drawing.is_decorative:
        state, why = State.DECORATIVE, "it is marked as decorative"
    elif any(told):
        state, why = judge_text(told[0] or told[1], source)
    picture = reader.place(source, drawing.start, drawing.start, '"', state, why)
    picture = replace(
        picture,
        end=drawing.end,
        line=drawing.line,
        opening=' descr="' if drawing.is_new else "",
        closing='"' if drawing.is_new else "",
        has_own_language=True,
    )
    if drawing.is_link:
        return mark_functional(picture)
    if len(drawing.relations) > 1 and picture.is_missing:
        return replace(mark_functional(picture), why=_GROUP)
    return picture


def _locate_target(archive: _Archive, source: str, *, is_outside: bool) -> Place:
    if not is_outside:
        inside = source in archive.names
        return Member(archive.path, source) if inside else NotFound(Path(source))
    place = locate(source, archive.path, ())
    return place if isinstance(place, Remote) else NotFound(Path(source))
