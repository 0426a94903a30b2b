"""Captions that a person accepted, corrected or wrote in a file of `cutline caption --out`.

The captions of a model are no training data for it, unless somebody read them: only the rows count
that a person edited (in the file or with `cutline review`) or accepted, the texts that a picture
had already (`--prefer-existing`), and rows that name no model.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cutline.datasets.validation import Entry, Problem, Reading, assemble
from cutline.errors import CutlineError, plural
from cutline.inference.corrections import REVIEW, mark_human_rows
from cutline.inference.journal import journal_path
from cutline.io.predictions import BY, EXISTING, HUMAN, PictureLocator
from cutline.io.tables import read_rows

_REASONS = {
    "unreviewed": "the model's own",
    "rejected": "rejected",
    "captionless": "without a caption",
    "missing": "without their picture",
}
_USED = ("accepted", "edited", "existing")


def read_caption_file(file: Path, split_of: Callable[[str], str | None]) -> Reading:
    """The examples of a file: those captions that a person is responsible for.

    The first problem, which is not fatal unless nothing is left, says how many were used.
    """
    try:
        rows = [dict(row) for _, row in read_rows(file)]
        mark_human_rows(rows, journal_path(file))
    except CutlineError as error:
        return Reading((), (Problem(file, None, str(error).removeprefix(f"{file} ")),))
    locator, counts = PictureLocator(file), Counter[str]()
    entries, pictures = list[Entry](), dict[str, Path]()
    for number, row in enumerate(rows, 1):
        kind, name = _judge(row), str(row.get("path") or "")
        if kind in _USED and not (picture := locator.find(name)).is_file():
            kind = "missing"
        elif kind in _USED:
            pictures[name] = picture
            entries.append(Entry(file, number, name, str(row["caption"])))
        counts[kind] += 1
    reading = assemble(entries, pictures, split_of=split_of)
    summary = Problem(file, None, _describe(counts), is_fatal=not entries)
    return Reading(reading.examples, (summary, *reading.problems))


def _judge(row: Mapping[str, Any]) -> str:
    """Why a row is used, or why not."""
    review = row.get(REVIEW)
    verdict = review.get("verdict") if isinstance(review, Mapping) else None
    if verdict == "rejected":
        return "rejected"
    if not isinstance(row.get("caption"), str) or not row["caption"].strip():
        return "captionless"
    if EXISTING in row:
        return "existing"
    if row.get(BY) == HUMAN or not (row.get("model") or row.get("confidence")):
        return "edited"
    return "accepted" if verdict == "accepted" else "unreviewed"


def _describe(counts: Counter[str]) -> str:
    used = sum(counts[kind] for kind in _USED)
    left = [f"{counts[kind]:,} {reason}" for kind, reason in _REASONS.items() if counts[kind]]
    left_out = f"; left out: {', '.join(left)}" if left else ""
    if not used:
        return (
            f"no caption in it is a person's{left_out}; accept or edit some, for example with "
            "`cutline review`"
        )
    kinds = (f"{counts[kind]:,} {kind}" for kind in _USED if counts[kind])
    return f"trains on {plural(used, 'caption')} of a person ({', '.join(kinds)}){left_out}"
