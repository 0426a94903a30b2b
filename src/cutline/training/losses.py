"""What training makes small.

`CrossEntropy`: how surprised the decoder is by what people wrote. `SelfCritical`: how much worse
than its other captions of the picture those are that it drew. Both are called with a model in
training, what it sees, and all captions of these pictures; a loss comes back.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from cutline.metrics import Metric
from cutline.metrics.bleu import Bleu
from cutline.metrics.cider import CiderD
from cutline.metrics.hallucination import find_invented
from cutline.metrics.meteor import Meteor
from cutline.models.concepts import DecoderInput
from cutline.models.search import StepDecoder, sample
from cutline.models.weights import cross_entropy
from cutline.text.vocabulary import END, PAD, START, UNKNOWN


class TextOnlyBatch(NamedTuple):
    """Sentences without pictures: what stands for these, the words, and what each row counts."""

    sight: DecoderInput
    words: Int[Tensor, "rows time"]
    weights: Float[Tensor, " rows"]


class MixedBatch(NamedTuple):
    """A batch of pictures, and sentences that are read beside it."""

    pictures: Tensor | DecoderInput
    alone: TextOnlyBatch


Sentence = list[str]
"""Words, the end marker among them."""
WRONG = -1
"""A drawn marker: no word of a reference is like it."""


@runtime_checkable
class TrainableModel(Protocol):
    """What an objective needs of a model: an encoder, a decoder, and both at once."""

    encoder: nn.Module
    decoder: nn.Module

    def __call__(self, seen: Tensor | DecoderInput, words: Tensor) -> Tensor:
        """Log-probabilities of each next word."""


class CrossEntropy:
    """Mean negative log-probability of what people wrote (Vinyals et al. 2015, equation 13).

    With `sampled` above 0 a growing share of the words that the decoder reads, up to this share at
    the end of the run, are its own guesses (scheduled sampling, Bengio et al. 2015); all are
    guessed at once from what people wrote before them (Mihaylova & Martins 2019), so that every
    decoder can do it.
    """

    def __init__(self, *, smoothing: float = 0.0, sampled: float = 0.0) -> None:
        self.smoothing, self.sampled = smoothing, sampled

    def __call__(
        self, model: TrainableModel, seen: Tensor | DecoderInput, words: Tensor, done: float
    ) -> Tensor:
        """The loss of one batch; `done` is the share of the run that is over."""
        read, expected = words[:, :-1], words[:, 1:]
        if self.sampled:
            read = self._with_guesses(model, seen, read, self.sampled * done)
        return cross_entropy(model(seen, read), expected, smoothing=self.smoothing)

    @torch.no_grad()
    def _with_guesses(
        self, model: TrainableModel, seen: Tensor | DecoderInput, read: Tensor, share: float
    ) -> Tensor:
        likely = model(seen, read)[:, :-1]
        guessed = torch.multinomial(likely.float().exp().flatten(0, 1), 1).view(likely.shape[:2])
        replaced = torch.rand(guessed.shape, device=read.device) < share
        replaced &= (read[:, 1:] != PAD) & (guessed > UNKNOWN)
        return torch.cat([read[:, :1], torch.where(replaced, guessed, read[:, 1:])], dim=1)


class WithSentences:
    """Another objective, and beside it the surprise at sentences without pictures."""

    def __init__(self, objective: Any, *, smoothing: float = 0.0) -> None:
        self.objective, self.smoothing = objective, smoothing

    def __call__(
        self, model: TrainableModel, seen: MixedBatch, words: Tensor, done: float
    ) -> Tensor:
        """The sum of both losses."""
        loss: Tensor = self.objective(model, seen.pictures, words, done)
        sight, read, weights = seen.alone
        told = model.decoder(sight, read[:, :-1])
        return loss + cross_entropy(told, read[:, 1:], smoothing=self.smoothing, weights=weights)


class SelfCritical:
    """Captions that beat the others drawn for their picture become likelier (REINFORCE).

    Rennie et al. 2017 (arXiv 1612.00563) with the mean of the other samples as baseline (Luo 2020,
    arXiv 2003.09971). Rewards are `rewards`' weighted sum of sentence scores, on the vocabulary's
    words with the end marker among them: otherwise a caption is rewarded for not ending. What
    `metrics.hallucination` finds in a caption lessens it.
    """

    def __init__(
        self,
        rewards: Sequence[tuple[Metric, float]],
        vocabulary: Sequence[str],
        *,
        samples: int = 5,
        max_words: int = 20,
        invented_person: float = 0.0,
        invented_object: float = 0.0,
    ) -> None:
        self.rewards, self.vocabulary = rewards, vocabulary
        self.samples, self.max_words = samples, max_words
        self.invented_person, self.invented_object = invented_person, invented_object

    @classmethod
    def of(
        cls,
        captions: Sequence[Sequence[Sequence[int]]],
        vocabulary: Sequence[str],
        *,
        bleu: float = 0.0,
        meteor: float = 0.0,
        samples: int = 5,
        max_words: int = 20,
        invented_person: float = 0.0,
        invented_object: float = 0.0,
    ) -> "SelfCritical":
        """Rewards of CIDEr-D, with the document frequencies of each picture's captions (as word ids
        without markers), and of BLEU-4 and METEOR, weighed.
        """
        ended = [[[*(vocabulary[w] for w in c), vocabulary[END]] for c in own] for own in captions]
        rewards: list[tuple[Metric, float]] = [(CiderD.from_references(ended), 1.0)]
        rewards += [(Bleu(), bleu)] if bleu else []
        rewards += [(Meteor(), meteor)] if meteor else []
        return cls(
            rewards,
            vocabulary,
            samples=samples,
            max_words=max_words,
            invented_person=invented_person,
            invented_object=invented_object,
        )

    def __call__(
        self, model: TrainableModel, seen: Tensor | DecoderInput, words: Tensor, done: float
    ) -> Tensor:
        """The loss of one batch. Rows of `words` are pictures x captions."""
        assert isinstance(model.decoder, StepDecoder)
        drawn, log_probs, *_ = sample(
            model.decoder,
            model.encoder(seen),
            samples=self.samples,
            max_words=self.max_words,
            every_word=True,  # markers never drawn would keep what is taken from bad words
        )
        rewards = self._reward(drawn, words.view(len(drawn), -1, words.shape[1]))
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (self.samples - 1)
        gain = (rewards - others).to(log_probs.device)
        return -(gain[..., None] * log_probs).sum() / (drawn != PAD).sum()

    def _reward(
        self,
        drawn: Int[Tensor, "pictures samples time"],
        written: Int[Tensor, "pictures each longest"],
    ) -> Float[Tensor, "pictures samples"]:
        references = [
            [caption for caption in map(self._spell, own) if caption]
            for own in written[:, :, 1:].tolist()
        ]
        wrong = (drawn == START) | (drawn == UNKNOWN)
        said = drawn.masked_fill(wrong, WRONG).tolist()
        predictions = [self._spell(words) for own in said for words in own]
        repeated = [own for own in references for _ in range(drawn.shape[1])]
        total = np.zeros(len(predictions))
        for metric, weight in self.rewards:
            total += weight * metric.score(metric.statistics(predictions, repeated))[:, -1]
        if self.invented_person or self.invented_object:
            total -= self._fine(predictions, repeated)
        return torch.from_numpy(total).float().view(drawn.shape[:2])

    def _fine(
        self, predictions: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
    ) -> NDArray[np.float64]:
        """What each prediction loses for people and things that no reference names."""
        found = [find_invented(*both) for both in zip(predictions, references, strict=True)]
        return np.array(
            [
                self.invented_person * each.invented_person
                + self.invented_object * len(each.invented_objects)
                for each in found
            ]
        )

    def _spell(self, ids: Sequence[int]) -> Sentence:
        words = (word for word in ids if word != PAD)
        return ["" if word == WRONG else self.vocabulary[word] for word in words]
