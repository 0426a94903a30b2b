"""Whatever a page is like: only alt texts are added, at the right images, and only once."""

import re
import time
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from cutline.alttext.audit import State
from cutline.alttext.edit import Change, apply, fill
from cutline.alttext.markdown import read_markdown
from cutline.alttext.pages import Skipped
from cutline.errors import DataError, ImageError
from cutline.types import Caption
from hostile_pages import PAGES, WELL_FORMED, make_pages

HOSTILE = make_pages(200, seed=1123)
MARK = "Zyx wvu."
WANTED_OTHERWISE = re.compile(
    r"!\[\](?:\(<?img/w|\[w)|(?:image|figure):: img/w|image::?(?:img|\{pictures\})/w"
    r"|\.html url=.img/w"
)
"""Pictures that are no tags."""


def caption_each(pictures: Iterable[Path | bytes]) -> Iterator[Caption | ImageError]:
    """A captioner that says the same of every picture, in words that are on no page."""
    for _ in pictures:
        yield Caption("zyx wvu", ("zyx", "wvu"), -1.0, (-0.5, -0.5))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "img").mkdir()
    for name in ("w0", "w1", "w2", "w space", "n0", "n1", "n9"):
        Image.new("RGB", (8, 6)).save(folder / "img" / f"{name}.png")
    return folder


def fill_one(folder: Path, name: str, content: bytes) -> Change | DataError | Skipped:
    (folder / name).write_bytes(content)
    [*_, last] = fill([folder / name], caption_each)
    return last


def without_marks(content: bytes) -> bytes:
    """The page as it was, found without knowing where anything was put."""
    for encoding in ("ascii", "utf-16-le", "utf-16-be"):
        for start in ("\r\n", "\n"):
            for indent in range(12):
                line = f"{start}{' ' * indent}:alt: {MARK}"
                content = content.replace(line.encode(encoding), b"")
        for text in (f' alt="{MARK}"', f" alt='{MARK}'", MARK):
            content = content.replace(text.encode(encoding), b"")
    return content


class Images(HTMLParser):
    """Tags as the standard library sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(reversed(attrs))))

    @property
    def pictures(self):
        return [attrs for tag, attrs in self.tags if tag == "img"]


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=lambda n: f"{n}-{HOSTILE[n].name}")
def test_only_alt_texts_are_added_and_only_once(number, pictures):
    page = HOSTILE[number]

    change = fill_one(pictures, page.name, page.content)

    if isinstance(change, DataError):  # refused as a whole, in one sentence
        assert "save it as UTF-8" in str(change), page.mutations
        return
    if isinstance(change, Skipped):
        assert change.why == "unclear"
        assert not page.is_whole, page.mutations
        return
    filled = [picture for picture in change.pictures if picture.state is State.FILLED]
    assert without_marks(change.content) == page.content, page.mutations
    assert change.content.replace(b"\0", b"").count(MARK.encode()) == len(filled)
    apply(change)
    again = fill_one(pictures, page.name, change.content)
    assert again.is_empty
    assert not any(picture.state is State.FILLED for picture in again.pictures)


@pytest.mark.parametrize(
    "page",
    [page for page in HOSTILE if page.is_whole],
    ids=lambda page: "-".join((page.name, *page.mutations)),
)
def test_the_images_that_want_one_have_it_and_no_others(page, pictures):
    change = fill_one(pictures, page.name, page.content)

    wide = "utf-16" in page.mutations
    text = change.content.decode("utf-16" if wide else "latin-1")
    tags = re.findall(r"<img\s(?:\{[{%].*?[%}]\}|<\?.*?\?>|\"[^\"]*\"|[^>])*?>", text, re.S | re.I)
    for tag in tags:
        if want := re.search(r"data-want=[\"']?([01])", tag, re.I):
            assert (MARK in tag) == (want[1] == "1"), tag
    for mark, source in re.findall(r"!\[([^\]]*)\]\(<?img/([wn])", text):
        in_text = (mark == MARK, source)
        assert in_text in ((True, "w"), (False, "n"))
    wanted = PAGES[page.name].lower().count('data-want="1"')
    wanted += PAGES[page.name].lower().count("data-want=1")
    wanted += len(re.findall(WANTED_OTHERWISE, PAGES[page.name]))
    assert text.count(MARK) == wanted


@pytest.mark.parametrize(
    "page",
    [page for page in HOSTILE if page.is_whole and page.name in WELL_FORMED],
    ids=lambda page: "-".join((page.name, *page.mutations)),
)
def test_another_parser_sees_the_same_page_with_the_alt_texts(page, pictures):
    change = fill_one(pictures, page.name, page.content)

    encoding = "utf-16" if "utf-16" in page.mutations else "latin-1"
    before = Images(page.content.decode(encoding))
    after = Images(change.content.decode(encoding))
    for attributes in after.pictures:
        assert (attributes.get("alt") == MARK) == (attributes.get("data-want") == "1")
    for _, attributes in after.tags:
        if attributes.get("alt") == MARK:
            del attributes["alt"]
    assert after.tags == before.tags


def test_the_pages_are_of_every_kind():
    told = {mutation for page in HOSTILE for mutation in page.mutations}

    assert len(HOSTILE) == 200
    assert len(told) == 20
    assert sum(page.is_whole for page in HOSTILE) > 50


@pytest.mark.parametrize("sign", ["{{< figure ", "{% ", "<!-- ", "![a]({{ "])
def test_many_signs_without_an_end_take_time_in_proportion(sign):
    began = time.process_time()

    assert not read_markdown(sign * 20_000).images

    assert time.process_time() - began < 2
