"""Charts as SVG: curves, a reliability diagram, bars; each describes in words what it shows.

Colours and fonts come from the page's style sheet, so charts follow its light and dark themes.
"""

from collections.abc import Sequence
from math import ceil, floor, isfinite, log10
from typing import Any, NamedTuple

from markupsafe import Markup

from cutline.errors import plural
from cutline.inference.calibration import Bin, expected_error
from cutline.reports.html import render

Point = tuple[float, float]
CURVE_SIZE = 440, 180
"""Width and height of a curve, in pixels; other charts follow their data."""
LEFT, BELOW, EDGE = 48, 24, 8
"""Room for the numbers left of and below a curve, and for its line at the other edges."""
RELIABILITY_SIDE, RELIABILITY_LABELS = 280, 44
MIN_RADIUS, MAX_RADIUS = 2.0, 12.0
"""Radius of the dot of a bin that is nearly empty, and of one that holds every caption."""
BAR_HEIGHT, BAR_PITCH, BAR_LABELS = 120, 22, 70
MAX_BARS_WIDTH = 1100


class Text(NamedTuple):
    """A label of an axis."""

    x: float
    y: float
    text: str
    anchor: str = "start"


class Bar(NamedTuple):
    """One bar with its name under it."""

    name: str
    value: int
    x: int
    y: float
    height: float


def line_chart(
    title: str, points: Sequence[Point], *, x_label: str, show_points: bool = False
) -> Markup:
    """A curve through the finite ones of these points; empty where there are none."""
    points = [point for point in points if isfinite(point[1])]
    if not points:
        return Markup()
    values = [y for _, y in points]
    low, high, step = _find_ticks(values)
    (first, start), (last, end) = points[0], points[-1]
    width, height = CURVE_SIZE

    def place(x: float, y: float) -> Point:
        across = LEFT + (width - LEFT - EDGE) * ((x - first) / ((last - first) or 1))
        down = EDGE + (height - BELOW - EDGE) * (high - y) / (high - low)
        return round(across, 1), round(down, 1)

    ticks = [low + number * step for number in range(round((high - low) / step) + 1)]
    heights = [place(first, tick)[1] for tick in ticks]
    line = [place(*point) for point in points]
    return _render_svg(
        title,
        f"{start:.3g} at {x_label} {first:,.0f}, {end:.3g} at {x_label} {last:,.0f}; "
        f"from {min(values):.3g} to {max(values):.3g}",
        width,
        height,
        grid=[f"M{LEFT} {y}H{width - EDGE}" for y in heights],
        texts=[
            *(
                Text(LEFT - 6, round(y + 4, 1), f"{tick:.4g}", "end")
                for y, tick in zip(heights, ticks, strict=True)
            ),
            *(
                Text(place(x, low)[0], height - 4, f"{x_label} {x:,.0f}", anchor)
                for x, anchor in ((first, "start"), (last, "end"))
            ),
        ],
        line=[f"{x} {y}" for x, y in line],
        dots=[(*point, 3) for point in line] if show_points else (),
    )


def reliability_diagram(curve: Sequence[Bin]) -> Markup:
    """Confidence (x) against the share of good captions (y); larger dots are more captions."""
    span = RELIABILITY_SIDE - RELIABILITY_LABELS - EDGE
    total = sum(each.captions for each in curve)

    def place(confidence: float, good: float) -> Point:
        x, y = RELIABILITY_LABELS + span * confidence, EDGE + span * (1 - good)
        return round(x, 1), round(y, 1)

    def radius(captions: int) -> float:  # the area is proportional to the captions
        return round(MIN_RADIUS + (MAX_RADIUS - MIN_RADIUS) * (captions / total) ** 0.5, 1)

    line = [place(each.confidence, each.good) for each in curve]
    ticks = [(number / 5, *place(number / 5, number / 5)) for number in range(6)]
    left, bottom = place(0.0, 0.0)
    right, top = place(1.0, 1.0)
    return _render_svg(
        "Reliability diagram",
        f"Expected calibration error {expected_error(curve):.3f}. "
        + "; ".join(
            f"{plural(b.captions, 'caption')} of confidence {b.confidence:.2f}, {b.good:.2f} of "
            "them good"
            for b in curve
        ),
        RELIABILITY_SIDE + 12,
        RELIABILITY_SIDE,
        grid=[f"M{left} {y}H{right}M{x} {bottom}V{top}" for _, x, y in ticks],
        diagonal=f"M{left} {bottom}L{right} {top}",
        texts=[
            *(Text(left - 6, round(y + 4, 1), f"{tick:.0%}", "end") for tick, _, y in ticks),
            *(Text(x, bottom + 18, f"{tick:.0%}", "middle") for tick, x, _ in ticks),
            Text(left, RELIABILITY_SIDE - 4, "x: confidence; y: share of good captions"),
        ],
        line=[f"{x} {y}" for x, y in line],
        dots=[(*point, radius(b.captions)) for point, b in zip(line, curve, strict=True)],
    )


def bar_chart(title: str, counts: Sequence[tuple[str, int]]) -> Markup:
    """A bar for each name; the exact count shows under the pointer."""
    most = max((count for _, count in counts), default=0)
    bars = []
    for number, (name, count) in enumerate(counts):
        height = round(BAR_HEIGHT * count / (most or 1), 1)
        bars.append(Bar(name, count, BAR_PITCH * number, round(BAR_HEIGHT - height, 1), height))
    highest = next((name for name, count in counts if count == most), None)
    width = BAR_PITCH * max(len(counts), 1) + 40
    return _render_svg(
        title,
        f"{len(counts)} bars" + (f"; the highest is {highest}, {most:,}" if counts else ""),
        width,
        BAR_HEIGHT + BAR_LABELS,
        left=-40,
        shown_width=min(width, MAX_BARS_WIDTH),
        bars=bars,
    )


def _render_svg(title: str, description: str, width: int, height: int, **parts: Any) -> Markup:
    """An SVG whose title and description a screen reader reads; `parts` as in `chart.svg`."""
    id = "".join(letter for letter in title.lower() if letter.isalnum())
    return render(
        "chart.svg",
        id=id,
        title=title,
        description=description,
        width=width,
        height=height,
        **parts,
    )


def _find_ticks(values: Sequence[float]) -> tuple[float, float, float]:
    """The ends of an axis and the distance of its grid lines: 1, 2 or 5 times a power of ten."""
    spread = (max(values) - min(values)) or abs(values[0]) or 1.0
    rough = spread / 4
    power = 10.0 ** floor(log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough)
    low, high = step * floor(min(values) / step), step * ceil(max(values) / step)
    return low, high if high > low else low + step, step
