"""Why a model is bad: the same pictures, asked in other ways.

Enters: a captioner's network, pictures with people's captions. Leaves: an `Inspection`: numbers,
the likeliest cause, and all that a person should look at, as Markdown. Causes are looked for in
the order in which one hides another: words that mean other words, a view that shows something else
than training did, a decoder that ignores the picture.
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
from cutline.inference.captioner import captions_of
from cutline.inference.torch import TorchEngine
from cutline.metrics.degeneration import DegenerationStats
from cutline.models.weights import cross_entropy, encode
from cutline.text.vocabulary import PAD
from cutline.types import Caption, Example, Report

BATCH = 16
WORST = 20
VIEWS_TRIED_ON = 100
"""Pictures on which other views are tried."""
FEW = 20
"""With fewer pictures chance looks like a cause."""
BETTER = 0.05
"""Nats a word by which another view must beat the model's own to be named."""
DEAF = 0.02
"""A decoder to which the picture is worth fewer nats a word ignores it."""

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found; nats are natural logarithms, of a word, in people's captions."""

    pictures: int
    report: Report
    shuffled: float
    """CIDEr-D when every caption stands under the next picture."""
    like_black: float
    """The share of pictures whose caption is that of a black picture."""
    black_caption: str
    habits: DegenerationStats
    vocabulary: int
    surprise: float
    """Nats a word of people's captions, each word given those before it."""
    blind: float
    """The same beside the next picture instead of their own."""
    guess: float
    """The same for somebody who only knows how frequent each word is."""
    own_surprise: float
    """Nats a word of the model's own captions."""
    views: dict[str, float]
    """Nats a word through other views."""
    own_view: float
    """Nats a word through the model's own view, of the same pictures as `views`."""
    neighbours: float | None
    """CIDEr-D of the nearest training picture's caption; None without training pictures."""
    curve: list[Bin]
    worst: list[tuple[Example, Caption, float]]
    """The pictures with the lowest scores, with those."""

    @property
    def cause(self) -> str:
        """The likeliest reason for a bad model, a sentence; or that none was found."""
        if self.pictures < FEW:
            return f"{self.pictures} pictures are too few to find a cause: {FEW} are a beginning."
        if self.surprise > self.guess:
            return (
                f"The words mean other words: people's captions cost {self.surprise:.1f} nats a "
                f"word, more than the {self.guess:.1f} of knowing only how frequent words are, "
                f"yet the model is sure of its own ({self.own_surprise:.1f}). The vocabulary is "
                "not the one it was trained with, or in another order."
            )
        best = min(self.views, key=self.views.__getitem__, default=None)
        if best and self.views[best] < self.own_view - BETTER:
            return (
                f"The view is wrong: looked at by {best}, people's captions cost "
                f"{self.views[best]:.2f} nats a word instead of {self.own_view:.2f}. The model "
                "was trained to see pictures that way."
            )
        if self.habits.commonest > 0.25 or abs(self.blind - self.surprise) < DEAF:
            return (
                "The decoder ignores the picture: beside another picture people's captions cost "
                f"{self.blind:.2f} nats a word, beside their own {self.surprise:.2f}, "
                f"and {self.habits.commonest:.0%} of its own are "
                f"{self.habits.commonest_caption!r}. Its training collapsed (learning rate too "
                "high, picture too quiet beside words)."
            )
        return "No cause was found: words, picture and view belong together."

    @property
    def warnings(self) -> tuple[str, ...]:
        """More to look at, a sentence each."""
        said = list(self.habits.warnings)
        score = self.report.scores[JUDGE]
        if self.like_black > 0.05:
            said.append(
                f"{self.like_black:.0%} of the pictures get the caption of a black picture, "
                f"{self.black_caption!r}"
            )
        if self.neighbours is not None and self.neighbours > score:
            said.append("the caption of the nearest training picture is better than the model's")
        if (error := expected_error(self.curve)) > 0.1:
            said.append(f"confidence is off by {error:.2f} on average")
        return tuple(said)


