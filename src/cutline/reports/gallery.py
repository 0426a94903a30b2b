"""Pictures with captions under them, as one page to search, sort and walk through by keyboard.

Enters: cards, each a picture with one caption or several. Leaves: the file. All text is plain HTML,
which reads without scripts too; pictures, words and gaze are JSON beside it, in chunks that are
parsed when somebody comes near, so that thousands of pictures open and scroll at once.
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
from cutline.io.predictions import Candidate, Word
from cutline.reports.html import render_page
from cutline.reports.thumbnails import Thumbnail, draw_thumbnails

CHUNK = 25
"""Cards whose pictures and words are parsed together."""
LEVELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
"""A letter for how much a region was looked at, beside the one that was looked at most."""
JUDGE = "CIDEr-D"
"""The score by which pictures are sorted."""
STANDS_OUT = 2.0
"""A ninth of the picture is named if it was looked at so much more than the mean of all."""
ROWS, COLUMNS = ("upper ", "", "lower "), ("left", "middle", "right")


@dataclass(frozen=True)
class Line:
    """A caption of a card."""

    candidate: Candidate
    label: str = ""
    """Whose it is, where there are several."""
    changed: tuple[bool, ...] = ()
    """For each of its words whether the other caption lacks it."""
    view: View = View()
    """How the model saw the picture, on which the gaze lies."""

    @property
    def pieces(self) -> list[tuple[str, str, bool]]:
        """The text in pieces: what stands before each, the piece, and whether it changed."""
        if not any(self.changed):
            return [("", self.candidate.text, False)]
        spelled = zip(spell(self.candidate), self.changed, strict=True)
        return [(gap, word.word, changed) for (gap, word), changed in spelled]


@dataclass(frozen=True)
class Card:
    """One picture and what is shown with it."""

    picture: Path
    name: str
    lines: tuple[Line, ...] = ()
    error: str = ""
    """Why there is no caption."""
    left_out: str = ""
    """Why it is not shown."""
    facts: tuple[str, ...] = ()
    """`confidence 61 %`."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What cards can be sorted by."""
    others: tuple[Candidate, ...] = ()
    """Further candidates, of the model of the first line."""
    references: tuple[str, ...] = ()


class Order(NamedTuple):
    """A way to sort: by a number of the cards, by `name`, or, without `by`, as they were given."""

    label: str
    by: str = ""
    falling: bool = False


@dataclass(frozen=True)
class Drawn:
    """So many of the pictures are drawn."""

    done: int
    total: int


def write_gallery(
    cards: Sequence[Card],
    out: Path,
    *,
    title: str,
    orders: Sequence[Order],
    template: str = "gallery.html",
    **context: Any,
) -> Iterator[Drawn]:
    """Draw every picture, then write the page.

    `template` extends `gallery.html` with what stands above the pictures, drawn from `context`.
    Cards are shown as given, which the first of `orders` names. A picture that cannot be read is
    shown by the sentence that says why.
    """
    found: list[Thumbnail | ImageError] = []
    for answer in draw_thumbnails(card.picture for card in cards):
        found.append(answer)
        yield Drawn(len(found), len(cards))
    page = render_page(
        template,
        title,
        gallery=True,
        cards=cards,
        chunks=_chunk_cards(cards, found),
        chunk_size=CHUNK,
        orders=orders,
        folder=_find_folder([card.name for card in cards]),
        errors=sum(bool(card.error) for card in cards),
        left_out=sum(bool(card.left_out) for card in cards),
        has_confidence=any("confidence" in card.numbers for card in cards),
        **context,
    )
    write_text_file(page, out)


def name_place(gaze: Sequence[float]) -> str:
    """Where a word looked, in words: `upper left`; `all over` where no part stands out.

    `gaze` is the share of each region of a square, row by row; empty says nothing, "".
    """
    side, total = isqrt(len(gaze)), sum(gaze)
    if side < 2 or not total:
        return ""
    looked, regions = dict[tuple[int, int], float](), dict[tuple[int, int], int]()
    for number, share in enumerate(gaze):
        ninth = tuple(3 * (2 * place + 1) // (2 * side) for place in divmod(number, side))
        row, column = ninth
        looked[row, column] = looked.get((row, column), 0.0) + share
        regions[row, column] = regions.get((row, column), 0) + 1
    dense = {ninth: looked[ninth] / regions[ninth] for ninth in looked}
    row, column = max(dense, key=lambda ninth: dense[ninth])
    if dense[row, column] * len(gaze) < STANDS_OUT * total:
        return "all over"
    return ROWS[row] + COLUMNS[column]


def _chunk_cards(
    cards: Sequence[Card], pictures: Sequence[Thumbnail | ImageError]
) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(cards), CHUNK):
        pairs = zip(cards[start : start + CHUNK], pictures[start : start + CHUNK], strict=True)
        yield [_describe(card, picture) for card, picture in pairs]


def _find_folder(names: Sequence[str]) -> str:
    """The folder that all are in, with its slash: under each picture it is only in the way."""
    shared = commonprefix(names)
    return shared[: max(map(shared.rfind, "/\\")) + 1]


def spell(candidate: Candidate) -> Iterator[tuple[str, Word]]:
    """Each word as the sentence spells it, with its capital and full stop, and with what stands
    before it: a space, or nothing, as before 's.
    """
    text, place, last = candidate.text, 0, len(candidate.words) - 1
    small = text.lower() if len(text.lower()) == len(text) else text
    for number, word in enumerate(candidate.words):
        found = small.find(word.word.lower(), place)
        gap = " " if place and found != place else ""
        if found >= 0:
            place = found + len(word.word)
            closed = number == last and not re.search(r"\w", text[place:])
            word = replace(word, word=text[found:] if closed else text[found:place])
        yield gap, word


def _describe(card: Card, picture: Thumbnail | ImageError) -> dict[str, Any]:
    """What the script shows of a card beside its text."""
    told: dict[str, Any] = {
        "lines": [_describe_words(line.candidate, line.changed) for line in card.lines],
        "others": [_describe_words(candidate) for candidate in card.others],
        "alt": _describe_picture(card),
    }
    if isinstance(picture, ImageError):
        return told | {"wrong": str(picture)}
    boxes = [_describe_box(line.view, picture) for line in card.lines]
    seen = {"boxes": boxes} if any(boxes) else {}
    return told | seen | {"picture": picture.address, "size": [picture.width, picture.height]}


def _describe_box(view: View, picture: Thumbnail) -> list[float] | None:
    """The part that the model saw, in shares of width and height; None: the whole."""
    width, height = float(picture.width), float(picture.height)
    left, top, right, bottom = view.box(width, height)
    box = [left / width, top / height, right / width, bottom / height]
    return None if box == [0, 0, 1, 1] else [round(edge, 4) for edge in box]


def _describe_picture(card: Card) -> str:
    """The alternative text: the caption itself, and that no person wrote it."""
    if not card.lines:
        return "a picture without a caption"
    return f"{card.lines[0].candidate.text} (machine-written)"


def _describe_words(
    candidate: Candidate, changed: tuple[bool, ...] = ()
) -> list[tuple[str, int | None, str, str, int]]:
    """Of each word: its text, percent, where it looked, the gaze in letters, whether it changed."""
    told = []
    for number, (gap, word) in enumerate(spell(candidate)):
        likely = None if word.probability is None else round(100 * word.probability)
        place, top = name_place(word.gaze), max(word.gaze, default=0)
        letters = "".join(LEVELS[round(63 * share / top)] for share in word.gaze) if place else ""
        told.append((gap + word.word, likely, place, letters, int(any(changed[number:][:1]))))
    return told
