"""An inspection as a page: its cause, how honest confidence is, the numbers, the worst pictures.

Enters: an `Inspection`. Leaves: one HTML page, in pieces.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from cutline.errors import ImageError
from cutline.evaluation.diagnose import Inspection, list_figures
from cutline.inference.calibration import RULE, Bin, expected_error
from cutline.reports.html import draw_page
from cutline.reports.thumbnails import draw_thumbnails
from cutline.types import Caption, Example

SIDE, EDGE, LABELS = 280, 8, 44
"""A chart, the room beyond its frame, and what its numbers take of it."""
SMALLEST, LARGEST = 2.0, 12.0
"""Radius of the dot of the fewest and of all captions."""


def draw_inspection(found: Inspection, model: str) -> Iterator[str]:
    """The page, piece by piece."""
    return draw_page(f"Inspection of {model}", _draw(found))


def _draw(found: Inspection) -> Iterator[str]:
    warnings = "".join(f"<li>{escape(warning)}" for warning in found.warnings)
    yield f"<p><strong>{escape(found.cause)}</strong></p>\n"
    yield f"<ul>{warnings}</ul>\n" if warnings else ""
    yield f"<section><h2>Confidence</h2><p>{escape(RULE[0].upper() + RULE[1:])}. On the line it "
    yield "says what is so; below it, it promises too much; large dots are many captions.</p>"
    yield f"{draw_reliability(found.curve)}</section>\n"
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}<td>{escape(value)}'
        for name, value in list_figures(found)
    )
    yield f"<section><h2>Of {found.pictures:,} pictures</h2><table>{rows}</table></section>\n"
    yield '<section><h2>The worst</h2><div class="pictures">\n'
    yield from _draw_worst(found.worst)
    yield "</div></section>\n"


def draw_reliability(curve: Sequence[Bin]) -> str:
    """What confidence promised (across) and how often captions were good (up), as SVG."""
    told = f"Expected calibration error {expected_error(curve):.3f}. " + "; ".join(
        f"{b.captions} captions said {b.confidence:.2f}, {b.good:.2f} were good" for b in curve
    )
    span, total = SIDE - LABELS - EDGE, sum(each.captions for each in curve)

    def place(said: float, good: float) -> str:  # across and down
        return f"{LABELS + span * said:.1f} {EDGE + span * (1 - good):.1f}"

    def dot(each: Bin) -> str:
        across, up = place(each.confidence, each.good).split()
        radius = SMALLEST + (LARGEST - SMALLEST) * (each.captions / total) ** 0.5
        return f'<circle class="dot" cx="{across}" cy="{up}" r="{radius:.1f}"/>'

    ticks = [number / 5 for number in range(6)]
    lines = (f"M{place(0.0, t)}H{LABELS + span}M{place(t, 0.0)}V{EDGE}" for t in ticks)
    numbers = (
        f'<text x="{LABELS - 6}" y="{EDGE + span * (1 - t) + 4:.1f}" text-anchor="end">{t:.0%}'
        f'</text><text x="{LABELS + span * t:.1f}" y="{SIDE - LABELS + EDGE + 10}" '
        f'text-anchor="middle">{t:.0%}</text>'
        for t in ticks
    )
    return (
        '<svg role="img" aria-labelledby="confidence-title confidence-told" '
        f'viewBox="0 0 {SIDE + 12} {SIDE}" width="{SIDE + 12}">'
        '<title id="confidence-title">Confidence and what was good</title>'
        f'<desc id="confidence-told">{escape(told)}</desc>'
        f'<path class="grid" d="{"".join(lines)}"/><path class="grid" d="M{place(0.0, 0.0)}'
        f'L{place(1.0, 1.0)}" stroke-dasharray="4"/>{"".join(numbers)}'
        f'<path class="line" d="M{"L".join(place(b.confidence, b.good) for b in curve)}"/>'
        f"{''.join(map(dot, curve))}"
        f'<text x="{LABELS}" y="{SIDE - 4}">across: said; up: were good</text></svg>'
    )


def _draw_worst(worst: Iterable[tuple[Example, Caption, float]]) -> Iterator[str]:
    worst = list(worst)
    drawn = draw_thumbnails(example.image for example, _, _ in worst)
    for (example, caption, score), small in zip(worst, drawn, strict=True):
        shown = escape(str(small)) if isinstance(small, ImageError) else small.draw(caption.text)
        yield (
            f"<figure>{shown}<figcaption><strong>{escape(caption.text)}</strong><br>"
            f"{escape(example.captions[0])}<br>{escape(example.id)}, CIDEr-D {100 * score:.0f}"
            "</figcaption></figure>\n"
        )
