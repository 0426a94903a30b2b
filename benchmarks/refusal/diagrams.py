"""Diagrams as SVG: flow charts, networks, UML, circuits, plans, geometry and more."""

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

from refusal.browser import Tile
from refusal.svg import HEIGHT, WIDTH, Point, colour, drawing, line, polygon, said
from refusal.words import number, title, word, words


def diagram(random: Random) -> Tile:
    dark = random.random() < 0.15
    ground, ink = (
        ("#1b1f27", "#dde") if dark else (random.choice(["#fff", "#fff", "#f7f7f2"]), "#222")
    )
    inside = random.choice(DIAGRAMS)(random)
    if random.random() < 0.3:
        inside += said((400, 28), title(random), 'text-anchor="middle" font-size="24"')
    width = random.choice([1, 1.5, 2, 3])
    style = f"fill:{ink};stroke:{ink};stroke-width:{width}"
    return drawing(random, f'<g class="d">{inside}</g>', ground, style)


def shape(random: Random, place: Point, size: Point, fill: str, ink: str = "#222") -> str:
    """A labelled box, pill, lozenge, ellipse, cylinder, cloud."""
    (x, y), (w, h) = place, size
    corner = f'x="{x - w / 2:.0f}" y="{y - h / 2:.0f}" width="{w:.0f}" height="{h:.0f}"'
    kinds = [f'<rect {corner} fill="{fill}"/>'] * 3 + [
        f'<rect {corner} rx="12" fill="{fill}"/>'
    ] * 3
    kinds.append(f'<rect {corner} rx="{h / 2:.0f}" fill="{fill}"/>')
    kinds.append(f'<ellipse cx="{x}" cy="{y}" rx="{w / 2:.0f}" ry="{h / 2:.0f}" fill="{fill}"/>')
    corners = [(x, y - h * 0.7), (x + w * 0.6, y), (x, y + h * 0.7), (x - w * 0.6, y)]
    kinds.append(polygon(corners, f'fill="{fill}"'))
    cap = (
        f'<ellipse cx="{x}" cy="{y - h / 2:.0f}" rx="{w / 2:.0f}" ry="{h / 6:.0f}" fill="{fill}"/>'
    )
    kinds.append(f'<rect {corner} fill="{fill}"/>{cap}')
    label = words(random, random.choice([1, 1, 2]))
    return random.choice(kinds) + said((x, y + 5), label, f'text-anchor="middle" fill="{ink}"')


def flow(random: Random) -> str:
    """A flow chart on a grid; arrows mostly go on, some go back."""
    columns, rows = random.randint(1, 4), random.randint(3, 6)
    fills = [random.choice(["#fff", colour(random, (75, 95))]) for _ in range(3)]
    places = [
        (WIDTH * (column + 0.5) / columns, 40 + (HEIGHT - 60) * (row + 0.5) / rows)
        for row in range(rows)
        for column in range(columns)
        if random.random() < 0.85
    ]
    size = (min(170, 560 / columns), 330 / rows)
    out = [line(a, b, 'marker-end="url(#h)" fill="none"') for a, b in pairwise(places)]
    for _ in range(random.randint(0, 3)):
        a, b = random.choice(places), random.choice(places)
        out.append(f'<path d="M{a[0]} {a[1]}H{b[0]}V{b[1]}" fill="none"/>')
    return "".join(out) + "".join(shape(random, p, size, random.choice(fills)) for p in places)


