"""Inputs and outputs of scoring: metrics by name, references from files, results as text.

Connects the command line to `metrics`: opens metrics and caption files, and formats results.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cutline.datasets import detect_source, open_dataset
from cutline.errors import CutlineError, DataError, RecipeError, nearest
from cutline.io.atomic import write_text_file
from cutline.io.references import read_references
from cutline.metrics import ENGLISH_ONLY, METRICS, Metric, open_metric
from cutline.metrics.cider import Cider, CiderD, DocumentFrequencies
from cutline.metrics.diversity import Diversity
from cutline.metrics.meteor import Meteor
from cutline.metrics.meteor_lexicon import find_dictionaries
from cutline.metrics.significance import Difference
from cutline.text.words import ENGLISH, words_in
from cutline.types import Report

UNITS = {"length": 1.0}
"""Factors for scores that are not shown in hundredths."""
NEUTRAL = ("length", "bad endings", "repeats", "novel")
"""Scores of which neither higher nor lower is better."""
MIN_DF_IMAGES = 100
"""With fewer images, document frequencies from their references are unreliable."""


def choose_metrics(
    only: str | None,
    *,
    df: str,
    train: Path | None,
    warn: Callable[[str], None],
    watch: Callable[[str, int, int], None],
    language: str = ENGLISH,
) -> list[Metric]:
    """The metrics named in `only`, by default all but SPICE; METEOR is left out without its data.

    `df` are the document frequencies of CIDEr: `refs`, `coco` or a file. Captions in `train` do not
    count as novel. `warn` is called with a sentence if METEOR is left out, as it is in
    languages other than English.
    """
    if df == "coco" and language != ENGLISH:
        raise DataError(
            f"--df coco has the frequencies of English words, not those in {language!r}"
        )
    names = [name.strip() for name in only.split(",")] if only else _default_names(warn, language)
    documents = (
        _open_documents(df, language) if any(name.startswith("CIDEr") for name in names) else None
    )
    known = [words_in(text, language) for text in _read_all(train)] if train else ()
    special: dict[str, Callable[[], Metric]] = {
        "CIDEr": lambda: Cider(documents),
        "CIDEr-D": lambda: CiderD(documents),
        "METEOR": lambda: Meteor(watch=partial(watch, "METEOR")),
        "diversity": lambda: Diversity(known),
    }
    return [special[name]() if name in special else open_metric(name) for name in names]


def load_references(path: Path, split: str | None) -> Mapping[str, Sequence[str]]:
    """References from a file, or from one split (default: test) of a data set's folder.

    Raises `DataError` for a split that does not exist.
    """
    if not path.is_dir():
        return read_references(path, split=split)
    source = open_dataset(detect_source({"kind": "flickr8k"}, path), path)
    name = split or "test"
    found = {example.id: example.captions for example in source if example.split == name}
    if not found:
        raise DataError(f"{path} has no split {name!r}: train, validation or test")
    return found


def write_per_image(report: Report, captions: Mapping[str, str], path: Path) -> None:
    """Write the scores of each image as JSON Lines."""
    lines = (
        json.dumps({"image_id": id, "caption": captions[id], **scores}, ensure_ascii=False)
        for id, scores in report.per_image.items()
    )
    write_text_file((line + "\n" for line in lines), path)


def format_scores(report: Report) -> str:
    """A table of the scores with their confidence intervals, followed by the signatures."""
    lines = []
    for name, value in report.scores.items():
        unit = UNITS.get(name, 100.0)
        interval = report.intervals.get(name)
        sure = f"   [{unit * interval[0]:.1f}, {unit * interval[1]:.1f}]" if interval else ""
        lines.append(f"{name:<12} {unit * value:6.1f}{sure}")
    if report.counts:
        lines.append(f"{'distinct':<12} {100 * report.counts['distinct']:6.1f}")
        lines.append(f"{'vocabulary':<12} {report.counts['vocabulary']:6.0f}")
    if "|df:refs|" in " ".join(report.signatures) and len(report.per_image) < MIN_DF_IMAGES:
        lines.append(
            f"(CIDEr's word weights come from only {len(report.per_image)} images; --df coco uses "
            "those of COCO)"
        )
    return "\n".join([*lines, *report.signatures])


def format_differences(differences: Mapping[str, Difference], *, one: str, other: str) -> str:
    """A sentence for each score: which of the two is better, by how much, and how surely."""
    lines = []
    for name, found in differences.items():
        unit = UNITS.get(name, 100.0)
        better, sign = (other, 1) if found.value > 0 else (one, -1)
        if not found.value:
            lines.append(f"{name} is the same")
            continue
        low, high = sorted((sign * found.low, sign * found.high))
        more = "more " if name in NEUTRAL else ""
        change = f"{unit * abs(found.value):.1f} {more}{name} [{unit * low:.1f}, {unit * high:.1f}]"
        p = f"p = {found.p:.3f}" if found.p >= 0.001 else "p < .001"
        sure = "" if found.p < 0.05 else ", not significant"
        verb = "has" if name in NEUTRAL else "is better by"
        lines.append(f"{better} {verb} {change}, {p}{sure}")
    return "\n".join(lines)


class Change(NamedTuple):
    """One image's score with the first captioner and with the second."""

    id: str
    before: float
    after: float


