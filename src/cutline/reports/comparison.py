"""The page that compares two files of captions of the same pictures, largest change first.

A change is that of a picture's CIDEr-D where there are references, else the share of changed words.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

from cutline import metrics
from cutline.errors import DataError
from cutline.evaluation.tables import format_differences
from cutline.images.load import View
from cutline.inference.calibration import JUDGE
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
from cutline.reports.gallery import CaptionLine, Card, Order, write_gallery
from cutline.reports.thumbnails import Progress

DRAWS = 1000
"""Permutations and bootstrap samples of the comparison."""


class Pair(NamedTuple):
    """The predictions of two captioners for one picture."""

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
) -> Iterator[Progress]:
    """Write the page of the pictures that both files contain, yielding its progress.

    Options are those of `write_report`. Raises `DataError` for files without a
    common picture.
    """
    one, other, out = Path(one), Path(other), Path(out)
    pairs = pair_up(read_captions(one), read_captions(other), f"{one} and {other}")
    locator = PictureLocator(one, images)
    labels = (one.stem, other.stem) if one.stem != other.stem else (str(one), str(other))
    expected = {p.one.path: find_references(p.one.path, references or {}) for p in pairs}
    verdict, scores_of = "", dict[str, tuple[float, float]]()
    if references is not None:
        verdict, scores_of = _compare(pairs, expected, scores, labels)
    cards = [
        _make_card(
            pair,
            locator.find(pair.one.path),
            labels,
            expected[pair.one.path],
            scores_of,
            view,
        )
        for pair in pairs
    ]
    cards.sort(key=lambda card: -card.sort_keys.get("change", -1.0))  # cards without one come last
    yield from write_gallery(
        cards,
        out,
        title=f"{labels[0]} compared with {labels[1]}",
        orders=_name_orders(labels, bool(scores_of)),
        template="comparison.html",
        verdict=verdict,
        **_count_changes(pairs),
    )


def pair_up(ones: Sequence[Prediction], others: Sequence[Prediction], names: str) -> list[Pair]:
    """Pair predictions of the same path or, if there are none, of the same file name.

    Raises `DataError` if a file has two predictions for a picture or nothing is in common.
    """
    for key in (lambda each: each.path, lambda each: name_of(each.path)):
        first, second = {key(each): each for each in ones}, {key(each): each for each in others}
        if common := [Pair(first[name], second[name]) for name in first if name in second]:
            if len(first) < len(ones) or len(second) < len(others):
                raise DataError(f"one of {names} has a second line for a picture")
            return common
    raise DataError(f"{names} have no picture in common ({ones[0].path}, {others[0].path})")


def mark_changes(one: Sequence[str], other: Sequence[str]) -> tuple[tuple[bool, ...], ...]:
    """For each word of either caption whether the other lacks it at that place."""
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    changed = [True] * len(one), [True] * len(other)
    for block in matcher.get_matching_blocks():
        changed[0][block.a : block.a + block.size] = [False] * block.size
        changed[1][block.b : block.b + block.size] = [False] * block.size
    return tuple(changed[0]), tuple(changed[1])


def _compare(
    pairs: Sequence[Pair],
    expected: Mapping[str, Sequence[str]],
    scores: Sequence[str | Metric],
    labels: tuple[str, str],
) -> tuple[str, dict[str, tuple[float, float]]]:
    """The comparison in sentences, and the CIDEr-D of each picture in both files, if measured."""
    both = [p for p in pairs if p.one.caption and p.other.caption and expected[p.one.path]]
    if not both:
        raise DataError("the references contain none of the pictures that both files caption")
    known = {p.one.path: expected[p.one.path] for p in both}
    texts: list[dict[str, str]] = [
        {p.one.path: p.one.caption.text for p in both if p.one.caption},
        {p.one.path: p.other.caption.text for p in both if p.other.caption},
    ]
    first, second = (metrics.measure(each, known, metrics=scores, partial=True) for each in texts)
    differences = metrics.compare(first, second, draws=DRAWS)
    before, after = first.report().per_image, second.report().per_image
    scores_of = {}
    if JUDGE in differences:
        scores_of = {path: (before[path][JUDGE], after[path][JUDGE]) for path in known}
    return format_differences(differences, one=labels[0], other=labels[1]), scores_of


def _make_card(
    pair: Pair,
    picture: Path,
    labels: tuple[str, str],
    references: tuple[str, ...],
    scores_of: Mapping[str, tuple[float, float]],
    view: View | None,
) -> Card:
    captions = [_with_words(each.caption) if each.caption else None for each in pair]
    words = [[word.word for word in each.words] if each else [] for each in captions]
    changes = mark_changes(*words)
    sort_keys, facts = dict[str, float](), list[str]()
    if not scores_of:
        sort_keys["change"] = sum(map(sum, changes)) / max(1, sum(map(len, changes)))
    elif pair.one.path in scores_of:
        before, after = scores_of[pair.one.path]
        sort_keys = {"change": abs(after - before), "gain": after - before}
        facts = [f"{JUDGE} {100 * before:.1f} → {100 * after:.1f}"]
    lines = [
        CaptionLine(each, _label(label, each), changed, view or prediction.model.view or View())
        for label, each, changed, prediction in zip(labels, captions, changes, pair, strict=True)
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
        sort_keys=sort_keys,
        references=references,
    )


def _with_words(candidate: Candidate) -> Candidate:
    """The candidate with words from its text, if the file has none."""
    words = candidate.words or tuple(map(Word, candidate.text.split()))
    return Candidate(candidate.text, candidate.confidence, words)


def _label(label: str, candidate: Candidate) -> str:
    confidence = candidate.confidence
    return label if confidence is None else f"{label} · confidence {confidence:.0%}"


def _name_orders(labels: tuple[str, str], scores_of: bool) -> list[Order]:
    gains = [
        Order(f"largest gain of {labels[1]} first", "gain", descending=True),
        Order(f"largest loss of {labels[1]} first", "gain"),
    ]
    return [
        Order("largest change first"),
        *(gains if scores_of else ()),
        Order("smallest change first", "change"),
        Order("file name", "name"),
    ]


def _count_changes(pairs: Sequence[Pair]) -> dict[str, int]:
    """Captions with different words, and captions that differ only in capitals or punctuation."""
    both = [
        [_with_words(each.caption) if each.caption else None for each in pair] for pair in pairs
    ]
    texts = [[each and each.text for each in pair] for pair in both]
    words = [[each and [word.word for word in each.words] for each in pair] for pair in both]
    changed = sum(one != other for one, other in words)
    restyled = sum(one != other for one, other in texts) - changed
    return {"changed": changed, "restyled": max(0, restyled)}
