"""The page of captions: what the file says is in it as it was said, and nothing of it can run."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from PIL import Image

from albums import draw, write_lines
from conftest import ROOT
from cutline.errors import CutlineError, DataError
from cutline.images.load import View
from cutline.inference.captioner import load
from cutline.inference.library import CaptionOptions, caption_library
from cutline.io.predictions import (
    Candidate,
    PictureLocator,
    Prediction,
    Word,
    find_references,
    read_captions,
)
from cutline.reports.captions import write_report
from cutline.reports.gallery import PAGE_SIZE, name_region, split_words
from cutline.reports.thumbnails import SIDE, Progress, draw_thumbnail

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- \"quoted\" 'too' &amp; <b>",
    "a dog \U0001f436\u200d\U0001f9ba and \u05db\u05dc\u05d1 \u202e",
    "line\u2028separator \\u003c",
]


class Page(HTMLParser):
    """What a browser would make of a page: its scripts, data and visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.data, self.captions, self._inside = 0, [], [], ""
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self._inside = told.get("class") or told.get("type") or tag
        self.scripts += tag == "script" and "type" not in told
        self.addresses += [v for k, v in attrs if k in ("src", "href")]
        if self._inside == "caption":
            self.captions.append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, text):
        if self._inside == "cards":
            self.data += json.loads(text)
        if self._inside == "caption":
            self.captions[-1] += text


def make(tmp_path, *lines, **options) -> Page:
    captions, out = tmp_path / "captions.jsonl", tmp_path / "report.html"
    captions.write_text("\n".join(map(json.dumps, lines)))
    *_, last = write_report(captions, out, **options)
    assert last == Progress(len(lines), len(lines))
    assert [p.name for p in tmp_path.glob(".*")] == []
    return Page(out.read_text(encoding="utf8"))


def test_hostile_captions_come_out_as_they_went_in(tmp_path):
    lines = [
        {"path": f"{n}.jpg", "caption": text, "words": [{"word": text, "probability": 0.5}]}
        for n, text in enumerate(HOSTILE)
    ]

    page = make(tmp_path, *lines)

    assert page.scripts == 1
    assert page.addresses == []
    assert page.captions == HOSTILE
    assert [card["lines"][0][0][0] for card in page.data] == HOSTILE


def test_a_line_may_lack_all_but_path_and_caption(tmp_path):
    page = make(tmp_path, {"path": "a.jpg", "caption": "a dog"}, {"path": "b.jpg", "error": "ill"})

    assert page.captions == ["a dog"]
    assert page.data[0]["lines"] == [[]]
    assert page.data[1]["lines"] == []


def test_a_picture_that_cannot_be_read_is_shown_by_its_reason(tmp_path):
    shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path / "cat.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "cat.jpg").read_bytes()[:2000])
    names = ["cat.jpg", "half.jpg", "gone.jpg", "\udce9.jpg"]

    page = make(tmp_path, *({"path": name, "caption": "a cat"} for name in names))

    cat, half, gone, odd = page.data
    assert cat["picture"].startswith("data:image/webp;base64,")
    assert "half.jpg" in half["wrong"]
    assert "gone.jpg does not exist" in gone["wrong"]
    assert "does not exist" in odd["wrong"]


def test_words_carry_probability_place_and_gaze(tmp_path):
    gaze = [0] * 42 + [100, 900] + [0] * 5
    words = [{"word": "dog", "probability": 0.62, "gaze": gaze}, {"word": "'s"}, {"word": "toy"}]

    page = make(tmp_path, {"path": "a.jpg", "caption": "dog's toy", "words": words})

    [[dog, s, toy]] = page.data[0]["lines"]
    assert dog == ["dog", 62, "lower left", "A" * 42 + "H/" + "A" * 5, 0]
    assert (s[0], toy[0]) == ("'s", " toy")


