"""Degenerate captions: repetition, unfinished sentences, the same caption for everything.

These are computed from the captions alone, whatever the images. Training warns about them early,
and `cutline inspect` reports them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cutline.metrics.diversity import repeats_itself
from cutline.text.style import is_unfinished

MIN_CAPTIONS = 20
"""With fewer captions there are no warnings."""

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class DegenerationStats:
    """Statistics of a set of captions, as fractions of it unless stated otherwise."""

    captions: int
    distinct: float
    """Distinct captions."""
    commonest: float
    """Occurrences of the most frequent caption."""
    commonest_caption: str
    repeating: float
    """Captions for which `diversity.repeats_itself` is true."""
    unfinished: float
    """Captions that are empty or end in one of `style.UNFINISHED`."""
    words: int
    """Number of distinct words."""

    @classmethod
    def of(cls, captions: Sentences) -> "DegenerationStats":
        """Compute the statistics of at least one caption, each a sequence of words."""
        counts = Counter(map(" ".join, captions))
        text, times = counts.most_common(1)[0]
        return cls(
            captions=len(captions),
            distinct=len(counts) / len(captions),
            commonest=times / len(captions),
            commonest_caption=text,
            repeating=sum(map(repeats_itself, captions)) / len(captions),
            unfinished=sum(is_unfinished(words) for words in captions) / len(captions),
            words=len({word for words in captions for word in words}),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about values that are too high, one sentence each."""
        if self.captions < MIN_CAPTIONS:
            return ()
        problems = []
        if self.commonest > 0.25:
            problems.append(f"{self.commonest:.0%} of the captions are {self.commonest_caption!r}")
        elif self.distinct < 0.1:
            problems.append(
                f"only {self.distinct:.0%} of the captions are different from all others"
            )
        if self.repeating > 0.1:
            problems.append(f"{self.repeating:.0%} of the captions repeat themselves")
        if self.unfinished > 0.1:
            problems.append(f"{self.unfinished:.0%} of the captions stop in mid-sentence")
        return tuple(problems)
