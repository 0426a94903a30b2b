"""What is in a data set: counts, lengths, words, damage and duplicates, as text and as HTML.

Enters: examples. Leaves: an `Overview`, which `tell` writes as a table and `draw_page` as one HTML
page that needs no network.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape

from cutline.errors import ImageError
from cutline.images.load import View
from cutline.images.prefetch import decode_ahead
from cutline.reports import html
from cutline.reports.thumbnails import draw_thumbnail
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
    for group in overview.duplicates:
        lines.append(" = ".join(f"{e.image.name} ({e.split})" for e in group))
    return "\n".join(lines)


def _spread(overview: Overview) -> str:
    lengths = [length for length, count in overview.lengths.items() for _ in range(count)]
    if not lengths:
        return "there are none"
    low, high = lengths[len(lengths) // 20], lengths[-1 - len(lengths) // 20]
    return f"{low} to {high} in nine of ten; the longest {lengths[-1]}"


# ---------------------------------------------------------------------------------- the page


def draw_page(overview: Overview, examples: Sequence[Example], title: str) -> str:
    """The overview as one HTML page, with sample pictures of each split."""
    counts = "".join(
        f"<tr><td>{s}<td>{overview.pictures[s]:,}<td>{overview.captions[s]:,}" for s in SPLITS
    )
    vocabulary = "".join(
        f"<tr><td>{t}<td>{count:,}<td>{share:.1%}"
        for t, (count, share) in overview.vocabulary.items()
    )
    duplicates = "".join(
        "<li>" + escape(" = ".join(f"{e.image.name} ({e.split})" for e in group))
        for group in overview.duplicates
    )
    damaged = "".join(f"<li>{escape(sentence)}" for sentence in overview.damaged)
    words = [(word, count) for word, count in overview.words[:COMMONEST]]
    parts = [
        f"<table><tr><th>split<th>pictures<th>captions{counts}</table>",
        "<h2>Words a caption</h2>",
        _bars([(str(n), overview.lengths.get(n, 0)) for n in _range(overview.lengths)]),
        "<h2>The commonest words of the training captions</h2>",
        _bars(words),
        "<h2>Vocabulary</h2><p>Words that occur at least so often, and the share of all words that "
        "they are.</p>",
        f"<table><tr><th>at least<th>words<th>share{vocabulary}</table>",
        f"<h2>Damaged pictures: {len(overview.damaged)}</h2><ul>{damaged}</ul>",
        f"<h2>Pictures in more than one split: {len(overview.duplicates)}</h2>"
        f"<ul>{duplicates}</ul>",
    ]
    for split in SPLITS:
        own = [example for example in examples if example.split == split]
        chosen = own[:: max(1, len(own) // SHOWN)][:SHOWN]
        if chosen:
            figures = "".join(map(_draw_figure, chosen))
            parts.append(f'<h2>Some of {split}</h2><div class="pictures">{figures}</div>')
    return "".join(html.draw_page(title, (f"{part}\n" for part in parts)))


def _range(lengths: Collection[int]) -> range:
    """From the shortest to the longest, also those that no caption has: an axis has no gaps."""
    return range(min(lengths), max(lengths) + 1) if lengths else range(0)


def _bars(counts: Sequence[tuple[str, int]]) -> str:
    """A bar for each name; the exact number shows under the pointer."""
    most = max((count for _, count in counts), default=1)
    drawn = []
    for place, (name, count) in enumerate(counts):
        height, x = 120 * count / most, 22 * place
        drawn.append(
            f"<g><title>{escape(name)}: {count:,}</title>"
            f'<rect x="{x}" y="{120 - height:.1f}" width="18" height="{height:.1f}"/>'
            f'<text x="{x + 13}" y="128" text-anchor="end" transform="rotate(-60 {x + 13} 128)">'
            f"{escape(name)}</text></g>"
        )
    width = 22 * max(len(counts), 1)
    return (
        f'<svg role="img" aria-label="bars: {len(counts)} counts" viewBox="-40 0 {width + 40} 190" '
        f'width="{min(width + 40, 1100)}">{"".join(drawn)}</svg>'
    )


def _draw_figure(example: Example) -> str:
    captions = "<br>".join(map(escape, example.captions))
    try:
        shown = draw_thumbnail(example.image).draw("")  # what it shows stands under it
    except ImageError:
        shown = "cannot be read"
    told = f"{escape(example.image.name)}<br>{captions}"
    return f"<figure>{shown}<figcaption>{told}</figcaption></figure>"
