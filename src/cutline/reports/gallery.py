"""A page of pictures with captions, which can be searched, sorted and used by keyboard.

Input: cards, each a picture with one or more captions. Output: an HTML file. Its text can be read
without scripts; pictures, words and attention are JSON in chunks that the script parses when they
come near the window, so that a page of thousands of pictures opens and scrolls without delay.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

from cutline.errors import ImageError
from cutline.images.load import View
from cutline.io.atomic import write_text_file
from cutline.io.outputs import require_page_output
from cutline.io.predictions import Candidate, Word
from cutline.reports.html import render_page
from cutline.reports.thumbnails import Progress, Thumbnail, draw_thumbnails

CHUNK_SIZE = 25
"""Cards whose pictures and words are parsed together."""
PAGE_SIZE = 5_000
"""Cards of a page: more are continued on further pages, which bounds memory and files."""
LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""A letter for the attention to a region, relative to the region with the most."""
MIN_CONTRAST = 2.0
"""A ninth of the picture is named if its attention exceeds the mean by this factor."""
ROWS, COLUMNS = ("upper ", "", "lower "), ("left", "middle", "right")


@dataclass(frozen=True)
class CaptionLine:
    """A caption of a card."""

    candidate: Candidate
    label: str = ""
    """The captioner, where there are several, or where a person's caption comes from."""
    changed: tuple[bool, ...] = ()
    """For each word whether the other caption lacks it."""
    view: View = View()
    """How the model saw the picture; its attention is relative to that view."""

    @property
    def pieces(self) -> list[tuple[str, str, bool]]:
        """The text as (space before, piece, whether it changed)."""
        if not any(self.changed):
            return [("", self.candidate.text, False)]
        words = zip(split_words(self.candidate), self.changed, strict=True)
        return [(gap, word.word, changed) for (gap, word), changed in words]


@dataclass(frozen=True)
class Card:
    """A picture and what is shown with it."""

    picture: Path
    name: str
    lines: tuple[CaptionLine, ...] = ()
    error: str = ""
    """Why there is no caption."""
    left_out: str = ""
    """Why the caption was left out."""
    human: bool = False
    """Whether a person wrote the caption, or removed it."""
    facts: tuple[str, ...] = ()
    """Such as `confidence 61%`."""
    sort_keys: Mapping[str, float] = field(default_factory=dict)
    """Numbers that `Order.by` can name."""
    others: tuple[Candidate, ...] = ()
    """Further candidates of the model of the first line."""
    references: tuple[str, ...] = ()


class Order(NamedTuple):
    """A sort order: by a sort key, by `name`, or, without `by`, as the cards are given."""

    label: str
    by: str = ""
    descending: bool = False