def test_references_bring_scores_to_each_picture(tmp_path):
    lines = [
        {"path": "album/one.jpg", "caption": "a dog runs on the grass"},
        {"path": "album/two.jpg", "caption": "a man on a horse"},
        {"path": "album/three.jpg", "caption": "nobody wrote about this"},
    ]
    references = {"one.jpg": ["a dog runs on the grass"], "two": ["a red car"]}

    make(tmp_path, *lines, references=references)

    page = (tmp_path / "report.html").read_text()
    [best] = re.findall(r'data-score="([^"]+)"[^>]*><h2 dir="auto">one', page)
    assert float(best) == pytest.approx(10)  # CIDEr-D of a caption that is its reference
    assert page.count("data-score") == 2
    assert "references: 1" in page
    assert 'All in <code dir="auto">album/</code>' in page


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{half", "broken JSON"),
        ("[1]", "a line must be a JSON object"),
        ('{"caption": "a dog"}', "no path"),
        ('{"path": "a.jpg", "caption": null}', "neither a caption nor an error"),
        (
            '{"path": "a.jpg", "caption": "a", "model": {"view": {"fit": "crob"}}}',
            "did you mean 'crop'?",
        ),
        ('{"path": "a.jpg"}', "neither a caption nor an error"),
        (
            '{"path": "a.jpg", "caption": "a", "confidence": 2}',
            "the confidence must be from 0 to 1, not 2",
        ),
        (
            '{"path": "a.jpg", "caption": "a", "confidence": NaN}',
            "the confidence must be from 0 to 1, not nan",
        ),
        ('{"path": "a.jpg", "caption": "a", "words": ["a"]}', "a word must be"),
        ('{"path": "a.jpg", "caption": "a", "best": [1]}', "neither a caption"),
        (
            '{"path": "a.jpg", "caption": "a", "words": [{"word": "a", "gaze": [1, 2]}]}',
            "not a square number",
        ),
    ],
)
def test_a_line_that_is_none_is_named_by_its_number(line, sentence, tmp_path):
    (tmp_path / "captions.jsonl").write_text(
        '{"path": "a.jpg", "caption": "a dog"}\n\n' + line + "\n"
    )

    with pytest.raises(DataError, match=rf"captions.jsonl, line 3: .*{re.escape(sentence)}"):
        read_captions(tmp_path / "captions.jsonl")


def test_an_empty_file_is_one_sentence_and_makes_no_page(run, tmp_path):
    (tmp_path / "captions.jsonl").write_text("\n")

    code, _, err = run("report", tmp_path / "captions.jsonl", "-o", tmp_path / "report.html")

    assert code == 1
    assert "captions.jsonl is empty" in err
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def captioner():
    return load()


@pytest.fixture
def album(tmp_path):
    """Two photographs, a damaged one between them."""
    folder = tmp_path / "album"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "cat.jpg", folder / "one.jpg")
    (folder / "three.jpg").write_bytes(b"no picture")
    shutil.copy(ROOT / "examples" / "coffee.jpg", folder / "two.jpg")
    return folder


def test_a_page_that_cannot_be_written_is_one_sentence(run, tmp_path):
    (tmp_path / "captions.jsonl").write_text('{"path": "a.jpg", "caption": "a dog"}')
    (tmp_path / "folder").mkdir()

    for out in (tmp_path / "folder", tmp_path / "captions.jsonl" / "page.html"):
        code, _, err = run("report", tmp_path / "captions.jsonl", "-o", out)

        assert code == 1
        assert err.splitlines()[-1].startswith(f"cutline: {out} cannot be written: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.jsonl", "folder"]


