"""What is in a data set: the figures are those of the data, and the page is one file."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from cutline.reports.dataset import Progress, Summary, format_summary, render_summary, summarize
from cutline.types import Example

CAPTIONS = {
    "one": ("a dog runs", "a dog runs fast"),
    "two": ("a dog & a <cat>",),
    "three": ("a bird",),
}


@pytest.fixture
def examples(tmp_path):
    found = []
    for number, (name, captions) in enumerate(CAPTIONS.items()):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (20, 10), (40 * number, 0, 0)).save(path)
        split = ("train", "train", "validation")[number]
        found.append(Example(name, path, captions, split))
    shutil.copy(tmp_path / "one.png", tmp_path / "copy.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "two.png").read_bytes()[:40])
    found.append(Example("copy", tmp_path / "copy.png", ("a dog",), "test"))
    found.append(Example("broken", tmp_path / "broken.png", ("nothing",), "train"))
    return found


@pytest.fixture
def summary(examples) -> Summary:
    *looked, summary = summarize(examples)
    assert looked[-1] == Progress(5, 5)
    return summary


def test_the_figures_are_those_of_the_data(summary, examples):
    assert summary.pictures == {"train": 3, "validation": 1, "test": 1}
    assert summary.captions == {"train": 4, "validation": 1, "test": 1}
    assert summary.lengths == {1: 1, 2: 2, 3: 1, 4: 1, 5: 1}
    assert summary.words[0] == ("a", 4)
    assert dict(summary.words)["dog"] == 3
    assert "bird" not in dict(summary.words)  # only training captions make a vocabulary
    count, share = summary.vocabulary[3]
    assert (count, share) == (2, 7 / sum(count for _, count in summary.words))


def test_damage_and_duplicates_across_splits_are_named(summary):
    [sentence] = summary.damaged
    assert "broken.png" in sentence
    assert [[e.image.name for e in group] for group in summary.duplicates] == [
        ["one.png", "copy.png"]
    ]
    told = format_summary(summary)
    assert "damaged pictures: 1\n" in told
    assert "one.png (train) = copy.png (test)" in told


class Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images, self.addresses = 0, []

    def handle_starttag(self, tag, attrs):
        self.images += tag == "img"
        self.addresses += [v for k, v in attrs if k in ("src", "href") and v.startswith("http")]


def test_the_page_is_one_file_with_every_picture_in_it(summary, examples):
    page = "".join(render_summary(summary, examples, "A <title>"))

    checker = Checker()
    checker.feed(page)
    assert checker.images == 4  # the broken one cannot be shown
    assert checker.addresses == []
    assert page.count("broken.png is damaged") == 2  # in the list and in place of the picture
    assert "a dog &amp; a &lt;cat&gt;" in page
    assert re.search(r"<h1>A &lt;title&gt;</h1>", page)


def test_an_axis_of_lengths_has_no_gaps(summary, examples):
    page = "".join(render_summary(replace(summary, lengths={2: 5, 6: 1}), examples, "lengths"))

    assert [f"<title>{n}: {count}</title>" in page for n, count in ((3, 0), (6, 1), (7, 0))] == [
        True,
        True,
        False,
    ]


def test_show_writes_the_table_and_the_page(run, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("image,caption,split\na.png,a thing,train\n")

    code, out, _ = run("data", "show", tmp_path, "--out", tmp_path / "page.html")

    assert code == 0
    assert re.search(r"train +1 +1", out)
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()
