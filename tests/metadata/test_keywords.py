"""Keywords are added to those of a person, in every field and form, and go again."""

import json
import subprocess
from pathlib import Path
from shutil import which

import pytest

from albums import content_of, draw, line
from cutline.errors import WritingError
from cutline.metadata.keywords import (
    HIERARCHY,
    IN_XMP,
    IPTC,
    SUBJECT,
    TAGS,
    Keywords,
    add_keywords,
    keywords_of,
)
from cutline.metadata.undo_journal import undo
from cutline.metadata.writer import write
from cutline.metadata.xmp import read_embedded, read_packet

needs_exiftool = pytest.mark.skipif(not which("exiftool"), reason="ExifTool is not installed")
FIELDS = ("-XMP-dc:Subject", "-XMP-digiKam:TagsList", "-IPTC:Keywords")


def wrote(*lines: dict[str, object], form: str = "xmp", keywords: bool = True, **options):
    journal = Path(str(lines[0]["path"])).parent / "undo.jsonl"
    return list(write(lines, form=form, journal=journal, apply=True, keywords=keywords, **options))


def in_sidecar(picture: Path) -> Keywords:
    return read_packet(picture.with_name(f"{picture.name}.xmp").read_bytes()).keywords


def exiftool(path: Path, *arguments: str) -> str:
    command = ["exiftool", "-q", *arguments, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_keywords_are_the_plain_nouns_of_a_caption():
    assert keywords_of("Two puppies and a dog run on the beach.") == ("dog", "beach")
    assert keywords_of("it is big and blue") == ()


def test_keywords_are_added_to_those_of_a_person_once():
    held = Keywords({SUBJECT: ("Rex", "Dog")})

    added = add_keywords(("dog", "beach"), held, IN_XMP)

    assert added.fields == {SUBJECT: ("Rex", "Dog", "beach"), TAGS: ("Rex", "Dog", "beach")}
    assert added.added == ("beach",)


def test_a_new_caption_replaces_the_keywords_of_the_old_one_only():
    held = Keywords(dict.fromkeys(IN_XMP, ("Rex", "dog", "beach")), ("dog", "beach"))

    added = add_keywords(("cat", "beach"), held, IN_XMP)

    assert added == Keywords(dict.fromkeys(IN_XMP, ("Rex", "cat", "beach")), ("cat", "beach"))
    assert add_keywords((), held, IN_XMP) == Keywords(dict.fromkeys(IN_XMP, ("Rex",)))


def test_a_keyword_that_a_person_removed_does_not_come_back():
    held = Keywords({SUBJECT: ("beach",), TAGS: ("dog", "beach")}, ("dog", "beach"))

    once = add_keywords(("dog", "beach"), held, IN_XMP)

    assert once.fields == dict.fromkeys(IN_XMP, ("beach",))
    assert add_keywords(("dog", "beach"), once, IN_XMP).hold(once, IN_XMP)


def test_a_field_without_keywords_gets_those_that_the_picture_has_elsewhere():
    beside = Keywords({HIERARCHY: ("Tiere|Rex",), IPTC: ("Oma", "x" * 65)})

    added = add_keywords(("dog",), Keywords(), (*IN_XMP, IPTC), beside)

    assert added.fields[SUBJECT] == ("Oma", "x" * 65, "dog")
    assert added.fields[TAGS] == ("Tiere/Rex", "dog")
    assert added.fields[IPTC] == ("Oma", "dog")
    assert add_keywords((), Keywords(), IN_XMP, beside) == Keywords()


def test_a_sidecar_gets_keywords_keeps_others_and_undo_restores_it(tmp_path):
    picture = draw(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    wrote(line(picture, "a cat"), keywords=False)
    persons = "<dc:subject><rdf:Bag><rdf:li>Möhre &amp; Rex</rdf:li></rdf:Bag></dc:subject>"
    end = "</rdf:Description>"
    sidecar.write_text(sidecar.read_text("utf8").replace(end, persons + end), "utf8")
    before = sidecar.read_bytes()

    [event] = wrote(line(picture, "a dog on grass"))
    assert event.as_json()["keywords"] == ["dog", "grass"]
    assert in_sidecar(picture).fields == dict.fromkeys(IN_XMP, ("Möhre & Rex", "dog", "grass"))
    assert [e.action for e in wrote(line(picture, "a dog on grass"))] == ["unchanged"]
    wrote(line(picture, "a ball"), keywords=False)
    assert in_sidecar(picture).added == ("dog", "grass")  # not asked for: left as they are
    wrote(line(picture, "a ball"))
    assert in_sidecar(picture).fields[TAGS] == ("Möhre & Rex", "ball")

    undone = list(undo(tmp_path / "undo.jsonl", apply=True))
    assert [each.action for each in undone] == ["restored"] * 3 + ["kept"]  # what was edited
    assert sidecar.read_bytes() == before


def test_a_persons_caption_gives_keywords_without_the_mark_of_the_model(tmp_path):
    picture = draw(tmp_path / "a.jpg")

    wrote({**line(picture, "my dog Rex"), "by": "human"})

    found = read_packet((tmp_path / "a.jpg.xmp").read_bytes())
    assert (found.text_hash, found.keywords.fields[SUBJECT]) == ("", ("dog",))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"form": "txt"}, "text files hold no keywords"), ({"language": "de"}, "English captions")],
)
def test_where_there_are_no_keywords_the_error_says_so(tmp_path, options, sentence):
    with pytest.raises(WritingError, match=sentence):
        wrote(line(draw(tmp_path / "a.jpg"), "a dog"), **options)


@needs_exiftool
@pytest.mark.parametrize(
    "suffix",
    ["jpg", *(pytest.param(name, marks=pytest.mark.slow) for name in ("png", "tif", "webp"))],
)
def test_a_picture_gets_keywords_that_exiftool_reads_and_undo_restores_it(tmp_path, suffix):
    picture = draw(tmp_path / f"a.{suffix}")
    if suffix != "webp":  # ExifTool 12.57 writes no WebP
        exiftool(picture, "-overwrite_original", "-XMP-dc:Subject=Möhre & <Rex>")
    persons = [] if suffix == "webp" else ["Möhre & <Rex>"]
    before = content_of(tmp_path)

    for caption, nouns in (("a dog on grass", ["dog", "grass"]), ("a ball", ["ball"])):
        assert [e.action for e in wrote(line(picture, caption), form="embed")] == ["written"]
        assert [e.action for e in wrote(line(picture, caption), form="embed")] == ["unchanged"]
        [said] = json.loads(exiftool(picture, "-j", "-G1", *FIELDS))
        assert said["XMP-dc:Subject"] in ([*persons, *nouns], nouns[0])
        assert said["XMP-digiKam:TagsList"] in ([*persons, *nouns], nouns[0])
        has_iptc = suffix == "jpg"
        assert said.get("IPTC:Keywords") == ([*persons, *nouns] if has_iptc else None)

    assert {each.action for each in undo(tmp_path / "undo.jsonl", apply=True)} == {"restored"}
    assert content_of(tmp_path) == before


@needs_exiftool
def test_keywords_in_a_picture_are_read_without_exiftool_too(tmp_path):
    picture = draw(tmp_path / "a.jpg")
    exiftool(picture, "-overwrite_original", "-IPTC:Keywords=Oma", "-IPTC:Keywords=Rex")

    wrote(line(picture, "a dog"))

    assert read_embedded(picture).keywords.fields == {IPTC: ("Oma", "Rex")}
    assert in_sidecar(picture).fields == dict.fromkeys(IN_XMP, ("Oma", "Rex", "dog"))
