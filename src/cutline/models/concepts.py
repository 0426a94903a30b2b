"""The concept head: predicts which common nouns describe an image, and whether it is a photograph.

c       = softmax(fc(mean of the regions))              `classify`: ImageNet's 1,000 classes
s       = standardised square root of the mean of the regions
p[noun] = sigmoid(scale[noun] logit(weighted sum of c over the noun's classes) + correct(s)[noun])

ImageNet's classes are few and specific (118 breeds of dog); the nouns that people write are general
and many. The table `classes` says which classes belong to a noun. The linear layer `correct`, which
starts at zero, learns from captions and labels what the table cannot express (people, rooms,
giraffes).

A decoder attends to the likeliest nouns (You et al. 2016, arXiv 1603.03925) and may copy them (Yao
et al. 2017, arXiv 1708.05271), so it can use nouns that it never saw together with an image.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

CLASSES = 1000
CERTAIN = 1e-4
"""Probabilities are clamped to at least this distance from 0 and 1, which bounds their logits."""


class Concepts(NamedTuple):
    """The likeliest nouns of each image; the first is always `person`, however unlikely."""

    words: Int[Tensor, "rows concepts"]
    """Token ids of the nouns."""
    probabilities: Float[Tensor, "rows concepts"]


class DecoderInput(NamedTuple):
    """Regions with given concepts, for training: they need not be those predicted from the regions.

    Without regions the decoder learns from a sentence alone, whose nouns are the concepts.
    """

    regions: Float[Tensor, "rows regions width"] | None
    concepts: Concepts

    @property
    def shape(self) -> torch.Size:
        """(rows, concepts)."""
        return self.concepts.words.shape

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.concepts.words.device


class ConceptHead(nn.Module):
    """Predicts the probabilities of `nouns` nouns from regions; noun 0 is `person`.

    `count` is the number of nouns that a decoder reads. The buffer `words` holds the nouns' token
    ids, `classes` the weight of each ImageNet class for each noun; `middle` and `spread` are the
    mean and standard deviation of the features.
    """

    words: Tensor
    classes: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, width: int, nouns: int, *, count: int) -> None:
        super().__init__()
        self.count = min(count, nouns)
        self.classify = nn.Linear(width, CLASSES)
        self.correct = nn.Linear(width, nouns)
        self.photograph = nn.Linear(width, 1)
        self.scale = nn.Parameter(torch.ones(nouns))
        self.register_buffer("words", torch.zeros(nouns, dtype=torch.long))
        self.register_buffer("classes", torch.zeros(CLASSES, nouns))
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        for layer in (self.correct, self.photograph):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, regions: Float[Tensor, "rows regions width"]
    ) -> tuple[Concepts, Float[Tensor, " rows"]]:
        """The likeliest nouns, and the probability that the image is a photograph."""
        mean = regions.mean(dim=1)
        standard = self.standardise(mean)
        return self.top(self.logits(mean).sigmoid()), self.photograph(standard)[:, 0].sigmoid()

    def standardise(self, mean: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        """Standardise the features' square roots, since after a ReLU features have long tails."""
        return (mean.clamp(min=0).sqrt() - self.middle) / self.spread

    def logits(self, mean: Float[Tensor, "rows width"]) -> Float[Tensor, "rows nouns"]:
        """The logit of each noun's probability."""
        share = self.classify(mean).softmax(dim=-1) @ self.classes
        known = share.clamp(CERTAIN, 1 - CERTAIN).logit()
        return self.scale * known + self.correct(self.standardise(mean))

    def top(self, probabilities: Float[Tensor, "rows nouns"]) -> Concepts:
        """`person` and the `count` - 1 likeliest other nouns."""
        likely, places = probabilities[:, 1:].topk(self.count - 1, dim=-1)
        first = torch.zeros_like(probabilities[:, :1], dtype=torch.long)
        chosen = torch.cat([first, places + 1], dim=1)
        return Concepts(self.words[chosen], torch.cat([probabilities[:, :1], likely], dim=1))


def predict_concepts(decoder: Any, regions: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """The decoder's concepts (token ids, probabilities) and the probability of being a photograph.

    None for a decoder without concepts.
    """
    head = getattr(decoder, "concepts", None)
    if head is None:
        return None
    (words, probabilities), photograph = head(regions)
    return words, probabilities, photograph


def fit(
    head: ConceptHead,
    means: Float[Tensor, "rows width"],
    named: Float[Tensor, "rows nouns"],
    known: Bool[Tensor, "rows nouns"] | Float[Tensor, "rows nouns"],
    *,
    decay: float = 1e-2,
    steps: int = 400,
    learning_rate: float = 3e-3,
    batch: int = 1024,
    seed: int = 0,
) -> None:
    """Fit `correct` and `scale` by logistic regression, with AdamW.

    `means` are the means of the images' regions, `named` the targets from 0 to 1, and `known` the
    weights of the targets: 0 where nothing is known about a noun. The weight decay `decay` keeps
    `correct` near zero, so that a noun with few images relies on its classes.
    """
    head.correct.bias.data.fill_(-4.0)
    with torch.no_grad():
        standard = head.standardise(means)
        shares = torch.cat([head.classify(some).softmax(dim=-1) for some in means.split(4096)])
        known_logits = (shares @ head.classes).clamp(CERTAIN, 1 - CERTAIN).logit()
    _regress(
        lambda rows: head.scale * known_logits[rows] + head.correct(standard[rows]),
        [head.correct.weight],
        [head.correct.bias, head.scale],
        named,
        known.float(),
        decay=decay,
        steps=steps,
        learning_rate=learning_rate,
        batch=batch,
        seed=seed,
    )


def fit_photograph_classifier(
    head: ConceptHead,
    photographs: Float[Tensor, "rows width"],
    others: Float[Tensor, "drawings width"],
    *,
    decay: float = 1e-2,
    steps: int = 600,
    learning_rate: float = 3e-3,
    batch: int = 2048,
    seed: int = 0,
) -> None:
    """Fit the classifier of photographs against drawings, documents and other images.

    Logistic regression on the means of the images' regions; both classes have the same total
    weight.
    """
    with torch.no_grad():
        standard = head.standardise(torch.cat([photographs, others]))
    wanted = torch.cat([torch.ones(len(photographs), 1), torch.zeros(len(others), 1)])
    _regress(
        lambda rows: head.photograph(standard[rows]),
        [head.photograph.weight],
        [head.photograph.bias],
        wanted,
        torch.where(wanted > 0, 1.0, len(photographs) / len(others)),
        decay=decay,
        steps=steps,
        learning_rate=learning_rate,
        batch=batch,
        seed=seed,
    )


def _regress(
    logits: Callable[[Tensor], Tensor],
    weights: list[Tensor],
    others: list[Tensor],
    wanted: Float[Tensor, "rows columns"],
    counted: Float[Tensor, "rows columns"],
    *,
    decay: float,
    steps: int,
    learning_rate: float,
    batch: int,
    seed: int,
) -> None:
    """Logistic regression on random batches; `decay` applies to `weights`, not to `others`."""
    drawn = torch.Generator().manual_seed(seed)
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": decay / learning_rate},
        {"params": others},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0)
    for _ in range(steps):
        rows = torch.randint(len(wanted), (batch,), generator=drawn)
        loss = binary_cross_entropy_with_logits(
            logits(rows), wanted[rows], weight=counted[rows], reduction="sum"
        )
        optimizer.zero_grad()
        (loss / batch).backward()
        optimizer.step()