def network(random: Random) -> str:
    """Nodes in a circle, at random or in layers, and edges between them."""
    count = random.randint(5, 24)
    ways: list[Callable[[int], Point]] = [
        lambda i: (
            400 + 310 * math.cos(math.tau * i / count),
            300 + 240 * math.sin(math.tau * i / count),
        ),
        lambda i: (random.uniform(50, 750), random.uniform(50, 550)),
        lambda i: (100 + 200 * (i % 4), 60 + 480 * (i // 4) / max(1, count // 4)),
    ]
    way = random.choice(ways)
    nodes = [way(i) for i in range(count)]
    size, fills = random.randint(8, 34), [colour(random) for _ in range(3)]
    arrow = random.choice(["", 'marker-end="url(#h)"'])
    out = [line(*random.sample(nodes, 2), arrow) for _ in range(count * random.randint(1, 3))]
    for x, y in nodes:
        out.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{size}" fill="{random.choice(fills)}"/>')
        out.append(said((x, y + 5), random.choice([word(random)[:4], str(random.randrange(99))])))
    return "".join(out)


def neurons(random: Random) -> str:
    """The layers of a neural network, all joined to all."""
    layers = [random.randint(2, 8) for _ in range(random.randint(3, 6))]
    places = [
        [(90 + 620 * i / (len(layers) - 1), HEIGHT * (j + 0.5) / n) for j in range(n)]
        for i, n in enumerate(layers)
    ]
    edges = [line(a, b, 'opacity="0.5"') for x, y in pairwise(places) for a in x for b in y]
    nodes = [(p, fill) for layer in places for fill in [colour(random)] for p in layer]
    circles = (f'<circle cx="{x:.0f}" cy="{y:.0f}" r="22" fill="{f}"/>' for (x, y), f in nodes)
    return "".join(edges) + "".join(circles)


def classes(random: Random) -> str:
    """UML: boxes with a name, fields and methods, joined by arrows."""
    places = random.sample(
        [(x, y) for x in (30, 290, 550) for y in (30, 230, 430)], random.randint(3, 8)
    )
    fill = random.choice(["#fff", "#fffdd0", colour(random, (82, 95))])
    ends = [(x + 110, y + 70) for x, y in places]
    out = [line(*random.sample(ends, 2), 'marker-end="url(#h)"') for _ in ends]
    for x, y in places:
        out.append(f'<rect x="{x}" y="{y}" width="220" height="140" fill="{fill}"/>')
        out.append(line((x, y + 32), (x + 220, y + 32)) + line((x, y + 85), (x + 220, y + 85)))
        out.append(
            said((x + 110, y + 22), word(random).title(), 'fill="#111" text-anchor="middle"')
        )
        for row in (52, 74, 104, 126):
            text = f"{random.choice('+-#')} {word(random)}: {word(random)}"
            out.append(said((x + 10, y + row), text, 'fill="#111"'))
    return "".join(out)


def sequence(random: Random) -> str:
    """Who calls whom and when: lifelines and messages."""
    count = random.randint(3, 6)
    lives = [WIDTH * (i + 0.5) / count for i in range(count)]
    out = [line((x, 50), (x, 590), 'stroke-dasharray="6 5"') for x in lives]
    out += [shape(random, (x, 40), (110, 40), colour(random, (80, 95))) for x in lives]
    for row in range(random.randint(5, 14)):
        a, b = random.sample(lives, 2)
        out.append(line((a, 95 + row * 36), (b, 95 + row * 36), 'marker-end="url(#h)"'))
        out.append(said(((a + b) / 2, 89 + row * 36), words(random, 2)))
    return "".join(out)


def tree(random: Random) -> str:
    """An organisation, a family, a decision: boxes below boxes."""
    levels, above, out = random.randint(3, 4), [(400.0, 60.0)], []
    fill, nodes = colour(random, (70, 95)), [(400.0, 60.0)]
    for level in range(1, levels):
        count = min(12, len(above) * random.randint(2, 3))
        below = [(WIDTH * (i + 0.5) / count, 60 + 480 * level / (levels - 1)) for i in range(count)]
        for place, (x, y) in enumerate(below):
            a, b = above[place * len(above) // count]
            out.append(f'<path d="M{a:.0f} {b:.0f}V{y - 60:.0f}H{x:.0f}V{y:.0f}" fill="none"/>')
        above, nodes = below, nodes + below
    return "".join(out) + "".join(shape(random, p, (80, 46), fill) for p in nodes)


def mind(random: Random) -> str:
    """A mind map: curved branches from the middle."""
    out = []
    for branch in range(count := random.randint(4, 9)):
        angle = math.tau * branch / count + random.uniform(-0.2, 0.2)
        end = (400 + 250 * math.cos(angle), 300 + 200 * math.sin(angle))
        ink = colour(random, (40, 60))
        extra = f'fill="none" stroke="{ink}" stroke-width="5"'
        out.append(f'<path d="M400 300Q{end[0]:.0f} 300 {end[0]:.0f} {end[1]:.0f}" {extra}/>')
        for _ in range(random.randint(0, 4)):
            leaf = (end[0] + random.uniform(-110, 110), end[1] + random.uniform(-80, 80))
            out.append(line(end, leaf, f'stroke="{ink}"') + said(leaf, word(random)))
        out.append(shape(random, end, (110, 40), ink, "#fff"))
    return "".join(out) + shape(random, (400, 300), (190, 80), colour(random))


def venn(random: Random) -> str:
    out = []
    for place in range(count := random.randint(2, 4)):
        angle = math.tau * place / count
        x, y = 400 + 130 * math.cos(angle), 300 + 110 * math.sin(angle)
        fill = f'fill="{colour(random)}" fill-opacity="0.5"'
        out.append(
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="170" {fill}/>{said((x, y), words(random, 2))}'
        )
    return "".join(out)


def circuit(random: Random) -> str:
    """Wires at right angles, parts of a circuit on them, dots where they meet."""
    out = []
    for _ in range(random.randint(6, 18)):
        x, y = random.randrange(1, 19) * 40, random.randrange(1, 14) * 40
        a, b = random.randrange(1, 19) * 40, random.randrange(1, 14) * 40
        out.append(f'<path d="M{x} {y}H{a}V{b}" fill="none"/><circle cx="{a}" cy="{b}" r="5"/>')
        part = random.choice(
            [
                '<rect x="{0}" y="{1}" width="60" height="24" fill="#fff"/>',
                ZIGZAG,
                PLATES,
                '<circle cx="{0}" cy="{1}" r="20" fill="#fff"/>',
            ]
        )
        out.append(
            part.format(x, y) + said((x, y - 14), f"{random.choice('RCLUQ')}{random.randrange(20)}")
        )
    return "".join(out)


ZIGZAG = '<path d="M{0} {1}l8 -12l14 24l14 -24l14 24l8 -12" fill="none"/>'
PLATES = '<path d="M{0} {1}m0 -20v40m12 -40v40" fill="none"/>'


def blocks(random: Random) -> str:
    """An architecture: boxes within boxes, layers and arrows."""
    out, top = [], 30.0
    while top < 520:
        high, count = random.uniform(70, 150), random.randint(1, 5)
        out.append(
            f'<rect x="30" y="{top:.0f}" width="740" height="{high:.0f}" rx="8" '
            f'fill="{colour(random, (85, 96))}" stroke-dasharray="{random.choice(["0", "7 5"])}"/>'
        )
        for place in range(count):
            at = (30 + 740 * (place + 0.5) / count, top + high / 2)
            out.append(shape(random, at, (560 / count, high * 0.5), colour(random, (65, 95))))
            if random.random() < 0.6:
                out.append(
                    line((at[0], top + high), (at[0], top + high + 30), 'marker-end="url(#h)"')
                )
        top += high + 34
    return "".join(out)


def schedule(random: Random) -> str:
    """Bars in time: a Gantt chart."""
    out = [line((x, 40), (x, 580), 'opacity="0.3"') for x in range(180, 800, 60)]
    for row in range(random.randint(5, 14)):
        left = 180 + row * 30 + random.uniform(0, 90)
        fill = f'fill="{colour(random)}"'
        out.append(
            f'<rect x="{left:.0f}" y="{52 + row * 37}" width="{random.randint(50, 220)}" '
            f'height="24" {fill}/>{said((20, 70 + row * 37), words(random, 2), "")}'
        )
    return "".join(out)


def plan(random: Random) -> str:
    """A floor plan: rooms divided by walls with gaps for doors, and sizes."""
    out = ['<rect x="60" y="60" width="680" height="480" fill="none" stroke-width="9"/>']

    def divide(x: float, y: float, w: float, h: float, depth: int) -> None:
        if depth == 0 or min(w, h) < 130:
            out.append(said((x + w / 2, y + h / 2), word(random)))
            return
        cut = random.uniform(0.35, 0.65)
        if w > h:
            out.append(line((x + w * cut, y), (x + w * cut, y + h - 60), 'stroke-width="6"'))
            divide(x, y, w * cut, h, depth - 1)
            divide(x + w * cut, y, w * (1 - cut), h, depth - 1)
        else:
            out.append(line((x + 60, y + h * cut), (x + w, y + h * cut), 'stroke-width="6"'))
            divide(x, y, w, h * cut, depth - 1)
            divide(x, y + h * cut, w, h * (1 - cut), depth - 1)

    divide(60, 60, 680, 480, 4)
    return "".join(out) + said((400, 590), f"{number(random)} m")


def geometry(random: Random) -> str:
    """Triangles, circles, axes and angles, as in a school book."""
    out = [
        line((60, 300), (760, 300), 'marker-end="url(#h)"'),
        line((400, 580), (400, 30), 'marker-end="url(#h)"'),
    ]
    for _ in range(random.randint(1, 3)):
        corners = [
            (random.uniform(80, 720), random.uniform(60, 540))
            for _ in range(random.choice([3, 3, 4]))
        ]
        out.append(
            polygon(corners, f'fill="{colour(random)}" fill-opacity="{random.choice([0, 0.3])}"')
        )
        out += [said((x, y - 8), letter) for (x, y), letter in zip(corners, "ABCD", strict=False)]
    x, y, r = random.uniform(200, 600), random.uniform(200, 400), random.uniform(40, 180)
    return "".join(out) + f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{r:.0f}" fill="none"/>'


DIAGRAMS = (flow, flow, flow, network, network, neurons, classes, sequence, tree, mind, venn)
DIAGRAMS += (circuit, blocks, blocks, schedule, plan, geometry)
