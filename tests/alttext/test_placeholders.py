"""Placeholders are told from texts, and replaced in their place; links are left to a person."""

import json
from pathlib import Path

import pytest

from cutline.alttext.audit import State
from cutline.alttext.edit import Change, fill
from cutline.alttext.placeholders import is_placeholder
from sites import Double, draw_site


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with pictures."""
    return draw_site(tmp_path)


TEXTS = [
    "A dog", "dog", "Logo", "NASA", "T-shirt", "route66", "HTML5", "2019", "COVID-19",
    "Image of a dog", "Photographs by Ansel Adams", "The photo album",
    "Pictures at an Exhibition", "P50", "?", "→", "IMG Worlds of Adventure",
    "How to open a file.png", "Screenshot of the settings", "Bildung", "Alternative",
    "Picture 1 shows the sea", "dog_owner at the sea", "P 2000 pump", "Photographer",
]  # fmt: skip
PLACEHOLDERS = [
    "...", "-", "…", "***", "image", "Image", "IMAGES", "img", "picture", "Photo", "photo 12",
    "image-3", "image (1)", "Image:", "an image", "alt", "alt text", "Alt-Text",
    "image description", "enter image description here", "insert image here", "image alt text",
    "placeholder", "untitled", "todo", "null", "undefined", "IMG_1234", "IMG_1234.JPG",
    "DSC00123", "DSC_0042-edited", "_MG_2001", "PXL_20230101_101010101", "20190304_101112",
    "P1000123", "DJI_0001", "Screenshot 2024-01-01 at 10.00.00", "image-20200101123456789",
    "photo.jpg", "hero_banner.webp", "a3f8b1c2-1234-5678-9abc-def012345678",
    "d41d8cd98f00b204e9800998ecf8427e", "Bild", "Foto 2",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_short_or_odd_text_is_still_a_text(text):
    assert not is_placeholder(text, "img/a.png")


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_none(text):
    assert is_placeholder(text)
    assert is_placeholder(f"\n  {text} ")


def test_the_name_of_the_file_is_a_placeholder_if_it_looks_like_a_name():
    assert is_placeholder("team_2", "/img/team_2.jpg?v=3")
    assert is_placeholder("my dog.jpg", "my%20dog.jpg")
    assert is_placeholder("golden-gate-bridge", "golden-gate-bridge.jpg")
    assert not is_placeholder("dog", "dog.jpg")
    assert not is_placeholder("t-shirt", "t-shirt.jpg")
    assert not is_placeholder("golden-gate-bridge", "other.jpg")


def fill_one(site: Path, page: str, name: str, **options) -> Change:
    (site / name).write_bytes(page.encode())
    *_, change = fill([site / name], Double().caption_each, **options)
    return change


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a.html", '<img src="dog.png" alt="IMG_1234" id=d>',
         '<img src="dog.png" alt="A dog." id=d>'),
        ("a.html", "<img ALT = ' image\n' src=dog.png>", "<img ALT = ' A dog.\n' src=dog.png>"),
        ("a.html", "<img src='dog.png' alt=dog.png/>", "<img src='dog.png' alt='A dog.'"),
        ("a.html", '<img alt="..." src="dog.png">\r\n', '<img alt="A dog." src="dog.png">\r\n'),
        ("a.html", '<html lang=fr><img alt="image" src="dog.png">',
         '<html lang=fr><img alt="A dog." lang="en" src="dog.png">'),
        ("a.md", "![image](dog.png)", "![A dog.](dog.png)"),
        ("a.md", "x ![ dog.png ](dog.png){: .wide}", "x ![ A dog. ](dog.png){: .wide}"),
        ("a.md", '<img src="dog.png" alt="image">', '<img src="dog.png" alt="A dog.">'),
    ],
)  # fmt: skip
def test_a_placeholder_is_replaced_in_its_place_if_that_is_wished(site, name, before, after):
    left = fill_one(site, before, name)
    filled = fill_one(site, before, name, placeholders=True)

    assert left.is_empty
    assert [picture.state for picture in left.pictures] == [State.PLACEHOLDER]
    assert "placeholder" in left.pictures[0].why
    if after.endswith("'A dog.'"):  # a bare value takes what follows it
        assert filled.content.decode().startswith(after)
    else:
        assert filled.content.decode() == after
    assert filled.diff.count(b"\n+") >= 1


def test_a_placeholder_that_should_go_is_not_replaced(site):
    page = '<a href=x><img src=dog.png alt=image> Home</a><img src=tiny.png alt="image">'

    change = fill_one(site, page, "a.html", placeholders=True)

    assert change.is_empty
    assert [p.why.partition("; ")[2] for p in change.pictures] == [
        "its link has text: it needs none",
        "it is at most two pixels wide or high: it needs none",
    ]


def test_a_picture_that_is_all_of_a_link_is_never_captioned(site):
    double = Double()
    (site / "a.html").write_text(
        "<a href=/><img src=dog.png></a><a href=/><img src=//x.org/y.png></a>"
        "<button><img src=cat.png alt=IMG_1234></button><a href=/><img src=dog.png alt=Home></a>"
    )
    (site / "b.md").write_text("[![](dog.png)](/) [![image](cat.png)](/)\n")

    options = {"placeholders": True, "fetch": lambda _: b"12345"}
    changes = [e for e in fill([site], double.caption_each, **options) if isinstance(e, Change)]

    assert double.seen == []
    assert all(change.is_empty for change in changes)
    assert [p.state for change in changes for p in change.pictures] == [
        "functional", "functional", "functional", "present", "functional", "functional",
    ]  # fmt: skip
    assert "write what that does" in changes[0].pictures[0].why


def test_a_link_is_named_by_another_picture_in_it(site):
    page = '<a href=/><img src=dog.png alt="Home"><img src=cat.png></a>'

    assert [p.state for p in fill_one(site, page, "a.html").pictures] == ["present", "decorative"]


def test_one_empty_text_in_a_link_is_named_not_each(site):
    page = '<a href=/><img src=dog.png alt=""><img src=cat.png alt=""></a>'

    assert [p.state for p in fill_one(site, page, "a.html").pictures] == [
        "functional",
        "decorative",
    ]


def test_check_names_placeholders_and_links_with_the_reason(run, site):
    (site / "a.html").write_text("<img src=dog.png alt=image>\n<a href=/><img src=cat.png></a>\n")

    code, out, err = run("alt", site / "a.html", "--check")

    assert (code, err) == (1, "2 missing alt texts\n")
    assert out.splitlines() == [
        f'{site}/a.html:1: dog.png: its alt text is a placeholder: "image"',
        f"{site}/a.html:2: cat.png: it is all that its link or button contains: "
        "write what that does",
    ]


def test_the_command_replaces_placeholders_only_if_asked(run, tiny, site, monkeypatch):
    monkeypatch.chdir(site)
    Path("a.html").write_text("<img src=dog.png alt=image>\n<a href=/><img src=cat.png></a>\n")
    options = ("-m", tiny, "--any-picture", "--min-confidence", 0, "--style", "sentence")

    code, out, err = run("alt", "a.html", *options)
    assert (code, out) == (0, "")
    assert "1 with a placeholder (--placeholders replaces them), 1 for a person to write" in err
    assert "a.html:2: cat.png: it is all that its link" in err

    code, out, _ = run("alt", "a.html", *options, "--placeholders", "--apply", "--json")
    assert code == 0
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["filled", "functional"]
    assert "alt=image" not in Path("a.html").read_text()
