"""Loss functions: cross-entropy and self-critical training.

Each is called with the model, its input, the token ids of the reference captions, and the progress
of the run from 0 to 1, and returns its terms as sums and counts.
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
from cutline.models.search import StepDecoder, greedy, sample
from cutline.models.weights import sum_cross_entropy
from cutline.text.vocabulary import END, PAD, START, UNKNOWN
from cutline.training.trainer import Loss, Term


class TextOnlyBatch(NamedTuple):
    """Sentences without images: concepts in place of regions, token ids, and weights of rows."""

    inputs: DecoderInput
    words: Int[Tensor, "rows time"]
    weights: Float[Tensor, " rows"]


class MixedBatch(NamedTuple):
    """A batch of images, and a batch of sentences without images."""

    pictures: Tensor | DecoderInput
    sentences: TextOnlyBatch


Sentence = list[str]
"""Words, with the end marker as the last."""
MARKER = -1
"""Stands for a sampled start or unknown marker, which matches no word of a reference."""


@runtime_checkable
class TrainableModel(Protocol):
    """What a loss needs of a model."""

    encoder: nn.Module
    decoder: nn.Module

    def __call__(self, seen: Tensor | DecoderInput, words: Tensor) -> Tensor:
        """Log-probabilities of the next word at every position."""


class CrossEntropy:
    """Mean negative log-probability of the reference words (Vinyals et al. 2015, equation 13).

    `smoothing` is the label smoothing. With `sampled` above 0 some input words are replaced by the
    decoder's own samples, a fraction that grows linearly to `sampled` at the end of the run
    (scheduled sampling, Bengio et al. 2015). All are sampled in one pass that reads the reference
    (Mihaylova & Martins 2019), which works with every decoder. `doubly_stochastic` is the weight of
    `attention_penalty`, for a decoder that has `attend`.
    """

    def __init__(
        self, *, smoothing: float = 0.0, sampled: float = 0.0, doubly_stochastic: float = 0.0
    ) -> None:
        self.smoothing, self.sampled = smoothing, sampled
        self.doubly_stochastic = doubly_stochastic

    def __call__(
        self, model: TrainableModel, seen: Tensor | DecoderInput, words: Tensor, progress: float
    ) -> Loss:
        """The loss of a batch, in nats a word."""
        read, expected = words[:, :-1], words[:, 1:]
        if self.sampled:
            read = self._with_guesses(model, seen, read, self.sampled * progress)
        if not self.doubly_stochastic:
            return (self._term(model(seen, read), expected),)
        decoder: Any = model.decoder
        log_probs, gaze = decoder.attend(model.encoder(seen), read)
        penalty = self.doubly_stochastic * attention_penalty(gaze, expected)
        captions = (expected != PAD).any(dim=1).sum()
        return self._term(log_probs, expected), Term(penalty, captions)

    def _term(self, log_probs: Tensor, expected: Tensor) -> Term:
        loss = sum_cross_entropy(log_probs, expected, smoothing=self.smoothing)
        plain, _ = sum_cross_entropy(log_probs.detach(), expected) if self.smoothing else loss
        return Term(*loss, plain.detach())

    @torch.no_grad()
    def _with_guesses(
        self, model: TrainableModel, seen: Tensor | DecoderInput, read: Tensor, share: float
    ) -> Tensor:
        likely = model(seen, read)[:, :-1]
        guessed = torch.multinomial(likely.float().exp().flatten(0, 1), 1).view(likely.shape[:2])
        replaced = torch.rand(guessed.shape, device=read.device) < share
        replaced &= (read[:, 1:] != PAD) & (guessed > UNKNOWN)
        return torch.cat([read[:, :1], torch.where(replaced, guessed, read[:, 1:])], dim=1)


def attention_penalty(
    gaze: Float[Tensor, "rows time regions"], words: Int[Tensor, "rows time"]
) -> Float[Tensor, ""]:
    """How unevenly captions look at the regions (Xu et al. 2015, equation 14, without lambda).

    The sum over captions and regions of (1 - the attention to the region, summed over the words)^2.
    """
    is_word = words != PAD
    looked = (gaze * is_word[..., None]).sum(dim=1)
    return ((1 - looked).square().sum(dim=1) * is_word.any(dim=1)).sum()


class WithSentences:
    """Another loss plus the cross-entropy of sentences without images."""

    def __init__(self, objective: Any, *, smoothing: float = 0.0) -> None:
        self.objective, self.smoothing = objective, smoothing

    def __call__(
        self, model: TrainableModel, seen: MixedBatch, words: Tensor, progress: float
    ) -> Loss:
        """The terms of both losses of a batch."""
        loss: Loss = self.objective(model, seen.pictures, words, progress)
        inputs, read, weights = seen.sentences
        log_probs = model.decoder(inputs, read[:, :-1])
        alone = sum_cross_entropy(log_probs, read[:, 1:], smoothing=self.smoothing, weights=weights)
        return (*loss, Term(*alone))


class SelfCritical:
    """Self-critical sequence training: REINFORCE on sentence scores of sampled captions.

    Rennie et al. 2017 (arXiv 1612.00563), with the mean reward of an image's other samples as the
    baseline (Luo 2020, arXiv 2003.09971), or with `greedy` the reward of the caption by greedy
    search, as in the paper. The reward is the weighted sum of the metrics in
    `rewards`, less `invented_person` and `invented_object` for people and objects that no reference
    names (`metrics.hallucination`). Captions are scored with their end marker; otherwise unfinished
    ones would be rewarded.
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
        greedy: bool = False,
    ) -> None:
        self.rewards, self.vocabulary, self.greedy = rewards, vocabulary, greedy
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
        greedy: bool = False,
    ) -> "SelfCritical":
        """The loss whose rewards are CIDEr-D, weighted BLEU-4 and weighted METEOR.

        `captions` are the reference captions of each training image as token ids without markers,
        from which CIDEr-D takes its document frequencies.
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
            greedy=greedy,
        )

    def __call__(
        self, model: TrainableModel, seen: Tensor | DecoderInput, words: Tensor, progress: float
    ) -> Loss:
        """The loss of a batch; rows of `words` are images x captions per image."""
        assert isinstance(model.decoder, StepDecoder)
        regions = model.encoder(seen)
        drawn, log_probs, *_ = sample(
            model.decoder,
            regions,
            samples=self.samples,
            max_words=self.max_words,
            every_word=True,  # never sampled, markers would collect what bad words lose
        )
        written = words.view(len(drawn), -1, words.shape[1])
        rewards = self._reward(drawn, written)
        if self.greedy:
            baseline = self._reward(self._search(model.decoder, regions), written)
        else:
            baseline = (rewards.sum(dim=1, keepdim=True) - rewards) / (self.samples - 1)
        gain = (rewards - baseline).to(log_probs.device)
        return (Term(-(gain[..., None] * log_probs).sum(), (drawn != PAD).sum()),)

    def _search(self, decoder: Any, regions: Any) -> Int[Tensor, "pictures 1 time"]:
        """The captions by greedy search, without dropout, as the model is used."""
        was_training = decoder.training
        found = greedy(decoder.eval(), regions, max_words=self.max_words)
        decoder.train(was_training)
        return found.words

    def _reward(
        self,
        drawn: Int[Tensor, "pictures samples time"],
        written: Int[Tensor, "pictures each longest"],
    ) -> Float[Tensor, "pictures samples"]:
        references = [
            [caption for caption in map(self._to_words, own) if caption]
            for own in written[:, :, 1:].tolist()
        ]
        wrong = (drawn == START) | (drawn == UNKNOWN)
        said = drawn.masked_fill(wrong, MARKER).tolist()
        predictions = [self._to_words(words) for own in said for words in own]
        repeated = [own for own in references for _ in range(drawn.shape[1])]
        total = np.zeros(len(predictions))
        for metric, weight in self.rewards:
            total += weight * metric.score(metric.statistics(predictions, repeated))[:, -1]
        if self.invented_person or self.invented_object:
            total -= self._hallucination_penalty(predictions, repeated)
        return torch.from_numpy(total).float().view(drawn.shape[:2])

    def _hallucination_penalty(
        self, predictions: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
    ) -> NDArray[np.float64]:
        """The penalty of each prediction for people and objects that no reference names."""
        found = [find_invented(*both) for both in zip(predictions, references, strict=True)]
        return np.array(
            [
                self.invented_person * each.invented_person
                + self.invented_object * len(each.invented_objects)
                for each in found
            ]
        )

    def _to_words(self, ids: Sequence[int]) -> Sentence:
        words = (word for word in ids if word != PAD)
        return ["" if word == MARKER else self.vocabulary[word] for word in words]