def inspect(
    engine: TorchEngine,
    examples: Sequence[Example],
    train: Sequence[Example] = (),
    *,
    watch: Watch = lambda *_: None,
) -> Inspection:
    """Ask a captioner about pictures that it has not learnt from.

    `train` are training pictures to find neighbours among. Raises `DataError` with fewer than two
    pictures that can be read.
    """
    examples, regions = _look(engine, examples, engine.view, watch=watch)
    if len(examples) < 2:
        raise DataError("an inspection needs at least two pictures that can be read")
    captions = _write(engine, regions)
    report = _score(examples, [caption.text for caption in captions])
    black = _write(engine, encode(engine.model.encoder, _black(engine.view)))[0]
    scores = np.array([report.per_image[example.id][JUDGE] for example in examples])
    tried = examples[:VIEWS_TRIED_ON]
    return Inspection(
        pictures=len(examples),
        report=report,
        shuffled=_score(examples, [c.text for c in (*captions[1:], captions[0])]).scores[JUDGE],
        like_black=float(np.mean([caption.text == black.text for caption in captions])),
        black_caption=black.text,
        habits=DegenerationStats.of([caption.words for caption in captions]),
        vocabulary=len(engine.vocabulary),
        surprise=_surprise(engine, examples, regions),
        blind=_surprise(engine, examples, regions.roll(1, dims=0)),
        guess=_guess(engine, examples),
        own_surprise=-float(np.mean([p for c in captions for p in c.word_log_probs])),
        views=dict(_try_views(engine, tried)),
        own_view=_surprise(engine, tried, regions[: len(tried)]),
        neighbours=_ask_neighbours(engine, examples, regions, train, watch=watch),
        curve=_check_confidence(engine, captions, scores),
        worst=[(examples[i], captions[i], float(scores[i])) for i in np.argsort(scores)[:WORST]],
    )


def list_figures(found: Inspection) -> list[tuple[str, str]]:
    """What was measured, and how it came out."""
    score, habits = found.report.scores[JUDGE], found.habits
    rows = [
        ("CIDEr-D", f"{100 * score:.1f}"),
        ("CIDEr-D, captions one picture further", f"{100 * found.shuffled:.1f}"),
        ("pictures with the caption of a black one", f"{found.like_black:.0%}"),
        ("different captions", f"{habits.distinct:.0%}"),
        ("the commonest", f"{habits.commonest:.0%}, {habits.commonest_caption!r}"),
        ("words used of those known", f"{habits.words} of {found.vocabulary}"),
        ("captions that repeat themselves", f"{habits.repeating:.1%}"),
        ("captions that stop in mid-sentence", f"{habits.unfinished:.1%}"),
        ("nats a word, people's captions", f"{found.surprise:.2f}"),
        ("nats a word, beside another picture", f"{found.blind:.2f}"),
        ("nats a word, only word frequencies known", f"{found.guess:.2f}"),
        ("nats a word, its own captions", f"{found.own_surprise:.2f}"),
        ("gap between reading and writing", f"{found.surprise - found.own_surprise:.2f}"),
        *((f"nats a word, looked at by {view}", f"{n:.2f}") for view, n in found.views.items()),
        ("calibration error of the confidence", f"{expected_error(found.curve):.3f}"),
    ]
    if found.neighbours is not None:
        rows.insert(2, ("CIDEr-D, nearest training picture", f"{100 * found.neighbours:.1f}"))
    return rows


