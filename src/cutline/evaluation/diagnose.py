"""Diagnose a bad model by measuring it on the same pictures under different conditions.

Input: an engine and pictures with reference captions. Output: an `Inspection` with figures, the
most likely cause and the worst captions, which `format_inspection` writes as Markdown. Causes are
checked in an order in which an earlier one would hide a later one: a vocabulary that does not match
the weights, a view that differs from that of training, a decoder that ignores the picture.

NLL is the negative log-likelihood in nats (natural logarithm) per word, end markers included.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cutline import metrics
from cutline.datasets.batches import encode_captions, pick_pictures
from cutline.errors import DataError, ImageError
from cutline.images.load import View
from cutline.images.prefetch import decode_ahead
from cutline.inference.calibration import (
    GOOD,
    JUDGE,
    RULE,
    Bin,
    Calibration,
    calibration_curve,
    expected_error,
)
from cutline.inference.network import captions_of
from cutline.inference.torch import TorchEngine
from cutline.metrics.degeneration import DegenerationStats
from cutline.models.weights import cross_entropy, encode
from cutline.text.vocabulary import PAD
from cutline.types import Caption, Example, Report

BATCH = 16
WORST_SHOWN = 20
VIEW_PICTURES = 100
"""Pictures on which other views are tried."""
MIN_PICTURES = 20
"""With fewer pictures no cause is named, since chance would look like one."""
MIN_VIEW_GAIN = 0.05
"""Nats per word by which another view must beat the model's own to be named as the cause."""
MIN_IMAGE_GAIN = 0.02
"""A decoder ignores the picture if the right one lowers the NLL by fewer nats per word."""

Watch = Callable[[str, int, int], None]
"""Called with a label, the pictures done and their total."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was measured. NLLs are of the reference captions unless said otherwise."""

    pictures: int
    report: Report
    shuffled: float
    """CIDEr-D with each caption assigned to the preceding picture."""
    like_black: float
    """Share of pictures that get the caption of an all-black picture."""
    black_caption: str
    habits: DegenerationStats
    vocabulary: int
    """Words that the model knows, markers included."""
    nll: float
    nll_wrong_image: float
    """NLL with each caption paired with another picture."""
    unigram_entropy: float
    """NLL of a model that knows only how frequent each word is in these captions."""
    nll_of_own_captions: float
    """NLL of the captions that the model writes itself."""
    nll_by_view: dict[str, float]
    """NLL through views other than the model's own."""
    nll_own_view: float
    """NLL through the model's own view, on the same pictures as `nll_by_view`."""
    nearest_neighbour: float | None
    """CIDEr-D of the nearest training picture's caption; None without training pictures."""
    curve: list[Bin]
    """Confidence against the share of good captions."""
    worst: list[tuple[Example, Caption, float]]
    """The pictures with the lowest CIDEr-D, with their captions and scores."""

    @property
    def cause(self) -> str:
        """A sentence that names the most likely cause, or says that none was found."""
        if self.pictures < MIN_PICTURES:
            return (
                f"{self.pictures} pictures are too few to find a cause: "
                f"use at least {MIN_PICTURES}."
            )
        if self.nll > self.unigram_entropy:
            return (
                "The vocabulary does not match the weights: the reference captions cost "
                f"{self.nll:.1f} nats per word, more than their unigram entropy "
                f"({self.unigram_entropy:.1f}), yet the model is sure of its own captions "
                f"({self.nll_of_own_captions:.1f}). Its words are not those it was trained with, "
                "or are in another order."
            )
        best = min(self.nll_by_view, key=self.nll_by_view.__getitem__, default=None)
        if best and self.nll_by_view[best] < self.nll_own_view - MIN_VIEW_GAIN:
            return (
                f"The view is wrong: with {best}, the reference captions cost "
                f"{self.nll_by_view[best]:.2f} nats per word instead of {self.nll_own_view:.2f}. "
                "The model was trained on pictures seen that way."
            )
        gain = abs(self.nll_wrong_image - self.nll)
        if self.habits.commonest > 0.25 or gain < MIN_IMAGE_GAIN:
            return (
                "The decoder ignores the picture: the reference captions cost "
                f"{self.nll_wrong_image:.2f} nats per word with another picture and "
                f"{self.nll:.2f} with their own, and {self.habits.commonest:.0%} of the model's "
                f"captions are {self.habits.commonest_caption!r}. Its training collapsed: the "
                "learning rate was too high, or the image features too small next to the words."
            )
        return "No cause was found: vocabulary, view and decoder fit the pictures."

    @property
    def warnings(self) -> tuple[str, ...]:
        """Further problems, a sentence each."""
        warnings = list(self.habits.warnings)
        score = self.report.scores[JUDGE]
        if self.like_black > 0.05:
            warnings.append(
                f"{self.like_black:.0%} of the pictures get the caption of a black picture, "
                f"{self.black_caption!r}"
            )
        if self.nearest_neighbour is not None and self.nearest_neighbour > score:
            warnings.append("captions copied from the nearest training picture score higher")
        if (error := expected_error(self.curve)) > 0.1:
            warnings.append(f"confidence is off by {error:.2f} on average")
        return tuple(warnings)


