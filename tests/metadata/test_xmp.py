"""XMP packets: a text is put in and read back, and what others wrote stays to the byte."""

import subprocess
import time
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cutline.errors import WritingError
from cutline.metadata.provenance import ALT, DESCRIPTION, Found, Mark, clean_text, hash_text
from cutline.metadata.xmp import put_text, read_embedded, read_packet

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment, and a quote's "end" > here -->
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="uuid:1"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   xmp:Rating="4" darktable:note='a > b "c"'>
   <darktable:history>
    <r:Seq>
     <r:li darktable:num="0" darktable:params="gz02&#10;eJxjYGBg"/>
    </r:Seq>
   </darktable:history>
   <lr:hierarchicalSubject><r:Bag><r:li>Tiere|Hündin</r:li></r:Bag></lr:hierarchicalSubject>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
"""

ADOBE = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:c="urn:cutline:1.0/" xmlns:i="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
    xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
    c:TextHash="{hash}" c:Model="old" tiff:ImageDescription="a dog" tiff:Make="Ricoh">
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">a dog</rdf:li></rdf:Alt></dc:description>
   <i:AltTextAccessibility><rdf:Alt><rdf:li xml:lang="x-default">a dog</rdf:li></rdf:Alt>
   </i:AltTextAccessibility>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Rex</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>""".replace("{hash}", hash_text("a dog"))
"""Our text in somebody else's form, after their program has written the sidecar anew."""


def mark(text: str) -> Mark:
    return Mark(hash_text(text), "model", "f00d", "0.1.0", 0.5, "2026-11-23T10:12:00Z")


def put(packet: str | bytes | None, text: str, language: str = "en") -> bytes:
    packet = packet.encode() if isinstance(packet, str) else packet
    return put_text(packet, text, mark(text), language)


def test_a_new_packet_says_the_text_in_both_fields_and_languages():
    found = read_packet(put(None, "ein Hund", "de"))

    said = {"x-default": "ein Hund", "de": "ein Hund"}
    assert found == Found({DESCRIPTION: said, ALT: said}, hash_text("ein Hund"))
    assert found.human == ""
    assert found.holds("ein Hund", "de")
    assert not found.holds("ein Hund", "en")
    assert not found.holds("eine Katze", "de")


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_any_text_that_xml_can_hold_comes_back_as_it_was(text):
    try:
        text = clean_text(text)
    except WritingError:
        return

    assert read_packet(put(None, text)).texts[ALT] == {"x-default": text, "en": text}


def test_what_another_program_wrote_stays_byte_for_byte():
    after = put(DARKTABLE, "Hündin & <Katze>")

    place = DARKTABLE.encode().index(b" </r:RDF>")
    assert after.startswith(DARKTABLE.encode()[:place])
    assert after.endswith(DARKTABLE.encode()[place:])
    assert b'rdf:about="uuid:1"' in after
    assert read_packet(after).texts[DESCRIPTION]["en"] == "Hündin & <Katze>"


def test_a_later_text_takes_the_place_of_the_earlier_one():
    once = put(DARKTABLE, "a cat")

    assert put(put(DARKTABLE, "a dog"), "a cat") == once
    assert put(once, "a cat") == once
    assert put("\ufeff" + DARKTABLE, "a cat").decode() == "\ufeff" + once.decode()


def test_our_text_is_known_again_in_somebody_elses_form():
    before = read_packet(ADOBE.encode())
    after = put(ADOBE, "a cat")

    assert before.human == ""
    assert set(before.own) == {DESCRIPTION, ALT, "TIFF description"}
    assert b"a dog" not in after
    assert b'c:Model="old"' not in after
    assert b'tiff:Make="Ricoh"' in after
    assert b">Rex<" in after
    assert read_packet(after).holds("a cat", "en")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (">a dog<", ">my dog Rex<"),
        ('n="a dog"', 'n="Oma"'),
        ("x-default", "de"),  # nothing is changed but where it stands
    ],
)
def test_an_edited_text_is_a_humans(old, new):
    found = read_packet(ADOBE.replace(old, new, 1).encode())

    assert bool(found.human) == (old != "x-default")
    if found.human:
        with pytest.raises(WritingError, match="holds a person's text: the .* says"):
            put(ADOBE.replace(old, new, 1), "a cat")


