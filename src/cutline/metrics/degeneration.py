"""Bad habits of a captioner, as they show in what it wrote, whatever the pictures were.

Enters: captions as tuples of words. Leaves: shares between 0 and 1, and sentences about those that
are too high. Training warns with them early, `cutline inspect` reports them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cutline.metrics.diversity import UNFINISHED, repeats_itself

FEW = 20
"""Of fewer captions, shares say little."""

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class DegenerationStats:
    """Shares of captions, or of a vocabulary."""

    captions: int
    distinct: float
    """Different captions."""
    commonest: float
    """The captions that are the commonest one."""
    commonest_caption: str
    repeating: float
    """Captions that repeat themselves, as `metrics.diversity` counts them."""
    unfinished: float
    """Captions that end in a word like `the`, as counted there, or are empty."""
    words: int
    """Different words used."""

    @classmethod
    def of(cls, captions: Sentences) -> "DegenerationStats":
        """Count; there is a caption at least."""
        counts = Counter(map(" ".join, captions))
        text, times = counts.most_common(1)[0]
        return cls(
            captions=len(captions),
            distinct=len(counts) / len(captions),
            commonest=times / len(captions),
            commonest_caption=text,
            repeating=sum(map(repeats_itself, captions)) / len(captions),
            unfinished=sum(not words or words[-1] in UNFINISHED for words in captions)
            / len(captions),
            words=len({word for words in captions for word in words}),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should look at, a sentence each."""
        if self.captions < FEW:
            return ()
        said = []
        if self.commonest > 0.25:
            said.append(f"{self.commonest:.0%} of the captions are {self.commonest_caption!r}")
        elif self.distinct < 0.1:
            said.append(f"only {self.distinct:.0%} of the captions are different from all others")
        if self.repeating > 0.1:
            said.append(f"{self.repeating:.0%} of the captions repeat themselves")
        if self.unfinished > 0.1:
            said.append(f"{self.unfinished:.0%} of the captions stop in mid-sentence")
        return tuple(said)