def write_gallery(
    cards: Sequence[Card],
    out: Path,
    *,
    title: str,
    orders: Sequence[Order],
    template: str = "gallery.html",
    **context: Any,
) -> Iterator[Progress]:
    """Draw the thumbnails of a page, write it, and go on with the next: `report-2.html`.

    `template` extends `gallery.html` with a lead made from `context`. The first of `orders` names
    the order in which the cards are given. A picture that cannot be read is replaced by the reason.
    Raises `DataError` if the name of a further page belongs to another file.
    """
    pages = [out, *(out.with_stem(f"{out.stem}-{n}") for n in range(2, _count_pages(cards) + 1))]
    for page in pages[1:]:
        require_page_output(page)
    done = 0
    for number, page in enumerate(pages):
        shown = cards[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
        thumbnails: list[Thumbnail | ImageError] = []
        for thumbnail in draw_thumbnails(card.picture for card in shown):
            thumbnails.append(thumbnail)
            done += 1
            yield Progress(done, len(cards))
        text = render_page(
            template,
            title,
            assets="gallery",
            cards=shown,
            total=len(cards),
            pages=[each.name for each in pages],
            here=number,
            chunks=_chunk_cards(shown, thumbnails),
            chunk_size=CHUNK_SIZE,
            orders=orders,
            folder=_find_folder([card.name for card in shown]),
            errors=sum(bool(card.error) for card in cards),
            left_out=sum(bool(card.left_out) for card in cards),
            human=sum(card.human for card in cards),
            has_confidence=any("confidence" in card.sort_keys for card in cards),
            **context,
        )
        write_text_file(text, page)


def _count_pages(cards: Sequence[Card]) -> int:
    return -(-len(cards) // PAGE_SIZE)


def name_region(gaze: Sequence[float]) -> str:
    """Where the attention is, in words: `upper left`, or `all over` where no part stands out.

    `gaze` is the attention to each region of a square grid, row by row; without any, "".
    """
    side, total = isqrt(len(gaze)), sum(gaze)
    if side < 2 or not total:
        return ""
    sums, counts = dict[tuple[int, int], float](), dict[tuple[int, int], int]()
    for number, share in enumerate(gaze):
        row, column = (3 * (2 * place + 1) // (2 * side) for place in divmod(number, side))
        sums[row, column] = sums.get((row, column), 0.0) + share
        counts[row, column] = counts.get((row, column), 0) + 1
    means = {ninth: sums[ninth] / counts[ninth] for ninth in sums}
    row, column = max(means, key=means.__getitem__)
    if means[row, column] * len(gaze) < MIN_CONTRAST * total:
        return "all over"
    return ROWS[row] + COLUMNS[column]


def _chunk_cards(
    cards: Sequence[Card], pictures: Sequence[Thumbnail | ImageError]
) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(cards), CHUNK_SIZE):
        chunk = slice(start, start + CHUNK_SIZE)
        pairs = zip(cards[chunk], pictures[chunk], strict=True)
        yield [_describe(card, picture) for card, picture in pairs]


def _find_folder(names: Sequence[str]) -> str:
    """The folder that all names share, with its slash; the page shows it once."""
    shared = commonprefix(names)
    return shared[: max(map(shared.rfind, "/\\")) + 1]


def split_words(candidate: Candidate) -> Iterator[tuple[str, Word]]:
    """Each word as the text spells it, with capitals and full stop, and the space before it.

    There is no space before the first word and before parts such as `'s`.
    """
    text, position, last = candidate.text, 0, len(candidate.words) - 1
    lowered = text.lower() if len(text.lower()) == len(text) else text
    for number, word in enumerate(candidate.words):
        found = lowered.find(word.word.lower(), position)
        gap = " " if position and found != position else ""
        if found >= 0:
            position = found + len(word.word)
            ends = number == last and not re.search(r"\w", text[position:])
            word = replace(word, word=text[found:] if ends else text[found:position])
        yield gap, word


def _describe(card: Card, picture: Thumbnail | ImageError) -> dict[str, Any]:
    """What the script adds to the text of a card, for JSON."""
    data: dict[str, Any] = {
        "lines": [_describe_words(line.candidate, line.changed) for line in card.lines],
        "others": [_describe_words(candidate) for candidate in card.others],
        "alt": _describe_picture(card),
    }
    if isinstance(picture, ImageError):
        return data | {"wrong": str(picture)}
    boxes = [_describe_box(line.view, picture) for line in card.lines]
    cropped = {"boxes": boxes} if any(boxes) else {}
    return data | cropped | {"picture": picture.address, "size": [picture.width, picture.height]}


def _describe_box(view: View, picture: Thumbnail) -> list[float] | None:
    """Edges of the part that the model saw, as shares of width and height; None: all of it."""
    width, height = float(picture.width), float(picture.height)
    left, top, right, bottom = view.box(width, height)
    box = [left / width, top / height, right / width, bottom / height]
    return None if box == [0, 0, 1, 1] else [round(edge, 4) for edge in box]


def _describe_picture(card: Card) -> str:
    """The alternative text: the caption, marked as machine-written unless it is a person's."""
    if not card.lines:
        return "a picture without a caption"
    return card.lines[0].candidate.text + ("" if card.human else " (machine-written)")


def _describe_words(
    candidate: Candidate, changed: tuple[bool, ...] = ()
) -> list[tuple[str, int | None, str, str, int]]:
    """For each word: text, probability in percent, region, attention in letters, changed or not."""
    described = []
    for number, (gap, word) in enumerate(split_words(candidate)):
        percent = None if word.probability is None else round(100 * word.probability)
        region, top = name_region(word.gaze), max(word.gaze, default=0)
        letters = "".join(LEVELS[round(63 * share / top)] for share in word.gaze) if region else ""
        is_changed = int(any(changed[number:][:1]))
        described.append((gap + word.word, percent, region, letters, is_changed))
    return described