def tell_inspection(found: Inspection, model: str) -> str:
    """The report, as Markdown."""
    parts = [
        f"# Inspection of {model}",
        found.cause,
        "\n".join(f"- {warning}" for warning in found.warnings),
        "\n".join([f"| what | of {found.pictures} pictures |", "|---|---|"])
        + "\n"
        + "\n".join(f"| {name} | {value} |" for name, value in list_figures(found)),
        f"## Confidence\n\n{RULE[0].upper()}{RULE[1:]}.\n\n| captions | said | were good |\n"
        "|---|---|---|\n"
        + "\n".join(f"| {b.captions} | {b.confidence:.2f} | {b.good:.2f} |" for b in found.curve),
        "## The worst\n\n| picture | its caption | a person's | CIDEr-D |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {example.id} | {caption.text} | {example.captions[0]} | {100 * score:.0f} |"
            for example, caption, score in found.worst
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _look(
    engine: TorchEngine,
    examples: Sequence[Example],
    view: View,
    *,
    watch: Watch = lambda *_: None,
    turned: bool = False,
) -> tuple[list[Example], Tensor]:
    """The pictures that can be read, and what the encoder sees in them; `turned`: blue for red."""
    readable: list[Example] = []
    seen: list[Tensor] = []
    done = 0
    for batch in decode_ahead((e.image for e in examples), view, batch=BATCH):
        own = zip(examples[done : done + len(batch)], batch, strict=True)
        fine = [(e, pixels) for e, pixels in own if not isinstance(pixels, ImageError)]
        done += len(batch)
        watch("encoded", done, len(examples))
        if fine:
            readable += [example for example, _ in fine]
            pixels = np.stack([pixels for _, pixels in fine])
            seen.append(
                encode(engine.model.encoder, pixels[..., ::-1].copy() if turned else pixels)
            )
    return readable, torch.cat(seen) if seen else torch.empty(0)


def _write(engine: TorchEngine, regions: Tensor) -> list[Caption]:
    calibration = Calibration.from_card(engine.card)
    return [
        caption
        for some in regions.split(4 * BATCH)
        for caption in captions_of(engine.read(some), engine.vocabulary, calibration=calibration)
    ]


def _score(examples: Sequence[Example], texts: Sequence[str]) -> Report:
    predictions = {example.id: text for example, text in zip(examples, texts, strict=True)}
    references = {example.id: example.captions for example in examples}
    return metrics.score(predictions, references, partial=True)


def _black(view: View) -> NDArray[np.uint8]:
    return np.zeros((1, view.size, view.size, 3), np.uint8)


@torch.inference_mode()
def _surprise(
    engine: TorchEngine,
    examples: Sequence[Example],
    regions: Float[Tensor, "pictures regions width"],
) -> float:
    """Nats a word of people's captions."""
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


def _guess(engine: TorchEngine, examples: Sequence[Example]) -> float:
    """Nats a word for somebody who knows how often each word stands in these very captions."""
    captions = encode_captions(examples, engine.vocabulary)
    counts = np.bincount(np.delete(captions.words, captions.starts[:-1]))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _try_views(engine: TorchEngine, examples: Sequence[Example]) -> Iterator[tuple[str, float]]:
    """Nats a word through views that models are commonly trained with, and in other colours."""
    own = engine.view
    fits = [replace(own, fit=fit) for fit in ("squash", "crop") if fit != own.fit]
    sizes = [replace(own, size=size) for size in (224, 288) if size != own.size]
    for view in (*fits, *sizes):
        yield f"{view.fit} to {view.size} pixels", _surprise(engine, *_look(engine, examples, view))
    turned = _look(engine, examples, own, turned=True)
    yield "blue and red exchanged", _surprise(engine, *turned)


def _ask_neighbours(
    engine: TorchEngine,
    examples: Sequence[Example],
    regions: Tensor,
    train: Sequence[Example],
    *,
    watch: Watch,
) -> float | None:
    """CIDEr-D of the first caption of the nearest training picture (by the angle of features)."""
    if not train:
        return None
    known, seen = _look(engine, train, engine.view, watch=watch)
    theirs, ours = seen.mean(dim=1), regions.mean(dim=1)
    middle, spread = theirs.mean(dim=0), theirs.std(dim=0) + 1e-2
    unit = [torch.nn.functional.normalize((x - middle) / spread, dim=1) for x in (ours, theirs)]
    nearest = (unit[0] @ unit[1].T).argmax(dim=1).tolist()
    return _score(examples, [known[row].captions[0] for row in nearest]).scores[JUDGE]


def _check_confidence(
    engine: TorchEngine, captions: Sequence[Caption], scores: NDArray[np.float64]
) -> list[Bin]:
    confidence = np.array([caption.confidence for caption in captions])
    return calibration_curve(confidence, scores >= GOOD)
