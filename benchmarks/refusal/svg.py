"""What drawings are made of, as SVG: lines, curves, polygons, words, colours."""

import math
from itertools import pairwise
from random import Random

from refusal.browser import Tile

Point = tuple[float, float]
WIDTH, HEIGHT = 800, 600
FONTS = ("Liberation Sans", "DejaVu Sans", "Liberation Serif", "Liberation Mono")


def drawing(random: Random, inside: str, ground: str, style: str = "") -> Tile:
    """An SVG of 800 x 600 in a window of random shape."""
    width, height = random.choice([(800, 600), (800, 600), (600, 600), (900, 450), (500, 700)])
    font = f"{random.randint(13, 20)}px {random.choice(FONTS)}"
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    size = 'style="width:100vw;height:100vh;display:block"'
    css = f"body{{margin:0;background:{ground}}}svg{{font:{font};{style}}}"
    return Tile(f"<style>{css}</style><svg {view} {size}>{HEADS}{inside}</svg>", width, height)


HEADS = '<marker id="h" markerWidth="9" markerHeight="9" refX="8" refY="4.5" orient="auto">'
HEADS += '<path d="M0 0L9 4.5L0 9z"/></marker>'


def colour(random: Random, light: tuple[int, int] = (55, 92)) -> str:
    return f"hsl({random.randrange(360)} {random.randint(15, 90)}% {random.randint(*light)}%)"


def line(first: Point, second: Point, extra: str = "") -> str:
    (a, b), (c, d) = first, second
    return f'<path d="M{a:.0f} {b:.0f}L{c:.0f} {d:.0f}" {extra}/>'


def curve(points: list[Point], extra: str = "") -> str:
    """A smooth line through points: quadratic through the middles."""
    parts = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for (a, b), (c, d) in pairwise(points):
        parts.append(f"Q{a:.0f} {b:.0f} {(a + c) / 2:.0f} {(b + d) / 2:.0f}")
    return f'<path d="{"".join(parts)}" {extra}/>'


def polygon(points: list[Point], extra: str) -> str:
    return f'<polygon points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}" {extra}/>'


def said(place: Point, what: str, extra: str = 'text-anchor="middle"') -> str:
    return f'<text x="{place[0]:.0f}" y="{place[1]:.0f}" stroke="none" {extra}>{what}</text>'


def wander(random: Random, start: Point, angle: float, steps: int, length: float) -> list[Point]:
    """A way that bends a little at each step."""
    points = [start]
    for _ in range(steps):
        angle += random.gauss(0, 0.3)
        x, y = points[-1]
        points.append((x + length * math.cos(angle), y + length * math.sin(angle)))
    return points


def blob(random: Random, centre: Point, radius: float, corners: int = 14) -> list[Point]:
    out = []
    for corner in range(corners):
        angle, reach = math.tau * corner / corners, radius * random.uniform(0.6, 1.2)
        out.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
    return out


def anywhere(random: Random) -> Point:
    return random.uniform(0, WIDTH), random.uniform(0, HEIGHT)
