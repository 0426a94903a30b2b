"""Two files of captions become one page: the same pictures, what changed most first.

What changed is a picture's score where people's captions are at hand (CIDEr-D), else its words.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from cutline import metrics
from cutline.errors import DataError
from cutline.evaluation.tables import tell_differences
from cutline.images.load import View
from cutline.io.predictions import (
    Candidate,
    PictureLocator,
    Prediction,
    Word,
    find_references,
    read_captions,
)
from cutline.io.references import name_of
from cutline.metrics import DEFAULT_METRICS, Metric
from cutline.reports.gallery import JUDGE, Card, Drawn, Line, Order, write_gallery

DRAWS = 1000


class Pair(NamedTuple):
    """What two captioners said of one picture."""

    one: Prediction
    other: Prediction


def write_comparison(
    one: str | Path,
    other: str | Path,
    out: str | Path,
    *,
    images: Path | None = None,
    references: Mapping[str, Sequence[str]] | None = None,
    scores: Sequence[str | Metric] = DEFAULT_METRICS,
    view: View | None = None,
) -> Iterator[Drawn]:
    """Write the page of the pictures that both files name; what is drawn is told on the way.

    Options are those of `write_report`. Raises `DataError` for files without a common picture.
    """
    one, other, out = Path(one), Path(other), Path(out)
    pairs = pair_up(read_captions(one), read_captions(other), f"{one} and {other}")
    album = PictureLocator(one, images)
    labels = (one.stem, other.stem) if one.stem != other.stem else (str(one), str(other))
    expected = {p.one.path: find_references(p.one.path, references or {}) for p in pairs}
    verdict, judged = "", dict[str, tuple[float, float]]()
    if references is not None:
        verdict, judged = _judge(pairs, expected, scores, labels)
    cards = [
        _draw_card(
            pair,
            album.find(pair.one.path),
            labels,
            expected[pair.one.path],
            judged,
            view,
        )
        for pair in pairs
    ]
    cards.sort(key=lambda card: -card.numbers.get("change", -1.0))  # without one: last
    yield from write_gallery(
        cards,
        out,
        title=f"{labels[0]} beside {labels[1]}",
        orders=_name_orders(labels, bool(judged)),
        template="comparison.html",
        verdict=verdict,
        **_count_changes(pairs),
    )


def pair_up(told: Sequence[Prediction], others: Sequence[Prediction], names: str) -> list[Pair]:
    """What both files say of a picture: of the same path, or else of the same file name.

    Raises `DataError` when a file speaks of a picture twice, or nothing is common.
    """
    for key in (lambda each: each.path, lambda each: name_of(each.path)):
        ones, second = {key(each): each for each in told}, {key(each): each for each in others}
        if common := [Pair(ones[name], second[name]) for name in ones if name in second]:
            if len(ones) < len(told) or len(second) < len(others):
                raise DataError(f"one of {names} has a second line for a picture")
            return common
    raise DataError(f"{names} have no picture in common ({told[0].path}, {others[0].path})")


def mark_changes(one: Sequence[str], other: Sequence[str]) -> tuple[tuple[bool, ...], ...]:
    """For each word of either caption whether the other lacks it there."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    changed = [True] * len(one), [True] * len(other)
    for block in matcher.get_matching_blocks():
        changed[0][block.a : block.a + block.size] = [False] * block.size
        changed[1][block.b : block.b + block.size] = [False] * block.size
    return tuple(changed[0]), tuple(changed[1])


def _judge(
    pairs: Sequence[Pair],
    expected: Mapping[str, Sequence[str]],
    scores: Sequence[str | Metric],
    labels: tuple[str, str],
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Which is better, in words, and the score of each picture before and after, if measured."""
    both = [p for p in pairs if p.one.caption and p.other.caption and expected[p.one.path]]
    if not both:
        raise DataError("the references know none of the pictures that both have captioned")
    known = {p.one.path: expected[p.one.path] for p in both}
    said: list[dict[str, str]] = [
        {p.one.path: p.one.caption.text for p in both if p.one.caption},
        {p.one.path: p.other.caption.text for p in both if p.other.caption},
    ]
    first, second = (metrics.measure(own, known, metrics=scores, partial=True) for own in said)
    differences = metrics.compare(first, second, draws=DRAWS)
    before, after = first.report().per_image, second.report().per_image
    judged = {}
    if JUDGE in differences:
        judged = {path: (before[path][JUDGE], after[path][JUDGE]) for path in known}
    return tell_differences(differences, one=labels[0], other=labels[1]), judged


def _draw_card(
    pair: Pair,
    picture: Path,
    labels: tuple[str, str],
    references: tuple[str, ...],
    judged: Mapping[str, tuple[float, float]],
    view: View | None,
) -> Card:
    said = [_cut(each.caption) if each.caption else None for each in pair]
    words = [[word.word for word in each.words] if each else [] for each in said]
    changes = mark_changes(*words)
    numbers, facts = dict[str, float](), list[str]()
    if not judged:
        numbers["change"] = sum(map(sum, changes)) / max(1, sum(map(len, changes)))
    elif pair.one.path in judged:
        before, after = judged[pair.one.path]
        numbers = {"change": abs(after - before), "gain": after - before}
        facts = [f"{JUDGE} {100 * before:.1f} → {100 * after:.1f}"]
    lines = [
        Line(each, _label(label, each), changed, view or told.model.view or View())
        for label, each, changed, told in zip(labels, said, changes, pair, strict=True)
        if each
    ]
    named = list(zip(labels, pair, strict=True))
    return Card(
        picture,
        pair.one.path,
        lines=tuple(lines),
        error="; ".join(f"{label}: {each.error}" for label, each in named if each.error),
        left_out="; ".join(f"{label}: {each.left_out}" for label, each in named if each.left_out),
        facts=tuple(facts),
        numbers=numbers,
        references=references,
    )


def _cut(candidate: Candidate) -> Candidate:
    """The same with its words, where the file does not tell them."""
    words = candidate.words or tuple(map(Word, candidate.text.split()))
    return Candidate(candidate.text, candidate.confidence, words)


def _label(label: str, candidate: Candidate) -> str:
    sure = candidate.confidence
    return label if sure is None else f"{label} · confidence {sure:.0%}"


def _name_orders(labels: tuple[str, str], judged: bool) -> list[Order]:
    gains = [
        Order(f"where {labels[1]} gains most", "gain", falling=True),
        Order(f"where {labels[1]} loses most", "gain"),
    ]
    return [
        Order("what changed most"),
        *(gains if judged else ()),
        Order("what changed least", "change"),
        Order("file name", "name"),
    ]


def _count_changes(pairs: Sequence[Pair]) -> dict[str, int]:
    """Captions of other words, and captions of the same words that are written in another way."""
    both = [[_cut(each.caption) if each.caption else None for each in pair] for pair in pairs]
    texts = [[each and each.text for each in pair] for pair in both]
    words = [[each and [word.word for word in each.words] for each in pair] for pair in both]
    changed = sum(one != other for one, other in words)
    restyled = sum(one != other for one, other in texts) - changed
    return {"changed": changed, "restyled": max(0, restyled)}
