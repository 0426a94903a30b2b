"""What pages are made of, as HTML: a style, boxes, pictures, lines of code."""

import html
from collections.abc import Callable
from pathlib import Path
from random import Random

from refusal.browser import Tile
from refusal.words import word

PHOTOGRAPHS: list[Path] = []
"""What a page may show in small, as sites do; none unless some are named."""
FONTS = ("Liberation Sans", "DejaVu Sans", "Liberation Serif", "DejaVu Serif", "Liberation Mono")
Part = Callable[[Random], str]


def styled(
    random: Random, body: str, size: tuple[int, int], ground: str, ink: str, css: str = ""
) -> Tile:
    accent = f"hsl({random.randrange(360)} {random.randint(40, 95)}% {random.randint(30, 60)}%)"
    base = f"body{{margin:0;background:{ground};color:{ink};font:{random.randint(13, 19)}px "
    base += f"{random.choice(FONTS)};--a:{accent};line-height:{random.uniform(1.2, 1.7):.2f}}}"
    base += "*{box-sizing:border-box}.f{display:flex;gap:14px}.g{display:grid;gap:14px}"
    base += "td,th{padding:5px 9px;border:1px solid #8885;text-align:left}"
    base += "table{border-collapse:collapse;width:100%}"
    base += ".b{background:var(--a);color:#fff;padding:8px 14px;border-radius:5px}"
    base += ".c{border:1px solid #8884;border-radius:6px;padding:10px}p{margin:.6em 0}"
    return Tile(f"<style>{base}{css}</style><body>{body}", *size)


def many(random: Random, part: Part, least: int, most: int) -> str:
    return "".join(part(random) for _ in range(random.randint(least, most)))


def box(inside: str, style: str = "", kind: str = "") -> str:
    return f'<div class="{kind}" style="{style}">{inside}</div>'


def picture(random: Random, style: str = "width:100%;height:130px") -> str:
    """A photograph, or where there is none (and half of the time) a ground with a sign."""
    if PHOTOGRAPHS and random.random() < 0.5:
        source = random.choice(PHOTOGRAPHS).resolve().as_uri()
        return f'<img src="{html.escape(source)}" style="object-fit:cover;{style}">'
    hue, signs = random.randrange(360), "★♥☀☎✎✈♫⚑☂♞⚙▶"
    ground = (
        f"linear-gradient({random.randrange(180)}deg,hsl({hue} 60% 60%),hsl({hue + 60} 50% 40%))"
    )
    inside = f'<span style="font-size:40px;color:#fff">{random.choice(signs)}</span>'
    return box(inside, f"background:{ground};display:grid;place-items:center;{style}")


def code_lines(random: Random, lines: int) -> str:
    colours = ("#c678dd", "#61afef", "#98c379", "#e5c07b", "#d19a66", "inherit", "inherit")

    def token(r: Random) -> str:
        return f'<span style="color:{r.choice(colours)}">{word(r)}{r.choice(MARKS)}</span>'

    indent, out = 0, []
    for line in range(lines):
        indent = max(0, min(6, indent + random.choice([-1, -1, 0, 0, 0, 1, 1])))
        tokens = "" if random.random() < 0.12 else many(random, token, 1, 9)
        out.append(f"<i style='opacity:.4'>{line + 1:3}</i> {'  ' * indent}{tokens}")
    return f"<pre style='margin:0'>{'<br>'.join(out)}</pre>"


MARKS = (" ", " ", "(", ")", " = ", ".", ": ", ", ", "();", " {", "}", "[0]", " -&gt; ", '"')
