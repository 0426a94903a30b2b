"""CIDEr-D and CIDEr: TF-IDF-weighted n-gram similarity to the references.

Vedantam, Zitnick and Parikh 2015 (section 4 and its robust variant D), as the COCO evaluator
computes it. A sentence is a vector of its n-grams, weighted by their frequency in it and by the
inverse of the number of images whose references contain them; the score is the cosine similarity,
for CIDEr-D with clipped counts.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import reduce
from importlib.resources import files
from operator import add
from pathlib import Path

import numpy as np

from cutline.errors import DataError
from cutline.metrics.ngrams import (
    Counts,
    Floats,
    Ints,
    Numbering,
    Words,
    add_up,
    flatten,
    join,
    look_up,
)

ORDER = 4
"""Length of the longest n-grams, in words."""
COCO = "coco-val2017"
"""The table in the package, made from the 5,000 images of captions_val2017.json (COCO, CC BY 4.0)
by benchmarks/document_frequencies.py. With it, the score of a single image is meaningful."""


@dataclass(frozen=True, slots=True)
class DocumentFrequencies:
    """The number of images whose references contain each n-gram."""

    numbering: Numbering
    images: tuple[Ints, ...]
    """For words, bigrams, ...: the number of images, by the n-gram's id."""
    total: int
    name: str = ""
    """Their origin, for the signature."""

    @classmethod
    def of(
        cls, references: Sequence[Sequence[Words]], *, order: int = ORDER, name: str = ""
    ) -> "DocumentFrequencies":
        """Count an image once, however many of its references contain the n-gram."""
        sentences, owner = flatten(references)
        numbering = Numbering.of(sentences, order=order)
        grams = [Counts.of(owner[c.sentence], c.gram).gram for c in numbering.count(sentences)]
        images = tuple(np.bincount(gram) for gram in grams)
        return cls(numbering, images, len(references), name or f"given/{len(references)}")

    def __add__(self, other: "DocumentFrequencies") -> "DocumentFrequencies":
        """Those of this set of images and another one."""
        numbering, renumbered = self.numbering.join(other.numbering)
        images = []
        for order, (ours, theirs) in enumerate(renumbered):
            both = np.zeros(
                len(numbering.longer[order - 1] if order else numbering.words), np.int64
            )
            both[ours] += self.images[order]
            both[theirs] += other.images[order]
            images.append(both)
        total = self.total + other.total
        return DocumentFrequencies(numbering, tuple(images), total, f"given/{total}")

    @classmethod
    def coco(cls) -> "DocumentFrequencies":
        """Those of COCO's 2017 validation images, which are part of the package."""
        return cls.load(Path(str(files("cutline.metrics") / f"{COCO}.df.gz")))

    @classmethod
    def load(cls, path: Path) -> "DocumentFrequencies":
        """Read a table that `save` wrote; raises `DataError` for anything else."""
        try:
            with gzip.open(path, "rt", encoding="utf8") as file:
                total = int(next(file).removeprefix("images\t"))
                lines = [line.rstrip("\n").split("\t") for line in file]
            counts = {tuple(gram.split(" ")): int(images) for images, gram in lines}
            numbering, images = _number_table(counts)
            if total < 1:
                raise ValueError("it counts no images")
        except (OSError, EOFError, ValueError, KeyError, StopIteration, zlib.error) as error:
            reason = str(error) or type(error).__name__
            raise DataError(f"{path} is not a table of document frequencies: {reason}") from None
        return cls(numbering, images, total, path.name.removesuffix(".df.gz"))

    def save(self, path: Path) -> None:
        """Write compressed lines of text: the number of images, then a count and an n-gram each.

        N-grams of a single image are left out: they have the same weight as unknown ones.
        """
        with gzip.GzipFile(path, "wb", mtime=0) as file:
            file.write(f"images\t{self.total}\n".encode())
            for gram, images in self._list():
                file.write(f"{images}\t{' '.join(gram)}\n".encode())

    def _list(self) -> Iterator[tuple[tuple[str, ...], int]]:
        words = list(self.numbering.words)
        grams: list[tuple[str, ...]] = [(word,) for word in words]
        for order, images in enumerate(self.images):
            if order:
                parts = zip(*self.numbering.split(order), strict=True)
                grams = [(*grams[beginning], words[last]) for beginning, last in parts]
            counts = zip(grams, images.tolist(), strict=True)
            yield from ((gram, count) for gram, count in counts if count > 1)

    def weights(self, counts: Counts, order: int) -> Floats:
        """TF-IDF: count x log(images / images with the n-gram), as in eq. 1."""
        images = np.append(self.images[order - 1], 0)
        has_it = images[np.minimum(counts.gram, len(images) - 1)]
        return counts.times * (np.log(self.total) - np.log(np.maximum(1, has_it)))


