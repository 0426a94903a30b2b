"""Charts by matplotlib, of many kinds and styles."""

import io
from random import Random
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from refusal.words import title, words

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402

STYLES = ("default", "ggplot", "bmh", "classic", "dark_background", "fivethirtyeight", "grayscale")
STYLES += ("Solarize_Light2", "seaborn-v0_8", "seaborn-v0_8-whitegrid", "seaborn-v0_8-darkgrid")
MAPS = ("viridis", "magma", "coolwarm", "Blues", "tab20", "Spectral", "gray", "jet", "YlOrRd")


def chart(random: Random) -> Image.Image:
    """One to six charts of a random kind, style, size and labelling."""
    numbers = np.random.default_rng(random.randrange(2**32))
    with plt.style.context(random.choice(STYLES)):
        rows, columns = random.choice([(1, 1)] * 6 + [(1, 2), (2, 1), (2, 2), (2, 3)])
        size = (random.uniform(3, 9), random.uniform(2.5, 7))
        figure = plt.figure(figsize=size, dpi=80)
        for place in range(rows * columns):
            draw = random.choice(CHARTS)
            projection = PROJECTIONS.get(draw.__name__)
            axes = figure.add_subplot(rows, columns, place + 1, projection=projection)
            draw(axes, random, numbers)
            if random.random() < 0.7:
                label(axes, random)
        if random.random() < 0.5:
            figure.tight_layout()
        return drawn(figure)


def drawn(figure: Any) -> Image.Image:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    plt.close(figure)
    return Image.open(stream).convert("RGB")


def label(axes: Any, random: Random) -> None:
    if random.random() < 0.7:
        axes.set_title(title(random))
    if axes.name == "rectilinear":
        axes.set_xlabel(words(random, random.randint(0, 3)))
        axes.set_ylabel(words(random, random.randint(0, 3)))
        axes.grid(random.random() < 0.4)
        if random.random() < 0.15:
            axes.set_axis_off()


def palette(random: Random, number: int) -> Any:
    return plt.get_cmap(random.choice(MAPS))(np.linspace(random.uniform(0, 0.4), 0.9, number))


def bars(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    count, series = random.randint(3, 14), random.choice([1, 1, 2, 3])
    names = [words(random, 1) for _ in range(count)]
    colours, below = palette(random, max(series, 2)), np.zeros(count)
    stacked, sideways = random.random() < 0.5, random.random() < 0.3
    for place in range(series):
        heights = numbers.gamma(3, 10, count)
        where = np.arange(count) + (0 if stacked else place * 0.8 / series)
        thick = 0.8 if stacked else 0.8 / series
        plot, base = (axes.barh, "left") if sideways else (axes.bar, "bottom")
        plot(where, heights, thick, color=colours[place], label=words(random, 1), **{base: below})
        below = below + heights if stacked else below
    (axes.set_yticks if sideways else axes.set_xticks)(range(count), names)
    if not sideways:
        axes.tick_params(axis="x", rotation=random.choice([0, 45, 90]))
    if series > 1:
        axes.legend()


def lines(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    count = random.choice([6, 12, 40, 300])
    for colour in palette(random, random.randint(1, 7)):
        walk = numbers.normal(random.uniform(-0.3, 0.4), 1, count).cumsum()
        marker = random.choice(["", "", "o", "s", "^"]) if count < 50 else ""
        style = random.choice(["-", "-", "--", ":"])
        axes.plot(walk, style, marker=marker, color=colour, label=words(random, 1))
        if random.random() < 0.2:
            axes.fill_between(range(count), walk - 1, walk + 1, color=colour, alpha=0.25)
    if random.random() < 0.6:
        axes.legend()


def areas(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    layers = numbers.gamma(2, 1, (random.randint(2, 6), 30)).cumsum(axis=1)
    axes.stackplot(range(30), layers, colors=palette(random, len(layers)))


def scatter(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    for colour in palette(random, random.randint(1, 5)):
        count = random.choice([15, 60, 400])
        centre, spread = numbers.normal(0, 3, 2), numbers.uniform(0.3, 2, 2)
        points = numbers.normal(centre, spread, (count, 2))
        sizes = random.choice([12.0, 30.0, numbers.gamma(2, 60, count)])
        axes.scatter(*points.T, s=sizes, color=colour, alpha=random.uniform(0.3, 1))


def pie(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    shares = numbers.gamma(2, 1, random.randint(2, 9))
    names = [words(random, 1) for _ in shares] if random.random() < 0.7 else None
    width = random.choice([1, 1, 0.4])
    options = {"autopct": "%1.0f%%"} if random.random() < 0.5 else {}
    colours = palette(random, len(shares))
    axes.pie(shares, labels=names, colors=colours, wedgeprops={"width": width}, **options)


def heatmap(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    side = random.randint(3, 14)
    values = numbers.normal(0, 1, (side, random.randint(3, 14)))
    picture = axes.imshow(values, cmap=random.choice(MAPS), aspect="auto")
    if random.random() < 0.5:
        axes.figure.colorbar(picture, ax=axes)
    if side < 9 and random.random() < 0.5:
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7)


def histogram(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    for colour in palette(random, random.randint(1, 3)):
        values = numbers.normal(random.uniform(-2, 2), 1, 500)
        axes.hist(values, bins=random.randint(8, 50), color=colour, alpha=0.7, edgecolor="white")


def boxes(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    groups = [numbers.normal(random.uniform(-1, 1), 1, 60) for _ in range(random.randint(2, 9))]
    axes.violinplot(groups) if random.random() < 0.5 else axes.boxplot(groups)


def contours(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    x, y = np.meshgrid(np.linspace(-3, 3, 60), np.linspace(-3, 3, 60))
    a, b, c = numbers.uniform(0.4, 2, 3)
    plot = axes.contourf if random.random() < 0.6 else axes.contour
    plot(x, y, np.sin(a * x + c) * np.cos(b * y) + 0.1 * x * y, 9, cmap=random.choice(MAPS))


def surface(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    x, y = np.meshgrid(np.linspace(-3, 3, 30), np.linspace(-3, 3, 30))
    a, b = numbers.uniform(0.3, 1.5, 2)
    height = np.sin(a * x) * np.cos(b * y)
    axes.plot_surface(x, y, height, cmap=random.choice(MAPS), rstride=1, cstride=1)


def radar(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    count = random.randint(4, 10)
    angles = np.linspace(0, 2 * np.pi, count + 1)
    for colour in palette(random, random.randint(1, 4)):
        values = numbers.uniform(1, 5, count)
        axes.plot(angles, [*values, values[0]], color=colour)
        axes.fill(angles, [*values, values[0]], color=colour, alpha=0.2)


def table(axes: Any, random: Random, numbers: np.random.Generator) -> None:
    rows, columns = random.randint(3, 12), random.randint(2, 6)
    cells = [[f"{value:.2f}" for value in row] for row in numbers.normal(5, 2, (rows, columns))]
    axes.set_axis_off()
    axes.table(cells, colLabels=[words(random, 1) for _ in range(columns)], loc="center")


CHARTS = (bars, bars, bars, lines, lines, lines, areas, scatter, scatter, pie, pie, heatmap)
CHARTS += (histogram, boxes, contours, surface, radar, table)
PROJECTIONS = {"surface": "3d", "radar": "polar"}
