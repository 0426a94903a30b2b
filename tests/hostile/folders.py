"""Folders of strangers: planted links, pipes, odd names; journals; zips; pages."""

import io
import json
import os
import posixpath
import sqlite3
import struct
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from warnings import catch_warnings, simplefilter
from xml.sax.saxutils import quoteattr

from hostile.material import Material
from hostile.mutations import (
    TEXTS,
    encode_strangely,
    hostile_value,
    mutate_bytes,
    mutate_text,
    mutated_json,
)
from hostile_pages import HARMFUL, HARMLESS, PAGES, WANTED

PRECIOUS = b"precious\n"
"""What `home/precious` holds, beside the stranger's folder; nobody may change it."""
TARGETS = ("../home/precious", "/etc/passwd", "/dev/zero", "/dev/full", ".", "..", "nothing")


# ----------------------------------------------------------------------------- links, pipes, names


def make_album(dice: Random, folder: Path, material: Material) -> Path:
    """Pictures, and beside them what waits for somebody who writes there."""
    (folder / "dog.png").write_bytes(material.picture)
    for _ in range(dice.choice((1, 2, 4))):
        _plant(dice, folder, material)
    return folder


def _plant(dice: Random, folder: Path, material: Material) -> None:
    name = dice.choice(PLANTED) if dice.random() < 0.7 else _odd_name(dice)
    path = folder / name
    try:
        if os.path.lexists(path):  # a pipe would be waited for
            return
        match dice.randrange(7):
            case 0 | 1 | 2:
                path.symlink_to(dice.choice(TARGETS))
            case 3:
                os.mkfifo(path)
            case 4:
                path.mkdir()
                (path / "cat.png").write_bytes(material.picture)
            case 5:
                os.link(folder / "dog.png", path)
            case _:
                path.write_bytes(dice.choice((b"", material.picture, dice.randbytes(50))))
    except (OSError, ValueError):  # what no disk takes, or is there already
        return


PLANTED = (
    ".captions.jsonl.part",
    ".captions.jsonl.journal",
    ".captions.jsonl.journal-journal",
    "captions.jsonl",
    ".dog.png.part",
    ".dog.txt.part",
    "dog.txt",
    ".dog.png.xmp.part",
    "dog.png.xmp",
    "captions.undo.jsonl",
    "captions.undo.blobs",
    ".report.html.part",
    "report.html",
    "cat.png",
    "sub",
    "captions.csv",
)


def _odd_name(dice: Random) -> str:
    odd = ("-rf.png", "--help.png", "*.png", "a\nb.png", "\udcff.png", "x" * 251 + ".png", " .png")
    return dice.choice((*odd, "\x1b[2J.png", "=1+1.png", "con.png", ".png", "\u202egnp.exe.png"))


# --------------------------------------------------------------------------------- undo journals


def make_undo(dice: Random, folder: Path, material: Material) -> Path:
    """A journal that would have files restored which cutline never wrote."""
    (folder / "dog.txt").write_bytes(b"a dog\n")
    blobs, lines = b"", []
    for number in range(dice.choice((1, 2, 5))):
        middle = zlib.compress(dice.choice((b"", b"evil", PRECIOUS)))
        lines.append(_change(dice, number + 1, len(blobs), len(middle)))
        blobs += middle
    if dice.random() < 0.3:
        lines.append({"undone": dice.choice((1, 99, "1", None, [1]))})
    if dice.random() < 0.4:
        (folder / "link").symlink_to(dice.choice(TARGETS))
    told = [mutated_json(dice, e) if dice.random() < 0.4 else json.dumps(e).encode() for e in lines]
    path = folder / "captions.undo.jsonl"
    content = b"\n".join(told) + b"\n"
    path.write_bytes(mutate_bytes(dice, content) if dice.random() < 0.1 else content)
    if dice.random() < 0.1:
        blobs = zlib.compress(bytes(3 * 10**8), 9)
    (folder / "captions.undo.blobs").write_bytes(blobs)
    return path


def _change(dice: Random, number: int, place: int, length: int) -> dict[str, Any]:
    target, held = dice.choice(
        (
            ("dog.txt", b"a dog\n"),
            ("../home/precious", PRECIOUS),
            (str(Path.cwd().parent / "home" / "precious"), PRECIOUS),
            ("link", PRECIOUS),
            (".", b""),
            (dice.choice(TEXTS), b""),
        )
    )
    before = None
    if dice.random() < 0.7:
        before = {
            "sha256": sha256(dice.choice((b"evil", b"", PRECIOUS))).hexdigest(),
            "prefix": dice.choice((0, 0, 0, 2, -1, 10**9)),
            "suffix": dice.choice((0, 0, 0, 2, -1, 10**9)),
            "blob": [dice.choice((place, 10**9, -1)), dice.choice((length, 2**40, -1))],
            "mode": dice.choice((0o644, 0o4755, 0o777, -1, 2**70)),
            "mtime_ns": dice.choice((0, 1, -1, 2**80)),
        }
    return {
        "number": number,
        "target": target,
        "picture": target,
        "after": sha256(held).hexdigest(),
        "before": before,
        "date": "2026-11-23T10:12:00+00:00",
    }


