"""Maps as SVG: streets, countries, contours, lines of a metro, islands."""

import math
from itertools import pairwise
from random import Random

from refusal.browser import Tile
from refusal.svg import (
    HEIGHT,
    WIDTH,
    Point,
    anywhere,
    blob,
    colour,
    curve,
    drawing,
    line,
    polygon,
    said,
    wander,
)
from refusal.words import title, word, words


def drawn_map(random: Random) -> Tile:
    inside, ground = random.choice(MAPS)(random)
    for _ in range(random.choice([0, 0, 1, 5])):
        x, y = random.uniform(50, 750), random.uniform(60, 550)
        pin = f"M{x:.0f} {y:.0f}c-40 -50 -16 -64 0 -64s40 14 0 64z"
        inside += f'<path d="{pin}" fill="#d33" stroke="#fff"/>'
    if random.random() < 0.3:
        inside += '<rect x="20" y="20" width="170" height="80" fill="#fff" stroke="#777"/>'
        inside += said((30, 48), title(random), 'fill="#111"') + line(
            (30, 80), (130, 80), 'stroke="#111"'
        )
    return drawing(random, inside, ground)


def streets(random: Random) -> tuple[str, str]:
    """A town: blocks, parks, water, minor and major streets, names."""
    ground, street, major = random.choice(TOWNS)
    out = [
        polygon(blob(random, anywhere(random), random.uniform(40, 140)), f'fill="{fill}"')
        for fill in random.choices(
            ["#c8e6b0", "#b5dff0", "#e8e0d0", "#dde8c8"], k=random.randint(1, 6)
        )
    ]
    turn, step = random.uniform(-40, 40), random.randint(35, 90)
    minor = f'stroke="{street}" stroke-width="{random.randint(3, 12)}"'
    grid = "".join(line((x, -500), (x, 1200), minor) for x in range(-600, 1500, step))
    grid += "".join(line((-600, y), (1500, y), minor) for y in range(-500, 1200, step * 2 // 3))
    out.append(f'<g transform="rotate({turn:.0f} 400 300)">{grid}</g>')
    for _ in range(random.randint(1, 5)):
        way = wander(random, (-40, random.uniform(0, HEIGHT)), random.uniform(-0.6, 0.6), 14, 80)
        wide = random.randint(8, 20)
        out.append(curve(way, f'fill="none" stroke="#8888" stroke-width="{wide + 3}"'))
        out.append(curve(way, f'fill="none" stroke="{major}" stroke-width="{wide}"'))
    if random.random() < 0.5:
        river = wander(random, (random.uniform(0, WIDTH), -40), 1.5, 12, 70)
        out.append(curve(river, 'fill="none" stroke="#9fd0ea" stroke-width="46"'))
    out += [
        said(anywhere(random), words(random, 2).title(), 'fill="#555"')
        for _ in range(random.randint(0, 20))
    ]
    return "".join(out), ground


TOWNS = (
    ("#f2efe9", "#fff", "#fcd6a4"),
    ("#eceff1", "#fff", "#ffe082"),
    ("#242f3e", "#38414e", "#746855"),
    ("#e5e3df", "#fdfdfd", "#f9a"),
    ("#fff", "#ddd", "#999"),
    ("#111", "#444", "#888"),
)


def regions(random: Random) -> tuple[str, str]:
    """Countries or counties of one land: a bent grid, coloured by number, by name or not at all."""
    columns, rows = random.randint(3, 12), random.randint(3, 9)
    knots = {
        (i, j): (
            WIDTH * (i + random.uniform(-0.35, 0.35)) / columns,
            HEIGHT * (j + random.uniform(-0.35, 0.35)) / rows,
        )
        for i in range(columns + 1)
        for j in range(rows + 1)
    }
    hue, single = random.randrange(360), random.random() < 0.5
    out = []
    for i in range(columns):
        for j in range(rows):
            if random.random() < 0.12 or (
                random.random() < 0.6 and (i in (0, columns - 1) or j in (0, rows - 1))
            ):
                continue
            corners = [knots[i, j], knots[i + 1, j], knots[i + 1, j + 1], knots[i, j + 1]]
            jagged = [p for a, b in pairwise([*corners, corners[0]]) for p in coast(random, a, b)]
            fill = (
                f"hsl({hue} 60% {random.randint(30, 92)}%)" if single else colour(random, (65, 90))
            )
            out.append(polygon(jagged, f'fill="{fill}" stroke="{random.choice(["#fff", "#666"])}"'))
            if random.random() < 0.5:
                out.append(said(corners[0], word(random).title(), 'dx="30" dy="40" fill="#222"'))
    return "".join(out), random.choice(["#cfe8f5", "#a9d3de", "#fff", "#eef"])


def coast(random: Random, first: Point, second: Point) -> list[Point]:
    """A jagged line from here to there, always the same between the same two ends."""
    between = Random(f"{sorted([first, second])}")
    ends = sorted([first, second])
    bends = [between.uniform(-9, 9) for _ in range(12)]
    points = [
        (
            ends[0][0] + (ends[1][0] - ends[0][0]) * t / 6 + (bends[t] if 0 < t < 6 else 0),
            ends[0][1] + (ends[1][1] - ends[0][1]) * t / 6 + (bends[-t] if 0 < t < 6 else 0),
        )
        for t in range(7)
    ]
    return points if ends[0] == first else points[::-1]


def heights(random: Random) -> tuple[str, str]:
    """Contour lines around some summits."""
    out = []
    ink = random.choice(["#a0703c", "#555", "#7a5", "#c84"])
    for _ in range(random.randint(2, 5)):
        centre, shape = anywhere(random), [random.uniform(0.6, 1.3) for _ in range(16)]
        shape = [(a + b) / 2 for a, b in zip(shape, shape[1:] + shape[:1], strict=True)]
        for ring in range(random.randint(5, 16)):
            points = [
                (
                    centre[0] + (ring * 22 + 8) * reach * math.cos(math.tau * i / 16),
                    centre[1] + (ring * 18 + 8) * reach * math.sin(math.tau * i / 16),
                )
                for i, reach in enumerate(shape)
            ]
            wide = 3 if ring % 5 == 0 else 1
            out.append(
                curve([*points, *points[:2]], f'fill="none" stroke="{ink}" stroke-width="{wide}"')
            )
        out.append(said(centre, str(random.randint(200, 4000)), f'fill="{ink}"'))
    return "".join(out), random.choice(["#f7f3e3", "#e5eed5", "#fff", "#dcebc8"])


def metro(random: Random) -> tuple[str, str]:
    """Lines that turn by 45 degrees, with stations."""
    out = []
    for _ in range(random.randint(3, 9)):
        x, y, angle = random.uniform(0, 250), random.uniform(50, 550), random.choice([0, 45, -45])
        points = [(x, y)]
        for _ in range(random.randint(5, 12)):
            angle = max(-90, min(90, angle + random.choice([-45, 0, 0, 45])))
            x, y = x + 75 * math.cos(math.radians(angle)), y + 75 * math.sin(math.radians(angle))
            points.append((x, y))
        way = "L".join(f"{a:.0f} {b:.0f}" for a, b in points)
        out.append(
            f'<path d="M{way}" fill="none" stroke="{colour(random, (35, 60))}" stroke-width="10"/>'
        )
        dot = 'r="8" fill="#fff" stroke="#111" stroke-width="3"'
        for a, b in points:
            out.append(f'<circle cx="{a:.0f}" cy="{b:.0f}" {dot}/>')
            out.append(said((a + 12, b - 10), word(random).title(), 'fill="#111" font-size="12"'))
    return "".join(out), random.choice(["#fff", "#f4f4f4", "#fbf8ee"])


def islands(random: Random) -> tuple[str, str]:
    """Land in the sea, a grid of degrees, towns, roads between them: an atlas, old or new."""
    old = random.random() < 0.4
    land, sea, ink = (
        ("#e2cf9f", "#f0e4c4", "#6b4a2a") if old else (colour(random, (70, 90)), "#bfe0f2", "#444")
    )
    out = [line((x, 0), (x, HEIGHT), f'stroke="{ink}" opacity="0.3"') for x in range(0, 801, 100)]
    out += [line((0, y), (WIDTH, y), f'stroke="{ink}" opacity="0.3"') for y in range(0, 601, 100)]
    for _ in range(random.randint(1, 6)):
        shore = blob(random, anywhere(random), random.uniform(60, 280), random.randint(16, 60))
        out.append(curve([*shore, *shore[:2]], f'fill="{land}" stroke="{ink}" stroke-width="2"'))
    towns = [anywhere(random) for _ in range(random.randint(3, 16))]
    out += [
        line(a, b, 'stroke="#c55" stroke-width="2"')
        for a, b in pairwise(towns)
        if random.random() < 0.6
    ]
    for x, y in towns:
        out.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="5" fill="{ink}"/>')
        out.append(said((x + 8, y - 6), words(random, 1).title(), f'fill="{ink}"'))
    return "".join(out), sea


MAPS = (streets, streets, streets, regions, heights, metro, islands)
