"""Line art as SVG: scribbles, curves, ornaments, figures as children draw them."""

import math
from random import Random

from refusal.browser import Tile
from refusal.svg import anywhere, blob, colour, curve, drawing, line, polygon, wander


def line_art(random: Random) -> Tile:
    """Scribbles, spirals, roses, ornaments, and figures of circles and strokes."""
    ground = random.choice(["#fff", "#fff", "#faf3e3", "#111", colour(random)])
    ink = "#eee" if ground == "#111" else random.choice(["#000", "#222", colour(random, (15, 45))])
    fill = random.choice(["none", "none", "none", colour(random)])
    style = (
        f"fill:{fill};stroke:{ink};stroke-width:{random.choice([1, 2, 3, 6])};stroke-linecap:round"
    )
    return drawing(random, random.choice(ARTS)(random), ground, style)


def scribble(random: Random) -> str:
    ways = (
        wander(random, anywhere(random), random.uniform(0, 6), random.randint(10, 90), 40)
        for _ in range(random.randint(1, 9))
    )
    return "".join(curve(way) for way in ways)


def rose(random: Random) -> str:
    a, b, c = random.randint(1, 12), random.randint(1, 12), random.uniform(0, 1)
    turns = (math.tau * step / 600 for step in range(601))
    return curve(
        [
            (400 + 350 * math.sin(a * t + c) * math.cos(t), 300 + 270 * math.sin(b * t))
            for t in turns
        ]
    )


def ornament(random: Random) -> str:
    """One motif turned around the middle."""
    motif = curve(wander(random, (400, 300), random.uniform(0, 6), random.randint(3, 9), 45))
    count = random.randint(3, 24)
    return "".join(
        f'<g transform="rotate({360 * turn / count:.0f} 400 300)">{motif}</g>'
        for turn in range(count)
    )


def creature(random: Random) -> str:
    """A figure as a child draws it: head, eyes, ears, body, limbs, tail; ground, sun."""
    x, y, r = random.uniform(250, 550), random.uniform(150, 250), random.uniform(50, 100)
    out = [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.0f}"/>']
    for side in (-1, 1):
        out.append(f'<circle cx="{x + side * r / 3:.0f}" cy="{y - 10:.0f}" r="{r / 9:.0f}"/>')
        ear = blob(random, (x + side * r * 0.8, y - r * 0.9), r / 3, 8)
        out.append(curve([*ear, *ear[:2]]))
        for height in (0.9, 2.2):
            out.append(
                curve(wander(random, (x + side * r * 0.7, y + r * height), 1.57 - side, 4, r / 2))
            )
    out.append(f'<ellipse cx="{x:.0f}" cy="{y + r * 1.8:.0f}" rx="{r * 0.9:.0f}" ry="{r:.0f}"/>')
    smile = f"q{r / 3:.0f} {random.uniform(-20, 40):.0f} {r * 0.7:.0f} 0"
    out.append(f'<path d="M{x - r / 3:.0f} {y + r / 3:.0f}{smile}"/>')
    if random.random() < 0.5:
        out.append('<circle cx="700" cy="90" r="45"/>' + line((0, 540), (800, 540)))
    return "".join(out)


def house(random: Random) -> str:
    """Houses, trees and hills of a few strokes."""
    out = [curve(wander(random, (-20, 420), 0, 12, 80))]
    for left in range(60, 760, random.randint(150, 300)):
        w, h, y = random.uniform(80, 140), random.uniform(70, 160), 500
        out.append(f'<rect x="{left}" y="{y - h:.0f}" width="{w:.0f}" height="{h:.0f}"/>')
        out.append(
            polygon([(left - 15, y - h), (left + w / 2, y - h - 70), (left + w + 15, y - h)], "")
        )
        out.append(f'<rect x="{left + w * 0.35:.0f}" y="{y - 50}" width="26" height="50"/>')
        crown = blob(random, (left + w + 40, y - 90), 45, 10)
        out.append(curve([*crown, *crown[:2]]) + line((left + w + 40, y - 50), (left + w + 40, y)))
    return "".join(out)


ARTS = (scribble, rose, ornament, creature, creature, house)