def test_captions_of_the_command_line_become_a_page(run, album, tmp_path):
    _, out, _ = run("caption", album, "--json", "--best", "2", "--gaze")
    (tmp_path / "captions.jsonl").write_text(out)

    code, _, err = run("report", tmp_path / "captions.jsonl", "-o", tmp_path / "page.html")

    page = Page((tmp_path / "page.html").read_text())
    assert code == 0
    assert "page.html: " in err
    assert [len(card["others"]) for card in page.data] == [1, 0, 1]
    assert len(page.data[0]["lines"][0][0][3]) == 49
    assert ["picture" in card for card in page.data] == [True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_every_file_of_a_library_becomes_a_page(suffix, captioner, album, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    sure = captioner.caption(album / "one.jpg")
    unsure = captioner.caption(album / "two.jpg")
    bound = (sure.confidence + unsure.confidence) / 2
    if sure.confidence < unsure.confidence:
        sure, unsure = unsure, sure
    out = tmp_path / f"captions{suffix}"
    list(caption_library(captioner, [str(album)], out, CaptionOptions(min_confidence=bound)))

    told = read_captions(out)
    list(write_report(out, tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert [each.caption.text for each in told if each.caption] == [sure.text]
    assert [each.error for each in told if each.error] == [str(told[1].error)]
    [left] = [each for each in told if each.left_out]
    assert left.confidence == pytest.approx(unsure.confidence, abs=1e-4)
    assert f"left out: {left.left_out}" in page
    assert "3 pictures, 1 could not be captioned, 1 left out" in page


def test_the_file_tells_how_the_model_saw_its_pictures(captioner, album, tmp_path):
    out = tmp_path / "captions.jsonl"
    list(caption_library(captioner, [str(album)], out))
    assert read_captions(out)[0].model.view == captioner.engine.view == View()
    (album / "captions.jsonl").write_text(out.read_text().replace("squash", "crop"))

    list(write_report(album / "captions.jsonl", tmp_path / "told.html"))
    list(write_report(out, tmp_path / "asked.html", view=View(fit="crop")))
    list(write_report(out, tmp_path / "whole.html"))

    told, asked, whole = (
        Page((tmp_path / f"{name}.html").read_text()).data[0] for name in ("told", "asked", "whole")
    )
    assert told["boxes"] == asked["boxes"]
    assert [round(right - left, 2) for left, _, right, _ in told["boxes"]] == [0.88]  # of a square
    assert "boxes" not in whole


def test_results_in_cocos_form_find_their_pictures_by_number(tmp_path):
    images = tmp_path / "val2014"
    images.mkdir()
    shutil.copy(ROOT / "examples" / "cat.jpg", images / "COCO_val2014_000000000042.jpg")
    results = tmp_path / "captions_val2014_cutline_results.json"
    results.write_text(json.dumps([{"image_id": 42, "caption": "a cat"}]))

    list(write_report(results, tmp_path / "page.html", images=images))

    page = Page((tmp_path / "page.html").read_text())
    assert page.captions == ["a cat"]
    assert "picture" in page.data[0]


def test_of_lines_of_one_picture_the_last_counts_and_half_a_line_at_the_end_is_none(tmp_path):
    file = tmp_path / "captions.jsonl"
    file.write_text(
        '{"path": "a.jpg", "caption": "one"}\n{"path": "a.jpg", "caption": "two"}\n{"path": "b.j'
    )

    assert read_captions(file) == [Prediction("a.jpg", Candidate("two"))]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"image,caption\na.jpg,a dog\n", r"has no column 'path'; as `cutline caption --out`"),
        (
            b"path,caption,confidence\na.jpg,a dog,much\n",
            "line 2: the confidence must be from 0 to 1, not 'much'",
        ),
        (
            b"path,caption,confidence\na.jpg,a dog,7\n",
            "line 2: the confidence must be from 0 to 1, not '7'",
        ),
        (b"path,caption\n,a dog\n", "line 2: no path"),
        (b"path,caption\na.jpg,un caf\xe9\n", "line 2: the caption is not text in UTF-8"),
        (b'path,caption\na.jpg,"a dog\n', "is not a CSV table: unexpected end of data"),
        (b"", "has no column 'path'"),
        (b"path,caption\n", "is empty"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(content, sentence, tmp_path):
    (tmp_path / "captions.csv").write_bytes(content)

    with pytest.raises(DataError, match=rf"captions.csv.*{sentence}"):
        read_captions(tmp_path / "captions.csv")


def test_parquet_that_is_none_or_cannot_be_read_is_one_sentence(monkeypatch, tmp_path):
    pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    file = tmp_path / "captions.parquet"
    file.write_bytes(b"no table")

    with pytest.raises(DataError, match=r"captions.parquet cannot be read as Parquet: "):
        read_captions(file)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CutlineError, match=r"Parquet needs pyarrow: pip install"):
        read_captions(file)


@pytest.mark.parametrize(
    ("gaze", "place"),
    [
        ([1.0] + [0.0] * 48, "upper left"),
        ([0.0] * 24 + [1.0] + [0.0] * 24, "middle"),
        ([0.0] * 27 + [1.0] + [0.0] * 21, "right"),
        ([1 / 49] * 49, "all over"),
        ([1.0], ""),
        ([], ""),
        ([0.0] * 49, ""),
    ],
)
def test_where_a_word_looked_is_told_in_words(gaze, place):
    assert name_region(gaze) == place


def test_words_that_are_not_in_the_text_are_spelt_with_spaces():
    candidate = Candidate("a cat", words=(Word("a"), Word("dog"), Word("cat")))

    assert [gap + word.word for gap, word in split_words(candidate)] == ["a", " dog", " cat"]


def test_words_are_spelt_as_their_sentence_has_them():
    words = tuple(map(Word, ("a", "man", "'s", "hat", "is", "a", "hat")))

    told = list(split_words(Candidate("A man's hat is a hat.", words=words)))

    assert "".join(gap + word.word for gap, word in told) == "A man's hat is a hat."
    assert [word.word for _, word in told] == ["A", "man", "'s", "hat", "is", "a", "hat."]


def test_a_picture_is_found_as_named_beside_the_file_or_where_they_are_now(tmp_path):
    for place in ("beside", "now"):
        (tmp_path / place).mkdir()
        (tmp_path / place / f"{place}.jpg").write_bytes(b"")
    file, now = tmp_path / "beside" / "captions.jsonl", tmp_path / "now"

    assert PictureLocator(file).find("beside.jpg") == tmp_path / "beside" / "beside.jpg"
    assert PictureLocator(file, now).find("C:\\album\\now.jpg") == now / "now.jpg"
    assert PictureLocator(file).find(str(now / "now.jpg")) == now / "now.jpg"
    assert PictureLocator(file, now).find("now") == now / "now.jpg"
    assert str(PictureLocator(file, now).find("gone.jpg")) == "gone.jpg"
    (now / "inner").mkdir()
    (now / "inner" / "now.jpg").write_bytes(b"")
    for named in ("album/inner/now.jpg", "/mnt/album/inner/now.jpg"):
        assert PictureLocator(file, now).find(named) == now / "inner" / "now.jpg"
    with pytest.raises(DataError, match="nowhere cannot be read"):
        PictureLocator(file, tmp_path / "nowhere").find("gone.jpg")


def test_references_are_found_by_path_name_stem_or_cocos_number():
    references = {"a/b.jpg": ["path"], "b.jpg": ["name"], "c": ["stem"], "391895": ["number"]}

    found = [
        find_references(name, references)
        for name in ("a/b.jpg", "x/b.jpg", "x/c.png", "COCO_val2014_000000391895.jpg", "d.jpg")
    ]

    assert found == [("path",), ("name",), ("stem",), ("number",), ()]


@pytest.mark.parametrize(("orientation", "size"), [(1, (SIDE, SIDE // 2)), (6, (SIDE // 2, SIDE))])
def test_a_thumbnail_is_upright_and_in_proportion(orientation, size, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (600, 300), "red").save(tmp_path / "a.jpg", exif=exif)

    small = draw_thumbnail(tmp_path / "a.jpg")

    assert (small.width, small.height) == size


def test_captioning_does_not_import_the_template_engine():
    modules = "cutline.cli.caption, cutline.inference.captioner, cutline.inference.library"
    code = f"import sys, {modules}; sys.exit('jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_many_pictures_are_on_several_pages_that_lead_to_each_other(tmp_path):
    path = tmp_path / "captions.jsonl"
    names = [f"gone/{number}.png" for number in range(PAGE_SIZE + 2)]
    path.write_text("".join(json.dumps({"path": n, "caption": "a dog"}) + "\n" for n in names))

    *_, last = write_report(path, tmp_path / "page.html")

    assert last == Progress(PAGE_SIZE + 2, PAGE_SIZE + 2)
    pages = [Page((tmp_path / name).read_text()) for name in ("page.html", "page-2.html")]
    assert [len(page.captions) for page in pages] == [PAGE_SIZE, 2]
    assert "page-2.html" in pages[0].addresses and "page.html" in pages[1].addresses

    (tmp_path / "page-2.html").write_text("somebody's")
    with pytest.raises(DataError, match="page-2.html exists, and is not known to be cutline's"):
        next(write_report(path, tmp_path / "page.html"))


def test_a_persons_captions_are_shown_as_such_even_before_a_run_has_marked_them(
    run, tiny, tmp_path
):
    pictures = [draw(tmp_path / f"{name}.png", seed) for seed, name in enumerate("abc")]
    out = tmp_path / "captions.jsonl"
    run("caption", *pictures, "--model", tiny, "--out", out)
    first, second, third = map(json.loads, out.read_text().splitlines())
    existing = {"field": "IPTC caption", "file": "b.png"}
    write_lines(
        out,
        [
            {**first, "caption": "my cat"},
            {"path": second["path"], "caption": "Oma", "existing": existing},
            third,
        ],
    )

    list(write_report(out, tmp_path / "report.html"))

    page = Page((tmp_path / "report.html").read_text())
    text = (tmp_path / "report.html").read_text()
    assert page.captions[:2] == ["my cat", "Oma"]
    assert [card["alt"] for card in page.data][:2] == ["my cat", "Oma"]
    assert page.data[2]["alt"].endswith("(machine-written)")
    assert [w[0].strip() for w in page.data[0]["lines"][0]] == []  # the model's words are not shown
    assert "by a person (2)" in text and text.count("data-human") == 2
    assert '<p class="label human">edited</p>' in text
    assert "the picture&#39;s IPTC caption" in text
