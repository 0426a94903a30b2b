"""Books and documents: other programs read the new texts, and find all else as it was."""

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from cutline.alttext.edit import Change, check, fill
from cutline.errors import DataError
from cutline.io.zips import replace_members
from sites import Double

OPF = "<package><metadata><dc:language>de</dc:language></metadata></package>"
CHAPTER = """<?xml version="1.0" encoding="UTF-8"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>
<p>{{ name <img src="../img/dog.png"/> <img src="../img/cat.png" alt=""/> {% if %}</p>
<p><img alt="A cat" src="../img/cat.png"/><img src="../../../../etc/passwd"/>
<img src="https://example.org/a.png"/></p></body></html>
"""
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "PNG")
    return out.getvalue()


def make_zip(
    path: Path, members: dict[str, bytes | str], packed: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_book(path: Path, chapter: str = CHAPTER, **more: str) -> Path:
    members: dict[str, bytes | str] = {
        "OEBPS/text/one.xhtml": chapter, "OEBPS/img/dog.png": picture(),
        "OEBPS/img/cat.png": picture(), "OEBPS/content.opf": OPF,
        "mimetype": "application/epub+zip", "META-INF/container.xml": "<container/>",
    }  # fmt: skip
    return make_zip(path, members | more)


def drawing(number: int, attributes: str = "", inside: str = "", relation: str = "rId1") -> str:
    return (
        f'<w:drawing><wp:inline><wp:docPr id="{number}" name="P {number}"{attributes}>{inside}'
        f'</wp:docPr><a:graphic><a:graphicData><pic:pic><pic:nvPicPr><pic:cNvPr id="0" name="x"/>'
        f'</pic:nvPicPr><pic:blipFill><a:blip r:embed="{relation}"/></pic:blipFill></pic:pic>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing>"
    )


DECORATIVE = '<a:extLst><a:ext><adec:decorative val="1"/></a:ext></a:extLst>'
DOCUMENT = "".join([
    f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<w:document xmlns:w="{WORD}" '
    'xmlns:wp="urn:wp" xmlns:a="urn:a" xmlns:pic="urn:pic" xmlns:r="urn:r" xmlns:mc="urn:mc" '
    'xmlns:adec="urn:adec"><w:body><w:p>{{ ü <![CDATA[<wp:docPr/>]]>',
    drawing(1), drawing(2, ' descr=""'), drawing(3, ' descr="A cat"'),
    drawing(4, "", DECORATIVE), drawing(5, "", '<a:hlinkClick r:id="x"/>'),
    drawing(6, ' descr="dog.png"'), drawing(7, relation="rId2"), drawing(8, relation="rId9"),
    f"<mc:AlternateContent><mc:Choice>{drawing(9)}</mc:Choice><mc:Fallback>{drawing(9)}"
    "</mc:Fallback></mc:AlternateContent></w:p></w:body></w:document>",
])  # fmt: skip
RELATIONS = (
    '<Relationships><Relationship Id="rId1" Target="media/image1.png"/>'
    '<Relationship Id="rId2" Target="https://example.org/a.png" TargetMode="External"/>'
    "</Relationships>"
)


def make_document(path: Path, document: str | bytes = DOCUMENT, **more: str) -> Path:
    members: dict[str, bytes | str] = {
        "[Content_Types].xml": "<Types/>", "word/document.xml": document,
        "word/_rels/document.xml.rels": RELATIONS, "word/media/image1.png": picture(),
    }  # fmt: skip
    return make_zip(path, members | more)


def filled(path: Path, **options) -> Change:
    *_, change = fill([path], Double("zyx wvu").caption_each, **options)
    assert isinstance(change, Change), change
    return change


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {each.filename: archive.read(each) for each in archive.infolist()}


def differing(before: bytes, after: bytes) -> list[str]:
    one, other = members_of(before), members_of(after)
    assert sorted(one) == sorted(other)
    return [name for name in one if one[name] != other[name]]


# ------------------------------------------------------------------------------------------ EPUB


def test_a_book_stays_a_valid_one_and_only_texts_are_added(tmp_path):
    path = make_book(tmp_path / "a.epub")
    before = path.read_bytes()

    change = filled(path)
    path.write_bytes(change.content)

    assert differing(before, change.content) == ["OEBPS/text/one.xhtml"]
    added = ' alt="Zyx wvu." xml:lang="en"'
    chapter = members_of(change.content)["OEBPS/text/one.xhtml"].decode()
    assert chapter == CHAPTER.replace('src="../img/dog.png"', f'src="../img/dog.png"{added}')
    assert change.content[30:58] == b"mimetypeapplication/epub+zip"
    states = [picture.state for picture in change.pictures]
    assert states == ["filled", "decorative", "present", "file_not_found", "remote"]
    assert change.diff.decode().endswith(
        "a.epub/OEBPS/text/one.xhtml:3: ../img/dog.png: Zyx wvu.\n"
    )
    assert filled(path).is_empty


def test_another_reader_of_books_finds_the_texts(tmp_path):
    epub = pytest.importorskip("ebooklib.epub", reason="ebooklib is not installed")
    html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed")
    book = epub.EpubBook()
    book.set_identifier("x")
    book.set_title("A book")
    book.set_language("en")
    chapter = epub.EpubHtml(title="One", file_name="one.xhtml", lang="en")
    chapter.content = (
        '<h1>One</h1><p><img src="img/dog.png"/> and <img src="img/dog.png" alt="A"/></p>'
    )
    image = epub.EpubItem(
        uid="dog", file_name="img/dog.png", media_type="image/png", content=picture()
    )
    for item in (chapter, image, epub.EpubNcx(), epub.EpubNav()):
        book.add_item(item)
    book.toc, book.spine = [chapter], ["nav", chapter]
    path = tmp_path / "a.epub"
    epub.write_epub(path, book)

    path.write_bytes(filled(path).content)

    read = epub.read_epub(path, options={"ignore_ncx": True})
    content = read.get_item_with_href("one.xhtml").get_content()
    tree = html5lib.parse(content, namespaceHTMLElements=False)
    assert [image.get("alt") for image in tree.iter("img")] == ["Zyx wvu.", "A"]


# ------------------------------------------------------------------------------ Word, PowerPoint


def test_pictures_of_a_document_are_told_apart(tmp_path):
    path = make_document(tmp_path / "a.docx")

    change = filled(path)

    states = [str(picture.state) for picture in change.pictures]
    assert states == [
        "filled", "filled", "present", "decorative", "functional", "placeholder", "remote",
        "file_not_found", "filled",
    ]  # fmt: skip
    after = members_of(change.content)["word/document.xml"].decode()
    expected = DOCUMENT.replace(' descr=""', ' descr="Zyx wvu."')
    for number in (1, 9):
        plain = f'<wp:docPr id="{number}"'
        expected = expected.replace(plain, plain.replace(" id", ' descr="Zyx wvu." id'), 1)
    assert after == expected
    path.write_bytes(change.content)
    assert filled(path).is_empty
    replaced = members_of(filled(path, placeholders=True).content)["word/document.xml"].decode()
    assert replaced == expected.replace("dog.png", "Zyx wvu.")


def test_word_documents_and_slides_are_read_by_their_libraries(tmp_path, monkeypatch):
    docx = pytest.importorskip("docx", reason="python-docx is not installed")
    pptx = pytest.importorskip("pptx", reason="python-pptx is not installed")
    monkeypatch.chdir(tmp_path)
    Path("dog.png").write_bytes(picture())
    document = docx.Document()
    document.add_paragraph("Text")
    document.add_picture("dog.png")
    document.sections[0].header.paragraphs[0].add_run().add_picture("dog.png")
    document.save("a.docx")
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[6])
    shapes = [slide.shapes.add_picture("dog.png", 0, 0) for _ in range(2)]
    del shapes[0]._element.nvPicPr.cNvPr.attrib["descr"]
    slides.save("a.pptx")

    for name in ("a.docx", "a.pptx"):
        before = Path(name).read_bytes()
        Path(name).write_bytes(filled(Path(name)).content)
        changed = differing(before, Path(name).read_bytes())
        assert {re.sub(r"\d+", "", each) for each in changed} <= {
            "word/document.xml", "word/header.xml", "ppt/slides/slide.xml"
        }  # fmt: skip

    document = docx.Document("a.docx")
    header = document.sections[0].header.paragraphs[0]._p
    texts = [part.xpath("string(.//wp:docPr/@descr)") for part in (document.element, header)]
    assert texts == ["Zyx wvu."] * 2
    [slide] = pptx.Presentation("a.pptx").slides
    told = [shape._element.nvPicPr.cNvPr.get("descr") for shape in slide.shapes]
    assert told == ["Zyx wvu.", "dog.png"]  # which python-pptx writes: a placeholder


