"""How a training went, as a page: curves of loss and scores, and what it wrote on the way.

Enters: `history.jsonl`, a line a step, and `epochs.jsonl`, a line an epoch, both of a model folder.
Leaves: `report.html` in that folder. Needs no torch, and remakes the page at any time.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from pathlib import Path

from cutline.errors import DataError, ImageError
from cutline.io.atomic import write_text_file
from cutline.reports.html import draw_page
from cutline.reports.thumbnails import draw_thumbnail
from cutline.training.history import HISTORY, Epoch, _read, read_epochs

PAGE = "report.html"
POINTS = 300
"""Of a curve: of more steps the mean of some makes a point."""
WIDE, HIGH, LEFT, BELOW = 440, 180, 48, 24
"""A chart, and what its numbers take of it."""
Point = tuple[float, float]


def write_learning(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a model folder's training, and say where it is.

    Raises `DataError` for a folder in which nothing was trained.
    """
    steps = []
    for number, line in _read(folder / HISTORY):
        try:
            steps.append((float(line["number"]), float(line["loss"])))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{folder / HISTORY}, line {number}: this is no step") from None
    epochs = read_epochs(folder)
    if not steps and not epochs:
        raise DataError(f"{folder} has no {HISTORY}: nothing was trained there")
    page = out or folder / PAGE
    title = f"How {folder.resolve().name} learnt"
    write_text_file(draw_page(title, _draw(steps, epochs)), page)
    return page


def draw_chart(title: str, points: Sequence[Point], *, across: str, dots: bool = False) -> str:
    """A curve as SVG that says in words what it shows, for those who cannot see it."""
    points = [point for point in points if isfinite(point[1])]
    if not points:
        return ""
    low, high, step = _find_ticks([y for _, y in points])
    first, last = points[0][0], points[-1][0]

    def place(x: float, y: float) -> Point:
        right = LEFT + (WIDE - LEFT - 8) * ((x - first) / ((last - first) or 1))
        return right, 8 + (HIGH - BELOW - 8) * (high - y) / (high - low)

    name = "".join(letter for letter in title.lower() if letter.isalnum())
    told = (
        f"{points[0][1]:.3g} at {across} {first:,.0f}, {points[-1][1]:.3g} at {across} {last:,.0f};"
        f" from {min(y for _, y in points):.3g} to {max(y for _, y in points):.3g}"
    )
    drawn = [
        f'<svg role="img" aria-labelledby="{name}-title {name}-told" viewBox="0 0 {WIDE} {HIGH}" '
        f'width="{WIDE}"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-told">{escape(told)}</desc>'
    ]
    for number in range(round((high - low) / step) + 1):
        value = low + number * step
        y = place(first, value)[1]
        drawn.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDE - 8}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for x, anchor in ((first, "start"), (last, "end")):
        drawn.append(
            f'<text x="{place(x, low)[0]:.1f}" y="{HIGH - 4}" text-anchor="{anchor}">'
            f"{across} {x:,.0f}</text>"
        )
    places = [place(*point) for point in points]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    drawn.append(f'<path class="line" d="M{line}"/>')
    if dots:
        drawn += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    return "".join(drawn) + "</svg>"


def _find_ticks(values: Sequence[float]) -> tuple[float, float, float]:
    """The ends of an axis and the distance of its lines: 1, 2 or 5 of a power of ten."""
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    rough = spread / 4
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    low, high = step * floor(min(values) / step), step * ceil(max(values) / step)
    return low, high if high > low else low + step, step


def _draw(steps: Sequence[Point], epochs: Sequence[Epoch]) -> Iterator[str]:
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.scores))
    curves = [("Loss of the training", draw_chart("Loss", _thin(steps), across="step"))]
    for name in reversed(names):  # CIDEr-D, by which the best is chosen, is the last
        points = [(e.epoch + 1.0, 100 * e.scores[name]) for e in epochs if name in e.scores]
        chart = draw_chart(name, points, across="epoch", dots=True)
        curves.append((f"{name} on validation pictures", chart))
    figures = (
        f"<figure><figcaption>{escape(t)}</figcaption>{c}</figure>\n" for t, c in curves if c
    )
    yield f'<section><h2>Curves</h2><div class="charts">\n{"".join(figures)}</div></section>\n'
    if epochs:
        yield _draw_table(epochs, names)
        yield from _draw_samples(epochs)


def _thin(steps: Sequence[Point]) -> list[Point]:
    size = max(1, ceil(len(steps) / POINTS))
    groups = [steps[start : start + size] for start in range(0, len(steps), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _draw_table(epochs: Sequence[Epoch], names: Sequence[str]) -> str:
    """The same numbers, to be read."""
    heads = "".join(
        f'<th scope="col">{escape(n)}' for n in ("epoch", "step", "loss", *names, "best")
    )
    rows = []
    for epoch in epochs:
        scores = "".join(
            f"<td>{100 * epoch.scores[n]:.1f}" if n in epoch.scores else "<td>" for n in names
        )
        best = "<td>so far" if epoch.is_best else "<td>"
        rows.append(
            f'<tr><th scope="row">{epoch.epoch + 1}<td>{epoch.step:,}<td>{epoch.loss:.3f}'
            f"{scores}{best}"
        )
    return (
        '<section><h2>Epochs</h2><div class="wide" role="region" aria-label="epochs" tabindex="0">'
        f"<table><tr>{heads}{''.join(rows)}</table></div></section>\n"
    )


def _draw_samples(epochs: Sequence[Epoch]) -> Iterator[str]:
    """For each picture what was written under it, and in which epochs."""
    pictures = {s.picture: s.references for epoch in epochs for s in epoch.samples}
    if not pictures:
        return
    yield '<section><h2>What it wrote on the way</h2><div class="samples">\n'
    for picture, references in pictures.items():
        said = [(e.epoch + 1, s.caption) for e in epochs for s in e.samples if s.picture == picture]
        rows = "".join(
            f'<tr><th scope="row">{told}<td dir="auto">{escape(caption)}'
            for told, caption in _merge(said)
        )
        texts = "".join(f'<li dir="auto">{escape(text)}' for text in references)
        yield (
            f"<article><h3>{escape(Path(picture).name)}</h3>{_draw_picture(picture, said[-1][1])}"
            f'<table><tr><th scope="col">epochs<th scope="col">caption{rows}</table>'
            f"<details><summary>people wrote: {len(references)}</summary><ul>{texts}</ul></details>"
            "</article>\n"
        )
    yield "</div></section>\n"


def _merge(said: Sequence[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Epochs in a row that wrote the same, together: `3 to 7`."""
    start = 0
    for number, (epoch, caption) in enumerate(said):
        if number + 1 == len(said) or said[number + 1][1] != caption:
            first = said[start][0]
            yield (f"{first}" if first == epoch else f"{first} to {epoch}"), caption
            start = number + 1


def _draw_picture(picture: str, caption: str) -> str:
    try:
        small = draw_thumbnail(Path(picture))
    except ImageError as error:
        return f"<p>{escape(str(error))}</p>"
    return small.draw(f"{caption} (machine-written)")