def most_changed(one: Report, other: Report, *, by: str, show: int) -> list[Change]:
    """The `show` images that gain most, largest gain first, then those that lose most, in order.

    Raises `RecipeError` if `by` is not a score in the reports.
    """
    before, after = one.per_image, other.per_image
    if by not in (names := next(iter(before.values()))):
        raise RecipeError(f"there is no score {by!r} here{nearest(by, names)}")
    changes = [Change(id, before[id][by], after[id][by]) for id in before]
    changes.sort(key=lambda change: (change.before - change.after, change.id))
    gained = [change for change in changes[:show] if change.after > change.before]
    lost = [change for change in changes[-show:] if change.after < change.before]
    return [*gained, *lost] if show else []


def format_most_changed(
    changes: Sequence[Change], captions: Mapping[str, str], others: Mapping[str, str], *, by: str
) -> str:
    """The score and both captions of each image."""
    lines, unit = [], UNITS.get(by, 100.0)
    for id, before, after in changes:
        lines += [
            f"\n{id}  {by} {unit * before:.1f} -> {unit * after:.1f}",
            f"  {captions[id]}",
            f"  {others[id]}",
        ]
    return "\n".join(lines)


def differences_as_json(differences: Mapping[str, Difference]) -> dict[str, Any]:
    """Differences as a dictionary for `json.dumps`."""
    return {
        name: {"difference": d.value, "interval": [d.low, d.high], "p": d.p}
        for name, d in differences.items()
    }


def _default_names(warn: Callable[[str], None], language: str) -> list[str]:
    names = [name for name in METRICS if name != "SPICE"]
    if language != ENGLISH:
        warn(f"METEOR is left out: {ENGLISH_ONLY['METEOR']} are of English")
        return [name for name in names if name not in ENGLISH_ONLY]
    try:
        find_dictionaries()
    except CutlineError as error:
        warn(f"METEOR is left out: {error}")
        names.remove("METEOR")
    return names


def _open_documents(df: str, language: str) -> DocumentFrequencies | None:
    """COCO's, those of a file, or None for those of the references that are scored."""
    if df == "refs":
        return None
    if df == "coco":
        return DocumentFrequencies.coco()
    path = Path(df)
    if path.name.endswith(".df.gz"):
        return DocumentFrequencies.load(path)
    if not path.exists():
        raise DataError(f"--df {df}: must be refs, coco or a file{nearest(df, ('refs', 'coco'))}")
    references = read_references(path).values()
    texts = [[words_in(text, language) for text in own] for own in references]
    return DocumentFrequencies.of(texts, name=path.name)


def _read_all(path: Path) -> list[str]:
    return [text for texts in read_references(path).values() for text in texts]
