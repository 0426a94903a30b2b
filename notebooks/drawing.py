"""Figures of the notebooks: small when stored, and described for those who cannot see them.

A description becomes the picture's alternative text, in Jupyter and in exported pages.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image as Shown
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

COLOURS = 96
"""Of a stored figure: a palette makes it a third as large."""
BLUE, ORANGE, GREEN, RED, GREY = "#4c72b0", "#dd8452", "#3f8f4f", "#c44e52", "#777777"
plt.rcParams["figure.dpi"] = 80


def show(figure: Figure | Image.Image, description: str, *, colours: int = COLOURS) -> None:
    """Show a figure or a picture, with a description as its alternative text."""
    display(describe(figure, description, colours=colours))
    if isinstance(figure, Figure):
        plt.close(figure)


def describe(figure: Figure | Image.Image, description: str, *, colours: int = COLOURS) -> Shown:
    """The figure as a small PNG file that carries its description."""
    if isinstance(figure, Figure):
        drawn = io.BytesIO()
        figure.savefig(drawn, bbox_inches="tight", pad_inches=0.05)
        figure = Image.open(drawn)
    stored = io.BytesIO()
    figure.convert("RGB").quantize(colours).save(stored, "PNG", optimize=True)
    return Shown(data=stored.getvalue(), format="png", alt=description)


def draw_pictures(
    pictures: Sequence[Path | np.ndarray | Image.Image],
    texts: Sequence[str],
    description: str,
    *,
    across: int = 4,
    pixels: int = 150,
) -> None:
    """Pictures in rows, at most `pixels` wide and high, each with its text above it."""
    rows = -(-len(pictures) // across)
    size = (across * (pixels + 40) / 80, rows * (pixels + 50) / 80)
    figure, axes = plt.subplots(rows, across, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, text in zip(axes.flat, pictures, texts, strict=False):
        axis.imshow(make_thumbnail(picture, pixels))
        axis.set_title("\n".join(textwrap.wrap(text, across * 2 + 20)), fontsize=8)
    figure.tight_layout()
    show(figure, description)


def make_thumbnail(picture: Path | np.ndarray | Image.Image, pixels: int = 150) -> Image.Image:
    """A small copy: notebooks that carry full photographs grow large."""
    if isinstance(picture, Path):
        picture = Image.open(picture)
    small = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    small = small.convert("RGB")
    small.thumbnail((pixels, pixels))
    return small


def draw_blocks(
    blocks: Mapping[str, tuple[float, float, str]],
    arrows: Sequence[tuple[str, str, str]],
    description: str,
    *,
    size: tuple[float, float],
) -> None:
    """A block diagram.

    `blocks` are x, y and the text of each, by name; a text that begins with `=` is data, without a
    box. `arrows` lead from one block to another; each has a label, such as the shape of a tensor.
    """
    figure, axis = plt.subplots(figsize=size)
    axis.axis("off")
    xs, ys = [x for x, _, _ in blocks.values()], [y for _, y, _ in blocks.values()]
    axis.set_xlim(min(xs) - 0.6, max(xs) + 0.6)
    axis.set_ylim(min(ys) - 0.5, max(ys) + 0.5)
    boxes = {}
    for name, (x, y, text) in blocks.items():
        is_data = text.startswith("=")
        colours = ("white", "none") if is_data else ("#dbe7f5", BLUE)
        box = dict(zip(("facecolor", "edgecolor"), colours, strict=True))
        box["boxstyle"] = "round,pad=0.35"
        boxes[name] = axis.text(
            x, y, text.removeprefix("="), ha="center", va="center", bbox=box, fontsize=9
        )
    figure.canvas.draw()  # the arrows end where the boxes do
    for start, end, label in arrows:
        (x, y), (to_x, to_y) = (boxes[name].get_position() for name in (start, end))
        ends = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        style = {"arrowstyle": "->", "color": "#555555", "shrinkA": 2, "shrinkB": 2, **ends}
        axis.annotate("", (to_x, to_y), (x, y), arrowprops=style)
        if label:
            middle = ((x + to_x) / 2, (y + to_y) / 2)
            above = (0, 17 if abs(to_y - y) < 0.1 else 3)  # of the boxes, in points
            if abs(to_x - x) < 0.1:
                above = (3, 0)
            style = {"textcoords": "offset points", "fontsize": 7.5, "color": GREEN}
            style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            side = "left" if above[0] else "center"
            axis.annotate(label, middle, above, ha=side, va="bottom", **style)
    show(figure, description)
