"""A summary of a data set: counts, caption lengths, words, damaged pictures, duplicates.

Input: examples. Output: a `Summary`, which `format_summary` turns into text and `render_summary`
into an HTML page.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cutline.errors import ImageError
from cutline.images.load import View
from cutline.images.prefetch import decode_ahead
from cutline.images.shards import read_bytes, size_of
from cutline.reports.charts import bar_chart
from cutline.reports.html import render_page
from cutline.reports.thumbnails import Progress, Thumbnail, try_thumbnail
from cutline.text.words import ENGLISH, words_in
from cutline.types import SPLITS, Example

THRESHOLDS = (1, 2, 3, 4, 5, 8, 10, 20)
FREQUENT_WORDS = 40
SAMPLES = 12
"""Sample pictures of each split."""


@dataclass(frozen=True)
class Summary:
    """The figures of a data set."""

    pictures: dict[str, int]
    """Pictures of each split."""
    captions: dict[str, int]
    lengths: dict[int, int]
    """Number of captions by their length in words."""
    words: tuple[tuple[str, int], ...]
    """Every word of the training captions with its count, most frequent first."""
    damaged: tuple[str, ...]
    duplicates: tuple[tuple[Example, ...], ...]
    """Groups of identical files in different splits."""

    @property
    def vocabulary(self) -> dict[int, tuple[int, float]]:
        """For each minimum count, the number of words and the share of tokens that they cover."""
        total = sum(count for _, count in self.words) or 1
        kept = {t: [count for _, count in self.words if count >= t] for t in THRESHOLDS}
        return {t: (len(counts), sum(counts) / total) for t, counts in kept.items()}

    @property
    def mean_length(self) -> float:
        """Mean number of words per caption."""
        captions = sum(self.lengths.values()) or 1
        return sum(length * count for length, count in self.lengths.items()) / captions


def summarize(
    examples: Sequence[Example], *, language: str = ENGLISH
) -> Iterator[Progress | Summary]:
    """Read every caption and every picture; the summary comes last."""
    damaged = []
    done = 0
    for batch in decode_ahead((example.image for example in examples), View(32), batch=32):
        damaged += [str(answer) for answer in batch if isinstance(answer, ImageError)]
        done += len(batch)
        yield Progress(done, len(examples))
    split = [(e.split, words_in(caption, language)) for e in examples for caption in e.captions]
    words = Counter(word for name, caption in split if name == "train" for word in caption)
    lengths = Counter(len(caption) for _, caption in split)
    yield Summary(
        pictures={s: sum(e.split == s for e in examples) for s in SPLITS},
        captions={s: sum(name == s for name, _ in split) for s in SPLITS},
        lengths=dict(sorted(lengths.items())),
        words=tuple(sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))),
        damaged=tuple(damaged),
        duplicates=tuple(_find_duplicates(examples)),
    )


def _find_duplicates(examples: Sequence[Example]) -> Iterator[tuple[Example, ...]]:
    """Groups of identical files in several splits; only files of equal size are read."""
    sizes = defaultdict[int, list[Example]](list)
    for example in examples:
        if (size := size_of(example.image)) is not None:
            sizes[size].append(example)
    for alike in sizes.values():
        same = defaultdict[bytes, list[Example]](list)
        for example in alike if len(alike) > 1 else ():
            same[sha256(read_bytes(example.image)).digest()].append(example)
        for group in same.values():
            if len({example.split for example in group}) > 1:
                yield tuple(group)


def format_summary(summary: Summary) -> str:
    """Format the summary as text."""
    lines = [f"{'':12} {'pictures':>9} {'captions':>9}"]
    for split in SPLITS:
        lines.append(f"{split:12} {summary.pictures[split]:9,} {summary.captions[split]:9,}")
    lines += ["", f"words per caption: {_describe_lengths(summary)}"]
    lines += [
        "",
        "words by minimum count in the training captions, and the share of tokens they cover:",
    ]
    for threshold, (count, share) in summary.vocabulary.items():
        lines.append(f"{threshold:5} {count:9,} {share:8.1%}")
    frequent = ", ".join(f"{word} {count:,}" for word, count in summary.words[:FREQUENT_WORDS])
    lines += ["", f"most frequent: {frequent}"]
    lines += ["", f"damaged pictures: {len(summary.damaged)}", *summary.damaged]
    lines.append(f"pictures in more than one split: {len(summary.duplicates)}")
    lines += _name_duplicates(summary)
    return "\n".join(lines)


def _describe_lengths(summary: Summary) -> str:
    lengths = [length for length, count in summary.lengths.items() for _ in range(count)]
    if not lengths:
        return "no captions"
    low, high = lengths[len(lengths) // 20], lengths[-1 - len(lengths) // 20]
    mean, longest = summary.mean_length, lengths[-1]
    return f"mean {mean:.1f}, 90 % between {low} and {high}, longest {longest}"


def _name_duplicates(summary: Summary) -> list[str]:
    return [" = ".join(f"{e.image.name} ({e.split})" for e in g) for g in summary.duplicates]


def render_summary(summary: Summary, examples: Sequence[Example], title: str) -> Iterator[str]:
    """The summary as one HTML page, in pieces, with sample pictures of each split."""
    lengths = [(str(n), summary.lengths.get(n, 0)) for n in _range(summary.lengths)]
    return render_page(
        "dataset.html",
        title,
        summary=summary,
        lengths=bar_chart("Caption length in words", lengths),
        words=bar_chart("Most frequent words", summary.words[:FREQUENT_WORDS]),
        duplicates=_name_duplicates(summary),
        samples=list(_pick_samples(examples)),
    )


def _range(lengths: Collection[int]) -> range:
    """All lengths from the shortest to the longest, so that the axis has no gaps."""
    return range(min(lengths), max(lengths) + 1) if lengths else range(0)


def _pick_samples(
    examples: Sequence[Example],
) -> Iterator[tuple[str, list[tuple[Example, Thumbnail | ImageError]]]]:
    for split in SPLITS:
        members = [example for example in examples if example.split == split]
        chosen = members[:: max(1, len(members) // SAMPLES)][:SAMPLES]
        if chosen:
            yield split, [(example, try_thumbnail(example.image)) for example in chosen]
