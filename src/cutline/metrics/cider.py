"""CIDEr-D: how alike a prediction and its references are in n-grams that tell images apart.

Vedantam, Zitnick and Parikh 2015 (section 4 and its robust variant D), as the COCO evaluator
computes it. A sentence is a vector of its n-grams, each weighted by how often it stands there and
by how few images have it in their references; alike is the cosine of two vectors, counts clipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cutline.metrics.ngrams import Counts, Floats, Ints, Numbering, Words, add_up, flatten, look_up


@dataclass(frozen=True, slots=True)
class DocumentFrequencies:
    """In how many images' references each n-gram stands."""

    numbering: Numbering
    images: tuple[Ints, ...]
    """For single words, pairs, ...: the number of images for each n-gram's number."""
    total: int

    @classmethod
    def of(cls, references: Sequence[Sequence[Words]], *, order: int) -> "DocumentFrequencies":
        """Counts an image once, however many of its references have the n-gram."""
        sentences, owner = flatten(references)
        numbering = Numbering.of(sentences, order=order)
        grams = [Counts.of(owner[c.sentence], c.gram).gram for c in numbering.count(sentences)]
        return cls(numbering, tuple(np.bincount(gram) for gram in grams), len(references))

    def weights(self, counts: Counts, order: int) -> Floats:
        """How often the n-gram stands there x log(images / images that have it), as in eq. 1."""
        images = np.append(self.images[order - 1], 0)
        has_it = images[np.minimum(counts.gram, len(images) - 1)]
        return counts.times * (np.log(self.total) - np.log(np.maximum(1, has_it)))


class CiderD:
    """CIDEr-D; the document frequencies are given, or those of the references that are scored."""

    names = ("CIDEr-D",)

    def __init__(
        self,
        documents: DocumentFrequencies | None = None,
        *,
        order: int = 4,
        sigma: float = 6.0,
    ):
        self.documents, self.order, self.sigma = documents, order, sigma
        source = "refs" if documents is None else f"given/{documents.total}"
        self.settings: Mapping[str, str] = {"df": source, "n": str(order), "sigma": f"{sigma:g}"}

    @classmethod
    def from_references(
        cls, references: Sequence[Sequence[Words]], *, order: int = 4, sigma: float = 6.0
    ) -> "CiderD":
        """A scorer that keeps the frequencies of these images, say of a whole training set."""
        documents = DocumentFrequencies.of(references, order=order)
        return cls(documents, order=order, sigma=sigma)

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row an image: its score, between 0 and 10, and a 1 to count images by."""
        documents = self.documents or DocumentFrequencies.of(references, order=self.order)
        others, owner = flatten(references)
        counts = documents.numbering.count([*predictions, *others])
        alike = sum(
            _cosine(*count.part(len(predictions)), owner, documents, order)
            for order, count in enumerate(counts, start=1)
        )
        scores = 10 / self.order * alike * self._length_penalty(predictions, others, owner)
        sizes = np.bincount(owner)
        return np.stack([np.bincount(owner, scores) / sizes, np.ones(len(sizes))], axis=-1)

    def score(self, sums: Floats) -> Floats:
        """The mean over images."""
        return sums[..., :1] / sums[..., 1:]

    def _length_penalty(
        self, predictions: Sequence[Words], references: Sequence[Words], owner: Ints
    ) -> Floats:
        """exp(-(difference in length)^2 / 2 sigma^2), where the evaluator's length counts pairs."""
        length = np.array([max(0, len(words) - 1) for words in predictions])
        others = np.array([max(0, len(words) - 1) for words in references])
        return np.exp(-((length[owner] - others) ** 2) / (2 * self.sigma**2))


def _cosine(
    predicted: Counts, reference: Counts, owner: Ints, documents: DocumentFrequencies, order: int
) -> Floats:
    """For each reference the clipped cosine with its image's prediction (CIDEr-D, eq. 4)."""
    images = int(owner[-1]) + 1
    ours, theirs = documents.weights(predicted, order), documents.weights(reference, order)
    keys = predicted.keys(np.arange(images))
    clipped = np.minimum(look_up(keys, ours, reference.keys(owner)), theirs) * theirs
    norm = _norms(predicted, ours, images)[owner] * _norms(reference, theirs, len(owner))
    product = add_up(reference.sentence, clipped, len(owner))
    return np.divide(product, norm, out=np.zeros(len(owner)), where=norm > 0)


def _norms(counts: Counts, weights: Floats, sentences: int) -> Floats:
    return np.sqrt(add_up(counts.sentence, weights**2, sentences))