def inspect(
    engine: TorchEngine,
    examples: Sequence[Example],
    train: Sequence[Example] = (),
    *,
    watch: Watch = lambda *_: None,
) -> Inspection:
    """Inspect a model on pictures that it was not trained on.

    Nearest neighbours are looked up among `train`. Raises `DataError` if fewer than two of the
    `examples` can be read.
    """
    examples, regions = _encode_readable(engine, examples, engine.view, watch=watch)
    if len(examples) < 2:
        raise DataError("an inspection needs at least two pictures that can be read")
    captions = _caption(engine, regions)
    language = engine.vocabulary.language
    report = _score(examples, [caption.text for caption in captions], language)
    black = _caption(engine, encode(engine.model.encoder, _black(engine.view)))[0]
    scores = np.array([report.per_image[example.id][JUDGE] for example in examples])
    tried = examples[:VIEW_PICTURES]
    return Inspection(
        pictures=len(examples),
        report=report,
        shuffled=_score(examples, [c.text for c in (*captions[1:], captions[0])], language).scores[
            JUDGE
        ],
        like_black=float(np.mean([caption.text == black.text for caption in captions])),
        black_caption=black.text,
        habits=DegenerationStats.of([caption.words for caption in captions]),
        vocabulary=len(engine.vocabulary),
        nll=_nll(engine, examples, regions),
        nll_wrong_image=_nll(engine, examples, regions.roll(1, dims=0)),
        unigram_entropy=_unigram_entropy(engine, examples),
        nll_of_own_captions=-float(np.mean([p for c in captions for p in c.word_log_probs])),
        nll_by_view=dict(_try_views(engine, tried)),
        nll_own_view=_nll(engine, tried, regions[: len(tried)]),
        nearest_neighbour=_score_neighbours(engine, examples, regions, train, watch=watch),
        curve=calibration_curve(np.array([c.confidence for c in captions]), scores >= GOOD),
        worst=[
            (examples[i], captions[i], float(scores[i])) for i in np.argsort(scores)[:WORST_SHOWN]
        ],
    )


def list_figures(found: Inspection) -> list[tuple[str, str]]:
    """Every figure with its name, both as text."""
    score, habits = found.report.scores[JUDGE], found.habits
    rows = [
        ("CIDEr-D", f"{100 * score:.1f}"),
        ("CIDEr-D with captions shifted by one picture", f"{100 * found.shuffled:.1f}"),
        ("pictures captioned like a black picture", f"{found.like_black:.0%}"),
        ("distinct captions", f"{habits.distinct:.0%}"),
        ("most frequent caption", f"{habits.commonest:.0%}, {habits.commonest_caption!r}"),
        ("words used of those in the vocabulary", f"{habits.words} of {found.vocabulary}"),
        ("captions that repeat themselves", f"{habits.repeating:.1%}"),
        ("unfinished captions", f"{habits.unfinished:.1%}"),
        ("nats per word, reference captions", f"{found.nll:.2f}"),
        ("nats per word, with another picture", f"{found.nll_wrong_image:.2f}"),
        ("nats per word, unigram entropy", f"{found.unigram_entropy:.2f}"),
        ("nats per word, the model's own captions", f"{found.nll_of_own_captions:.2f}"),
        ("reference captions minus own captions", f"{found.nll - found.nll_of_own_captions:.2f}"),
        *((f"nats per word, with {view}", f"{nll:.2f}") for view, nll in found.nll_by_view.items()),
        ("expected calibration error", f"{expected_error(found.curve):.3f}"),
    ]
    if found.nearest_neighbour is not None:
        score = found.nearest_neighbour
        rows.insert(2, ("CIDEr-D of the nearest training picture's caption", f"{100 * score:.1f}"))
    return rows


