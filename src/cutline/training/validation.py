"""Captions, scores and loss of a model on the validation split."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cutline import metrics
from cutline.datasets.batches import EncodedCaptions, encode_captions, pick_pictures
from cutline.inference.network import captions_of
from cutline.inference.torch import TorchEngine
from cutline.models.weights import cross_entropy
from cutline.text.vocabulary import PAD
from cutline.training import distributed
from cutline.training.batch_inputs import TrainingInputs
from cutline.types import Caption, Example, Report

CHOSEN_BY = "CIDEr-D"
"""The validation metric that decides which epoch is the best."""
AT_ONCE = 64
"""Images captioned together."""


class Validation(NamedTuple):
    """What a model makes of the validation split."""

    captions: list[Caption]
    report: Report | None
    """The scores; None with fewer than two images, for which CIDEr-D is meaningless."""
    loss: float | None
    """The cross-entropy of the reference captions without label smoothing, in nats a word."""


def validate(
    engine: TorchEngine, inputs: TrainingInputs, examples: Sequence[Example]
) -> Validation:
    """Caption and score the images, and compute the loss of what people wrote about them.

    In several processes each captions its share, and process 0 alone scores.
    """
    captions: list[Caption] = []
    own = distributed.share(examples)
    written = encode_captions(own, engine.vocabulary)
    total, words = 0.0, 0
    for start in range(0, len(own), AT_ONCE):
        some = own[start : start + AT_ONCE]
        regions = inputs.encode(some, engine.model.encoder)
        captions += captions_of(engine.read(regions), engine.vocabulary)
        loss, count = _loss(engine, regions, written, range(start, start + len(some)))
        total, words = total + loss * count, words + count
    captions = _collect(captions)
    total, words = map(sum, zip(*distributed.gather((total, words)), strict=True))
    if not distributed.is_first():
        return Validation(captions, None, total / words if words else None)
    predictions = {e.id: c.text for e, c in zip(examples, captions, strict=True)}
    references = {example.id: example.captions for example in examples}
    report = None
    if len(examples) > 1:
        language = engine.vocabulary.language
        report = metrics.score(predictions, references, partial=True, language=language)
    return Validation(captions, report, total / words if words else None)


def _collect(own: list[Caption]) -> list[Caption]:
    """The captions of all processes; from others without attention, concepts and candidates."""
    if distributed.size() == 1:
        return own
    fields = [(c.text, c.words, c.log_prob, c.word_log_probs) for c in own]
    return [
        Caption(text, tuple(words), log_prob, tuple(each))
        for text, words, log_prob, each in distributed.collect(fields)
    ]


@torch.inference_mode()
def _loss(
    engine: TorchEngine, regions: Tensor, written: EncodedCaptions, pictures: range
) -> tuple[float, int]:
    """The mean loss of the captions of some images, and the number of their words."""
    decoder = engine.model.decoder
    device = next(decoder.parameters()).device
    words = torch.from_numpy(pick_pictures(written, np.array(pictures)).words).to(device)
    log_probs = decoder(regions.float().to(device), words[:, :-1])
    return cross_entropy(log_probs, words[:, 1:]).item(), int((words[:, 1:] != PAD).sum())


def describe_kept(score: float | None) -> str:
    """What to say if no epoch was better than the model that training started from."""
    return (
        f"no epoch scored higher than the model that training started from ({CHOSEN_BY} "
        f"{100 * (score or 0):.1f} on validation), so that model is kept"
    )