# --------------------------------------------------------------------------------- bulk journals


def make_journal(dice: Random, folder: Path, material: Material) -> Path:
    """An album with a journal of captioning that cutline did not write."""
    (folder / "dog.png").write_bytes(material.picture)
    path = folder / ".captions.jsonl.journal"
    if dice.random() < 0.1:
        path.write_bytes(dice.choice((b"", b"SQLite format 3\0", dice.randbytes(9_000))))
        return folder
    base = sqlite3.connect(path)
    base.execute("PRAGMA max_page_count = 1000")  # some of the triggers never end
    try:
        base.executescript(dice.choice(SCHEMES))
        for _ in range(dice.choice((0, 1, 3))):
            _fill(dice, base, folder)
        base.commit()
    except (sqlite3.Error, OverflowError, UnicodeEncodeError):
        pass  # what SQLite takes from nobody
    finally:
        base.close()
    if dice.random() < 0.4:
        path.write_bytes(mutate_bytes(dice, path.read_bytes()))
    if dice.random() < 0.1:
        path.with_name(f"{path.name}-journal").write_bytes(dice.randbytes(1_000))
    return folder


def _fill(dice: Random, base: sqlite3.Connection, folder: Path) -> None:
    def value() -> Any:
        held = dice.choice((None, 1, -1, 2**63 - 1, 0.5, b"\xff", b"dog.png", "dog.png", "[", "{}"))
        told = json.dumps(hostile_value(dice)) if dice.random() < 0.5 else dice.choice(TEXTS)
        return told if dice.random() < 0.4 else held

    path = dice.choice((os.fsencode(folder / "dog.png"), value()))
    row = (path, *(value() for _ in range(7)))
    base.execute("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    base.execute("INSERT INTO answers VALUES (?, ?, ?)", (row[5], value(), value()))


_PICTURES = """
CREATE TABLE pictures (
    path BLOB PRIMARY KEY, listing INTEGER, place INTEGER, size INTEGER, changed INTEGER,
    content BLOB, problem TEXT, passing INTEGER
) WITHOUT ROWID;
CREATE INDEX by_place ON pictures (listing, place);
"""
_ANSWERS = (
    "CREATE TABLE answers (content BLOB, asked TEXT, answer TEXT, PRIMARY KEY (content, asked))"
)
_BOMB = """
CREATE TRIGGER bomb AFTER INSERT ON pictures BEGIN
    INSERT INTO answers WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more)
    SELECT n, n, n FROM more;
END;
"""
_ENDLESS = """
CREATE VIEW answers AS WITH RECURSIVE more(content) AS (
    SELECT 1 UNION ALL SELECT content + 1 FROM more
) SELECT content, content AS asked, content AS answer FROM more;
"""
SCHEMES = (
    f"{_PICTURES} {_ANSWERS} WITHOUT ROWID;",
    f"{_PICTURES} {_ANSWERS} WITHOUT ROWID;",
    f"{_PICTURES} {_ANSWERS};",
    f"{_PICTURES}",
    f"{_ANSWERS};",
    "CREATE TABLE pictures (path); CREATE TABLE answers (content);",
    f"{_PICTURES} {_ANSWERS}; {_BOMB}",
    f"{_PICTURES} {_ENDLESS}",
    "CREATE TABLE pictures AS SELECT 1 AS path, 'x' AS listing; CREATE VIEW answers AS SELECT 1;",
    f"{_PICTURES} {_ANSWERS}; PRAGMA user_version = 99; PRAGMA encoding = 'UTF-16';",
)


# ------------------------------------------------------------------------------------------- zips


def make_zip(dice: Random, folder: Path, material: Material) -> Path:
    """An archive that leaves its folder, swells, lies about sizes, or is damaged."""
    file = io.BytesIO()
    with catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        simplefilter("ignore")  # of names that are there twice
        for number in range(dice.choice((1, 2, 3))):
            member = zipfile.ZipInfo(_member(dice, number))
            member.compress_type = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            if dice.random() < 0.2:
                kinds = (0o120777, 0o010644, 0o104755, 0o040755, 0o020666)
                member.external_attr = dice.choice(kinds) << 16
            content = dice.choice((b"", b"../home/precious", b"plain", bytes(10**5)))
            if dice.random() < 0.02:
                content = bytes(3 * 10**8)
            archive.writestr(member, content)
    content = file.getvalue()
    if dice.random() < 0.6:
        content = mutate_bytes(dice, content)
    if dice.random() < 0.2:  # other sizes, where the directory tells them
        at = content.rfind(b"PK\1\2")
        if at >= 0:
            size = struct.pack("<I", dice.choice((0, 1, 2**31, 2**32 - 1)))
            content = content[: at + 24] + size + content[at + 28 :]
    (folder / "inside").mkdir()
    (folder / "inside" / "link").symlink_to("../../home")
    path = folder / "annotations.zip"
    path.write_bytes(content)
    return path


def make_document(dice: Random, folder: Path, material: Material) -> Path:
    """A book, document or presentation, mutated in its text or as a zip."""
    name, member, text = dice.choice(DOCUMENTS)
    if dice.random() < 0.6:
        text = mutate_text(dice, text)
    if dice.random() < 0.05:
        text += dice.choice(("<a>", "&b;", "<!--", '<wp:docPr x="')) * 50_000
    inside = encode_strangely(dice, text)
    inside = mutate_bytes(dice, inside) if dice.random() < 0.3 else inside
    if dice.random() < 0.02:
        inside += bytes(2 * 10**8)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, inside)
        archive.writestr(f"{posixpath.dirname(member)}/img/w0.png", material.picture)
        rels = f"{posixpath.dirname(member)}/_rels/{posixpath.basename(member)}.rels"
        target = dice.choice(("img/w0.png", "/etc/passwd", "../../../home/precious", *TEXTS))
        relations = mutate_text(dice, _RELATIONS.format(quoteattr(target)))
        archive.writestr(rels, relations.encode("utf8", "surrogatepass"))
    content = file.getvalue()
    path = folder / name
    path.write_bytes(mutate_bytes(dice, content) if dice.random() < 0.3 else content)
    return path