def format_inspection(found: Inspection, model: str) -> str:
    """The report as Markdown."""
    parts = [
        f"# Inspection of {model}",
        found.cause,
        "\n".join(f"- {warning}" for warning in found.warnings),
        "\n".join([f"| figure | {found.pictures} pictures |", "|---|---|"])
        + "\n"
        + "\n".join(f"| {name} | {value} |" for name, value in list_figures(found)),
        f"## Confidence\n\n{RULE[0].upper()}{RULE[1:]}.\n\n| captions | confidence | good |\n"
        "|---|---|---|\n"
        + "\n".join(f"| {b.captions} | {b.confidence:.2f} | {b.good:.2f} |" for b in found.curve),
        "## Worst captions\n\n| picture | caption | reference | CIDEr-D |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {example.id} | {caption.text} | {example.captions[0]} | {100 * score:.0f} |"
            for example, caption, score in found.worst
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _encode_readable(
    engine: TorchEngine,
    examples: Sequence[Example],
    view: View,
    *,
    watch: Watch = lambda *_: None,
    swap_colours: bool = False,
) -> tuple[list[Example], Tensor]:
    """The examples whose pictures can be read, and their (pictures, regions, width) features.

    `swap_colours` exchanges red and blue.
    """
    readable: list[Example] = []
    features: list[Tensor] = []
    done = 0
    for batch in decode_ahead((e.image for e in examples), view, batch=BATCH):
        pairs = zip(examples[done : done + len(batch)], batch, strict=True)
        good = [(e, pixels) for e, pixels in pairs if not isinstance(pixels, ImageError)]
        done += len(batch)
        watch("encoded", done, len(examples))
        if good:
            readable += [example for example, _ in good]
            pixels = np.stack([pixels for _, pixels in good])
            if swap_colours:
                pixels = pixels[..., ::-1].copy()
            features.append(encode(engine.model.encoder, pixels))
    return readable, torch.cat(features) if features else torch.empty(0)


def _caption(engine: TorchEngine, regions: Tensor) -> list[Caption]:
    calibration = Calibration.from_card(engine.card)
    return [
        caption
        for batch in regions.split(4 * BATCH)
        for caption in captions_of(engine.read(batch), engine.vocabulary, calibration=calibration)
    ]


def _score(examples: Sequence[Example], texts: Sequence[str], language: str) -> Report:
    predictions = {example.id: text for example, text in zip(examples, texts, strict=True)}
    references = {example.id: example.captions for example in examples}
    return metrics.score(predictions, references, partial=True, language=language)


def _black(view: View) -> NDArray[np.uint8]:
    return np.zeros((1, view.size, view.size, 3), np.uint8)


@torch.inference_mode()
def _nll(
    engine: TorchEngine,
    examples: Sequence[Example],
    regions: Float[Tensor, "pictures regions width"],
) -> float:
    """Mean NLL of the reference captions."""
    captions = encode_captions(examples, engine.vocabulary)
    device = next(engine.model.decoder.parameters()).device
    total = words = 0.0
    for rows in np.array_split(np.arange(len(examples)), -(-len(examples) // BATCH)):
        written = torch.from_numpy(pick_pictures(captions, rows).words).to(device)
        seen = regions[torch.from_numpy(rows)].float().to(device)
        log_probs = engine.model.decoder(seen, written[:, :-1])
        count = int((written[:, 1:] != PAD).sum())
        total += float(cross_entropy(log_probs, written[:, 1:])) * count
        words += count
    return total / words


def _unigram_entropy(engine: TorchEngine, examples: Sequence[Example]) -> float:
    """NLL of the reference captions under their own word frequencies, start markers left out."""
    captions = encode_captions(examples, engine.vocabulary)
    counts = np.bincount(np.delete(captions.words, captions.starts[:-1]))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _try_views(engine: TorchEngine, examples: Sequence[Example]) -> Iterator[tuple[str, float]]:
    """NLL through other views that models are often trained with, and with red and blue swapped."""
    own = engine.view
    fits = [replace(own, fit=fit) for fit in ("squash", "crop") if fit != own.fit]
    sizes = [replace(own, size=size) for size in (224, 288) if size != own.size]
    for view in (*fits, *sizes):
        features = _encode_readable(engine, examples, view)
        yield f"{view.fit} to {view.size} pixels", _nll(engine, *features)
    swapped = _encode_readable(engine, examples, own, swap_colours=True)
    yield "red and blue swapped", _nll(engine, *swapped)


def _score_neighbours(
    engine: TorchEngine,
    examples: Sequence[Example],
    regions: Tensor,
    train: Sequence[Example],
    *,
    watch: Watch,
) -> float | None:
    """CIDEr-D of the first caption of the training picture with the most similar features.

    Similarity is the cosine of mean features, standardized over the training pictures.
    """
    if not train:
        return None
    known, features = _encode_readable(engine, train, engine.view, watch=watch)
    theirs, ours = features.mean(dim=1), regions.mean(dim=1)
    mean, std = theirs.mean(dim=0), theirs.std(dim=0) + 1e-2
    unit = [torch.nn.functional.normalize((x - mean) / std, dim=1) for x in (ours, theirs)]
    nearest = (unit[0] @ unit[1].T).argmax(dim=1).tolist()
    texts = [known[row].captions[0] for row in nearest]
    return _score(examples, texts, engine.vocabulary.language).scores[JUDGE]