# -------------------------------------------------------------------------------------- refused


def test_damaged_hostile_and_signed_archives_are_refused_in_a_sentence(tmp_path):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(101 * 10**6))
    entities = '<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'

    def refusal(path: Path) -> str:
        [found] = check([path])
        assert isinstance(found, DataError)
        return str(found).replace(str(path), "it")

    path = tmp_path / "a.docx"
    path.write_bytes(bomb.getvalue())
    assert "too much for its size" in refusal(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    assert "an old or encrypted document" in refusal(path)
    assert "document type" in refusal(make_document(path, entities))
    assert "nested too deeply" in refusal(make_document(path, "<a>" * 600 + "</a>" * 600))
    assert "not in UTF-8" in refusal(make_document(path, DOCUMENT.encode("utf-16")))
    assert "word/document.xml" in refusal(make_document(path, DOCUMENT[:-9]))
    assert "not a .docx document" in refusal(make_book(path))
    assert "it is signed" in refusal(make_document(path, **{"_xmlsignatures/a.sigs": "x"}))
    assert "it is signed" in refusal(
        make_book(path := tmp_path / "a.epub", **{"META-INF/signatures.xml": ""})
    )
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mimetype", "x")
    assert "two members" in refusal(path) or "signed" in refusal(path)


def test_a_document_that_changed_meanwhile_is_not_written(tmp_path):
    path = make_document(tmp_path / "a.docx")

    def caption_each(pictures):
        yield from Double().caption_each(pictures)
        make_document(path, DOCUMENT.replace("ü", "ä"))

    *_, last = fill([path], caption_each)

    assert isinstance(last, DataError)
    assert "has changed since it was read" in str(last)


def test_members_keep_their_order_dates_and_packing(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"b": "1", "a": "2"}, zipfile.ZIP_STORED)
    before = zipfile.ZipFile(path).infolist()

    with zipfile.ZipFile(io.BytesIO(replace_members(path.read_bytes(), {"a": b"3"}))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [b"1", b"3"]
        for one, other in zip(before, archive.infolist(), strict=True):
            for what in ("filename", "date_time", "compress_type", "external_attr"):
                assert getattr(one, what) == getattr(other, what)


def test_the_command_writes_a_book_and_takes_it_back(tmp_path, run, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = make_book(Path("a.epub")).read_bytes()
    options = ("--any-picture", "--min-confidence", 0, "--style", "sentence", "-m", tiny)

    code, out, _ = run("alt", "a.epub", *options)
    assert (code, out.count("\n")) == (1, 1)  # an address leads to no file
    assert out.startswith("a.epub/OEBPS/text/one.xhtml:3: ../img/dog.png: ")
    assert Path("a.epub").read_bytes() == before
    run("alt", ".", "--apply", *options)
    assert differing(before, Path("a.epub").read_bytes()) == ["OEBPS/text/one.xhtml"]
    code, out, _ = run("alt", ".", "--check", "--json")
    assert code == 1
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["file_not_found", "remote"]
    assert run("undo", "alt.undo.jsonl", "--apply")[0] == 0
    assert Path("a.epub").read_bytes() == before