_PICTURE = (
    '<wp:inline><wp:docPr id="1" name="x" descr=""/><a:graphic><pic:pic><a:blip r:embed="r1"/>'
    "</pic:pic></a:graphic></wp:inline>"
)
_SPACES = 'xmlns:wp="w" xmlns:a="a" xmlns:pic="p" xmlns:r="r" xmlns:p="p"'
_RELATIONS = '<Relationships>\n<Relationship Id="r1" Target={}/>\n</Relationships>'
DOCUMENTS = (
    ("a.epub", "OEBPS/one.xhtml", '<html xmlns="x">\n<p><img src="img/w0.png"/></p>\n</html>'),
    ("a.docx", "word/document.xml", f"<w {_SPACES}>\n{_PICTURE}\n{_PICTURE}\n</w>"),
    (
        "a.pptx",
        "ppt/slides/slide1.xml",
        f'<s {_SPACES}>\n<p:pic><p:nvPicPr><p:cNvPr id="1" name="x"/></p:nvPicPr>\n'
        '<p:blipFill><a:blip r:embed="r1"/></p:blipFill></p:pic>\n</s>',
    ),
)


def _member(dice: Random, number: int) -> str:
    plain = (f"annotations/{number}.json", f"{number}.json", "annotations", "a/b/c/d/e.txt")
    bad = (
        "../home/precious",
        "/etc/passwd",
        "a/../../home/precious",
        "C:\\x",
        "\\\\host\\x",
        "./.",
    )
    odd = (
        "link/precious",
        "a" * 300,
        "a\0b",
        "a\nb",
        "",
        "con",
        ".annotations.part",
        "a//b",
        "a/./b",
    )
    return dice.choice((*plain, *plain, *bad, *odd))


# ------------------------------------------------------------------------------------------ pages


CONSTRUCTS = (
    "{{< figure ", '{{< figure src="', "{% include image ", "image:a", "image::a[", "pass:[", "/[",
    ".. image:: a\n ", "import a\n", "`${", "<a b={", "{/**/", "<p>{a < ",
    ".. figure::\n   :alt: x\n",
)  # fmt: skip
"""What begins something in JSX, AsciiDoc, reStructuredText or a shortcode."""


def make_page(dice: Random, folder: Path, material: Material) -> Path:
    """A page of `hostile_pages`, beside its pictures, mutated as text and as bytes."""
    if dice.random() < 0.2:
        return make_document(dice, folder, material)
    (folder / "img").mkdir()
    for name in WANTED:
        (folder / "img" / name.replace("%20", " ")).write_bytes(material.picture)
    name = dice.choice(sorted(PAGES))
    text = PAGES[name]
    for mutation in dice.sample((*HARMLESS, *HARMFUL), dice.choice((0, 1, 2, 3))):
        text = mutation(text, dice)
    if dice.random() < 0.5:
        text = mutate_text(dice, text)
    if dice.random() < 0.03:
        text += dice.choice(("<div>", "> ", "![](", "<!--", "{{", "[", "`", *CONSTRUCTS)) * 20_000
    content = encode_strangely(dice, text)
    path = folder / name
    path.write_bytes(mutate_bytes(dice, content) if dice.random() < 0.4 else content)
    return path
