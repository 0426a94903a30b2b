"""What is in a data set: counts, lengths, words, damage and duplicates, as text and as HTML.

Enters: examples. Leaves: an `Overview`, which `tell` writes as a table and `draw_page` as one HTML
page that needs no network.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cutline.errors import ImageError
from cutline.images.load import View
from cutline.images.prefetch import decode_ahead
from cutline.reports.charts import bar_chart
from cutline.reports.html import render_page
from cutline.reports.thumbnails import Thumbnail, try_thumbnail
from cutline.text.tokenizer import split_words
from cutline.types import SPLITS, Example

THRESHOLDS = (1, 2, 3, 4, 5, 8, 10, 20)
COMMONEST = 40
SHOWN = 12
"""Sample pictures of each split."""


@dataclass(frozen=True)
class Overview:
    """A data set in figures."""

    pictures: dict[str, int]
    """Of each split."""
    captions: dict[str, int]
    lengths: dict[int, int]
    """How many captions have so many words."""
    words: tuple[tuple[str, int], ...]
    """Every word with how often it occurs in training captions, the commonest first."""
    damaged: tuple[str, ...]
    duplicates: tuple[tuple[Example, ...], ...]
    """Pictures with the same bytes, of different splits."""

    @property
    def vocabulary(self) -> dict[int, tuple[int, float]]:
        """For each threshold, the words that occur so often, and their share of all words."""
        total = sum(count for _, count in self.words) or 1
        kept = {t: [count for _, count in self.words if count >= t] for t in THRESHOLDS}
        return {t: (len(counts), sum(counts) / total) for t, counts in kept.items()}

    @property
    def mean_length(self) -> float:
        """Words a caption."""
        captions = sum(self.lengths.values()) or 1
        return sum(length * count for length, count in self.lengths.items()) / captions


@dataclass(frozen=True)
class Looked:
    """So many of the pictures have been looked at."""

    done: int
    total: int


def look_over(examples: Sequence[Example]) -> Iterator[Looked | Overview]:
    """Look at every caption and every picture; the overview comes last."""
    damaged = []
    done = 0
    for batch in decode_ahead((example.image for example in examples), View(32), batch=32):
        damaged += [str(answer) for answer in batch if isinstance(answer, ImageError)]
        done += len(batch)
        yield Looked(done, len(examples))
    split = [(e.split, split_words(caption)) for e in examples for caption in e.captions]
    words = Counter(word for name, caption in split if name == "train" for word in caption)
    lengths = Counter(len(caption) for _, caption in split)
    yield Overview(
        pictures={s: sum(e.split == s for e in examples) for s in SPLITS},
        captions={s: sum(name == s for name, _ in split) for s in SPLITS},
        lengths=dict(sorted(lengths.items())),
        words=tuple(sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))),
        damaged=tuple(damaged),
        duplicates=tuple(_find_duplicates(examples)),
    )


def _find_duplicates(examples: Sequence[Example]) -> Iterator[tuple[Example, ...]]:
    """Only files of one size are read to the end."""
    sizes = defaultdict[int, list[Example]](list)
    for example in examples:
        if example.image.is_file():
            sizes[example.image.stat().st_size].append(example)
    for alike in sizes.values():
        same = defaultdict[bytes, list[Example]](list)
        for example in alike if len(alike) > 1 else ():
            same[sha256(example.image.read_bytes()).digest()].append(example)
        for group in same.values():
            if len({example.split for example in group}) > 1:
                yield tuple(group)


def tell(overview: Overview) -> str:
    """The overview as text."""
    lines = [f"{'':12} {'pictures':>9} {'captions':>9}"]
    for split in SPLITS:
        lines.append(f"{split:12} {overview.pictures[split]:9,} {overview.captions[split]:9,}")
    lines += ["", f"words a caption: {overview.mean_length:.1f} in the mean; {_spread(overview)}"]
    lines += ["", "words that occur at least so often in training captions, and their share:"]
    for threshold, (count, share) in overview.vocabulary.items():
        lines.append(f"{threshold:5} {count:9,} {share:8.1%}")
    commonest = ", ".join(f"{word} {count:,}" for word, count in overview.words[:COMMONEST])
    lines += ["", f"the commonest: {commonest}"]
    lines += ["", f"{len(overview.damaged)} damaged pictures", *overview.damaged]
    lines.append(f"{len(overview.duplicates)} pictures in more than one split")
    lines += _name_duplicates(overview)
    return "\n".join(lines)


def _spread(overview: Overview) -> str:
    lengths = [length for length, count in overview.lengths.items() for _ in range(count)]
    if not lengths:
        return "there are none"
    low, high = lengths[len(lengths) // 20], lengths[-1 - len(lengths) // 20]
    return f"{low} to {high} in nine of ten; the longest {lengths[-1]}"


def _name_duplicates(overview: Overview) -> list[str]:
    return [" = ".join(f"{e.image.name} ({e.split})" for e in g) for g in overview.duplicates]


def draw_page(overview: Overview, examples: Sequence[Example], title: str) -> Iterator[str]:
    """The overview as one HTML page, in pieces, with sample pictures of each split."""
    lengths = [(str(n), overview.lengths.get(n, 0)) for n in _range(overview.lengths)]
    return render_page(
        "dataset.html",
        title,
        overview=overview,
        lengths=bar_chart("Words a caption", lengths),
        words=bar_chart("The commonest words", overview.words[:COMMONEST]),
        duplicates=_name_duplicates(overview),
        samples=list(_pick_samples(examples)),
    )


def _range(lengths: Collection[int]) -> range:
    """From the shortest to the longest, also those that no caption has: an axis has no gaps."""
    return range(min(lengths), max(lengths) + 1) if lengths else range(0)


def _pick_samples(
    examples: Sequence[Example],
) -> Iterator[tuple[str, list[tuple[Example, Thumbnail | ImageError]]]]:
    for split in SPLITS:
        own = [example for example in examples if example.split == split]
        chosen = own[:: max(1, len(own) // SHOWN)][:SHOWN]
        if chosen:
            yield split, [(example, try_thumbnail(example.image)) for example in chosen]