class Cider:
    """CIDEr (section 4), with the given document frequencies or those of the references."""

    names: tuple[str, ...] = ("CIDEr",)

    def __init__(self, documents: DocumentFrequencies | None = None, *, order: int = ORDER):
        self.documents, self.order = documents, order
        self.settings: Mapping[str, str] = {
            "df": documents.name if documents else "refs",
            "n": str(order),
        }

    @classmethod
    def from_references(
        cls, references: Sequence[Sequence[Words]], *, order: int = ORDER
    ) -> "Cider":
        """A scorer with the document frequencies of these images, such as a training set."""
        return cls(DocumentFrequencies.of(references, order=order), order=order)

    def prepare(self, chunks: Iterable[Sequence[Sequence[Words]]]) -> "Cider":
        """The same metric for images whose references come in chunks: it knows all of them."""
        if self.documents:
            return self
        prepared = copy(self)  # the settings still say where the frequencies are from
        prepared.documents = reduce(
            add, (DocumentFrequencies.of(chunk, order=self.order) for chunk in chunks)
        )
        return prepared

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image: its score, between 0 and 10, and a 1 that counts images."""
        documents = self.documents or DocumentFrequencies.of(references, order=self.order)
        others, owner = flatten(references)
        counts = documents.numbering.count([*predictions, *others])
        alike = sum(
            self._compare(*count.part(len(predictions)), owner, documents, order)
            for order, count in enumerate(counts, start=1)
        )
        scores = 10 / self.order * alike * self._length_penalty(predictions, others, owner)
        sizes = np.bincount(owner)
        return np.stack([np.bincount(owner, scores) / sizes, np.ones(len(sizes))], axis=-1)

    def score(self, sums: Floats) -> Floats:
        """The mean over images."""
        return sums[..., :1] / sums[..., 1:]

    def _compare(
        self,
        predicted: Counts,
        reference: Counts,
        owner: Ints,
        documents: DocumentFrequencies,
        order: int,
    ) -> Floats:
        """The cosine of each reference with its image's prediction (eq. 2; CIDEr-D: eq. 4)."""
        images = int(owner[-1]) + 1
        ours, theirs = documents.weights(predicted, order), documents.weights(reference, order)
        shared = look_up(predicted.keys(np.arange(images)), ours, reference.keys(owner))
        norm = _norms(predicted, ours, images)[owner] * _norms(reference, theirs, len(owner))
        weighed = self._clip(shared.astype(float), theirs) * theirs
        product = add_up(reference.sentence, weighed, len(owner))
        return np.divide(product, norm, out=np.zeros(len(owner)), where=norm > 0)

    def _clip(self, ours: Floats, _theirs: Floats) -> Floats:
        return ours

    def _length_penalty(
        self, _predictions: Sequence[Words], _references: Sequence[Words], owner: Ints
    ) -> Floats:
        return np.ones(len(owner))


class CiderD(Cider):
    """CIDEr-D, the robust variant: counts are clipped, and differences in length penalized."""

    names = ("CIDEr-D",)

    def __init__(
        self,
        documents: DocumentFrequencies | None = None,
        *,
        order: int = ORDER,
        sigma: float = 6.0,
    ):
        super().__init__(documents, order=order)
        self.sigma = sigma
        self.settings = {**self.settings, "sigma": f"{sigma:g}"}

    def _clip(self, ours: Floats, theirs: Floats) -> Floats:
        return np.minimum(ours, theirs)

    def _length_penalty(
        self, predictions: Sequence[Words], references: Sequence[Words], owner: Ints
    ) -> Floats:
        """exp(-(difference in length)^2 / 2 sigma^2); the evaluator's length counts bigrams."""
        length = np.array([max(0, len(words) - 1) for words in predictions])
        others = np.array([max(0, len(words) - 1) for words in references])
        return np.exp(-((length[owner] - others) ** 2) / (2 * self.sigma**2))


def _norms(counts: Counts, weights: Floats, sentences: int) -> Floats:
    return np.sqrt(add_up(counts.sentence, weights**2, sentences))


def _number_table(counts: Mapping[tuple[str, ...], int]) -> tuple[Numbering, tuple[Ints, ...]]:
    """The numbering of a table's n-grams, and the images of each id, length by length."""
    numbers: dict[tuple[str, ...], int] = {}
    numbers |= {gram: number for number, gram in enumerate(g for g in counts if len(g) == 1)}
    words = {gram[0]: number for gram, number in numbers.items()}
    images, longer = [_in_order(numbers, counts)], []
    for order in range(2, max([ORDER, *map(len, counts)]) + 1):
        grams = [gram for gram in counts if len(gram) == order]
        keys = {gram: join(numbers[gram[:-1]], words[gram[-1]]) for gram in grams}
        numbers = {gram: number for number, gram in enumerate(sorted(grams, key=keys.__getitem__))}
        longer.append(np.array(sorted(keys.values()), np.int64))
        images.append(_in_order(numbers, counts))
    return Numbering(words, tuple(longer)), tuple(images)


def _in_order(grams: Iterable[tuple[str, ...]], counts: Mapping[tuple[str, ...], int]) -> Ints:
    return np.array([counts[gram] for gram in grams], np.int64)