def test_a_text_that_was_taken_away_does_not_come_back():
    start, end = ADOBE.index("<dc:description>"), ADOBE.index("</dc:description>")
    found = read_packet((ADOBE[:start] + ADOBE[end + 17 :]).encode())

    assert found.human == "somebody removed what cutline had written"


def test_an_empty_field_and_a_cameras_own_text_are_nobodys():
    empty = ADOBE.replace("a dog", " ").replace(hash_text("a dog"), "")
    camera = ADOBE.replace("a dog", "OLYMPUS DIGITAL CAMERA").replace(hash_text("a dog"), "")

    for packet in (empty, camera):
        assert read_packet(packet.encode()).human == ""
        assert read_packet(put(packet, "a cat")).holds("a cat", "en")


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + DARKTABLE.split("?>")[1], "has a DOCTYPE"),
        (DARKTABLE.encode("utf-16"), "is not UTF-8"),
        (DARKTABLE.replace("UTF-8", "ISO-8859-1").encode("latin-1"), "is in ISO-8859-1"),
        (DARKTABLE.encode("latin-1"), "is not XMP: not well-formed"),
        (DARKTABLE[:300], "is not XMP: "),
        ("", "is not XMP: no element found"),
        ("<html/>", "holds no rdf:RDF"),
    ],
)
def test_what_is_no_packet_is_answered_in_a_sentence(packet, sentence):
    with pytest.raises(WritingError, match=sentence):
        put(packet, "a cat")


def test_a_packet_built_otherwise_is_left_alone():
    nested = DARKTABLE.replace("</r:RDF>", "<r:RDF/></r:RDF>").replace("r:Desc", "r:Dosc")

    found = read_packet(nested.encode())

    assert found.texts == {}


@pytest.mark.slow
def test_a_packet_of_thirty_thousand_levels_is_read_in_a_moment():
    deep = DARKTABLE.replace("</r:RDF>", f"{'<a>' * 30_000}{'</a>' * 30_000}</r:RDF>")
    began = time.monotonic()

    assert read_packet(deep.encode()).texts == {}
    assert time.monotonic() - began < 5


def test_a_picture_says_what_pillow_finds_in_it(tmp_path):
    exif = Image.Exif()
    exif[270] = "Oma"
    for suffix in ("jpg", "png", "webp", "tif"):
        path = tmp_path / f"a.{suffix}"
        options = {} if suffix == "tif" else {"xmp": put(None, "a dog")}
        Image.new("RGB", (8, 8)).save(path, exif=exif, **options)

        found = read_embedded(path)

        assert found.texts["EXIF description"] == {"x-default": "Oma"}
        assert found.human == "the EXIF description says 'Oma'"
        assert found.text_hash == (hash_text("a dog") if options and suffix != "png" else "")
    Image.new("RGB", (8, 8)).save(tmp_path / "broken.jpg", exif=exif, xmp=b"<broken")
    assert read_embedded(tmp_path / "broken.jpg").human == "the EXIF description says 'Oma'"
    (tmp_path / "no.jpg").write_bytes(b"nothing")
    assert read_embedded(tmp_path / "no.jpg") == Found()


@pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
@pytest.mark.parametrize("packet", [None, DARKTABLE, ADOBE])
def test_exiftool_finds_nothing_wrong_with_it(packet, tmp_path):
    (tmp_path / "a.xmp").write_bytes(put(packet, 'a "dog" & ä <cat>'))

    told = subprocess.run(
        ["exiftool", "-validate", "-warning", "-a", "-s3", "-description", tmp_path / "a.xmp"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert told == ["OK", 'a "dog" & ä <cat>']
