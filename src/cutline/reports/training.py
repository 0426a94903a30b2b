"""The page of a training run: learning curves, scores of each epoch, sample captions.

Input: a model folder with `history.jsonl` (one line per step) and `epochs.jsonl` (one per epoch).
Output: `report.html` in that folder. Needs no torch, and can be repeated at any time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from cutline.errors import DataError, ImageError
from cutline.io.atomic import write_text_file
from cutline.reports.charts import Point, line_chart
from cutline.reports.html import render_page
from cutline.reports.thumbnails import Thumbnail, try_thumbnail
from cutline.training.history import HISTORY, Epoch, read_epochs, read_steps

PAGE = "report.html"
MAX_POINTS = 300
"""Points of the loss curve; with more steps each is the mean of several."""


@dataclass(frozen=True)
class SampleCaptions:
    """The captions of one validation picture over the epochs."""

    name: str
    thumbnail: Thumbnail | ImageError
    captions: list[tuple[str, str]]
    """Epochs, such as `3 to 7`, with the caption that all of them produced."""
    references: tuple[str, ...]


def write_training_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a model folder's training run and return its path.

    Raises `DataError` for a folder without a history, or with one that cannot be read.
    """
    steps = [(float(step["number"]), float(step["loss"])) for step in read_steps(folder)]
    epochs = read_epochs(folder)
    if not steps and not epochs:
        raise DataError(f"{folder} has no {HISTORY}: nothing was trained there")
    page = out or folder / PAGE
    title = f"Training of {folder.resolve().name}"
    write_text_file(_render(title, steps, epochs), page)
    return page


def _render(title: str, steps: Sequence[Point], epochs: Sequence[Epoch]) -> Iterator[str]:
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.scores))
    curves = [("Training loss", line_chart("Loss", _thin(steps), x_label="step"))]
    held_out = [(e.epoch + 1.0, e.validation_loss) for e in epochs if e.validation_loss is not None]
    if held_out:
        chart = line_chart("Loss", held_out, x_label="epoch", show_points=True)
        curves.append(("Validation loss, without label smoothing", chart))
    for name in reversed(names):  # the score that chooses the best epoch is the last
        points = [(e.epoch + 1.0, 100 * e.scores[name]) for e in epochs if name in e.scores]
        chart = line_chart(name, points, x_label="epoch", show_points=True)
        curves.append((f"{name} on the validation split", chart))
    return render_page(
        "training.html",
        title,
        curves=[(name, chart) for name, chart in curves if chart],
        epochs=epochs,
        names=names,
        samples=list(_collect_samples(epochs)),
    )


def _thin(steps: Sequence[Point]) -> list[Point]:
    size = max(1, ceil(len(steps) / MAX_POINTS))
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _collect_samples(epochs: Sequence[Epoch]) -> Iterator[SampleCaptions]:
    pictures = {s.picture: s.references for epoch in epochs for s in epoch.samples}
    for picture, references in pictures.items():
        captions = [
            (e.epoch + 1, s.caption) for e in epochs for s in e.samples if s.picture == picture
        ]
        path = Path(picture)
        yield SampleCaptions(path.name, try_thumbnail(path), list(_merge(captions)), references)


def _merge(captions: Sequence[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Join consecutive epochs with the same caption: `3 to 7`."""
    start = 0
    for number, (epoch, caption) in enumerate(captions):
        if number + 1 == len(captions) or captions[number + 1][1] != caption:
            first = captions[start][0]
            yield (f"{first}" if first == epoch else f"{first} to {epoch}"), caption
            start = number + 1
