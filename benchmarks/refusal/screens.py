"""Screenshots of sites and programs, light and dark, as HTML."""

import html
from collections.abc import Sequence
from random import Random

from refusal.browser import Tile
from refusal.parts import Part, box, code_lines, many, picture, styled
from refusal.words import foreign, number, sentence, text, title, word, words

SIZES = ((1280, 800), (1024, 768), (1366, 700), (800, 600), (390, 780), (768, 1000), (640, 400))


def screen(random: Random) -> Tile:
    """A site or a program in its window, or on a telephone."""
    ground, ink = random.choice(
        [("#fff", "#222")] * 5
        + [("#f3f4f6", "#111"), ("#16181d", "#ddd"), ("#000", "#ccc")]
        + [("#1e2430", "#c9d1d9"), ("#fdf6e3", "#586e75"), ("#eef3fb", "#123")]
    )
    make = random.choice(SCREENS)
    size = (390, 780) if make is settings else random.choice(SIZES)
    return styled(random, window(random, make(random)), size, ground, ink)


def window(random: Random, inside: str) -> str:
    """Sometimes with a title bar, or a browser's tabs and address."""
    if random.random() < 0.6:
        return inside
    lights = "".join(f'<b style="color:{c}">●</b> ' for c in ("#ff5f57", "#febc2e", "#28c840"))
    bar = random.choice([lights + words(random, 2), words(random, 3) + " &nbsp; — ☐ ✕"])
    tabs = many(random, lambda r: box(words(r, 2), "padding:4px 14px", "c"), 1, 5)
    address = box(f"https://{word(random)}.com/{word(random)}", "margin:4px", "c")
    tabs = box(tabs, "background:#8883", "f") + address if random.random() < 0.5 else ""
    return box(bar, "background:#8884;padding:6px 10px") + tabs + inside


def top(random: Random) -> str:
    links = many(random, lambda r: f"<span>{words(r, 1)}</span>", 2, 7)
    style = random.choice(["background:var(--a);color:#fff", "border-bottom:1px solid #8885", ""])
    return box(f"<b>{title(random)}</b>{links}", f"padding:14px 20px;{style}", "f")


def article(random: Random) -> str:
    width = random.choice([600, 760, 1000])
    parts: Sequence[Part] = (
        lambda r: f"<h2>{title(r)}</h2>",
        lambda r: f"<p>{text(r, r.randint(2, 7))}</p>",
        lambda r: f"<p>{text(r, r.randint(2, 7))}</p>",
        lambda r: f"<ul>{many(r, lambda q: f'<li>{sentence(q)}', 2, 6)}</ul>",
        lambda r: picture(r, f"width:{r.randint(40, 100)}%;height:{r.randint(90, 240)}px"),
        lambda r: f"<p>{foreign(r, 300)}</p>",
        lambda r: box(code_lines(r, 6), "background:#8882;font-family:monospace", "c"),
    )
    inside = many(random, lambda r: r.choice(parts)(r), 4, 9)
    heading = f"<h1>{title(random)}</h1>"
    return top(random) + box(heading + inside, f"max-width:{width}px;margin:auto;padding:12px")


def shop(random: Random) -> str:
    def card(r: Random) -> str:
        price = f"<b>${number(r)}</b> <span class=b>{word(r)}</span>"
        high = f"width:100%;height:{height}px"
        return box(f"{picture(r, high)}<p>{words(r, 4)}</p>{price}", "", "c")

    height, columns = random.randint(70, 180), random.randint(2, 5)
    cards = many(random, card, columns, columns * 4)
    style = f"grid-template-columns:repeat({columns},1fr);padding:16px"
    return top(random) + box(cards, style, "g")


def hero(random: Random) -> str:
    """A landing page: a large line, two buttons, three columns."""
    button = f"<span class=b>{words(random, 2)}</span> <span class=c>{words(random, 2)}</span>"
    head = f"<h1 style='font-size:{random.randint(30, 60)}px'>{title(random)}</h1>"
    ground = random.choice(["", "background:#8882", "background:var(--a);color:#fff"])
    head = box(
        f"{head}<p>{text(random, 2)}</p>{button}", f"padding:60px;text-align:center;{ground}"
    )
    columns = many(random, lambda r: box(f"<h3>{title(r)}</h3>{text(r, 2)}", "flex:1", "c"), 2, 4)
    return top(random) + head + box(columns, "padding:20px", "f")


def editor(random: Random) -> str:
    files = many(random, lambda r: box(f"{'&nbsp;' * r.choice([0, 3, 6])}▸ {word(r)}.py"), 8, 30)
    side = box(files, "background:#8882;width:200px;padding:8px;height:100vh")
    tabs = box(many(random, lambda r: box(word(r) + ".py", "padding:5px 12px"), 1, 5), "", "f")
    inside = box(tabs + code_lines(random, random.randint(15, 60)), "flex:1")
    return box((side if random.random() < 0.6 else "") + inside, "font-size:14px", "f")


def terminal(random: Random) -> str:
    def line(r: Random) -> str:
        prompt = f'<span style="color:#3b3">{word(r)}@{word(r)}:~$</span> {words(r, 3)}'
        plain = html.escape(f"{number(r):>12} {words(r, r.randint(1, 9))}")
        return r.choice([prompt, plain, plain, f'<b style="color:#c44">{plain}</b>', ""]) + "\n"

    style = random.choice(["background:#000;color:#ddd", "background:#300a24;color:#fff", ""])
    lines = many(random, line, 8, 60)
    return f'<pre style="margin:0;padding:10px;min-height:100vh;{style}">{lines}</pre>'


def cells(random: Random) -> str:
    """A spreadsheet, or a table of a database."""
    columns, rows = random.randint(3, 14), random.randint(5, 40)
    kinds = [random.choice([number, word, lambda r: words(r, 2)]) for _ in range(columns)]
    head = "<tr style='background:#8883'>" + "".join(f"<th>{word(random)}" for _ in kinds)
    body = "".join(
        "<tr>" + "".join(f"<td>{'' if random.random() < 0.1 else kind(random)}" for kind in kinds)
        for _ in range(rows)
    )
    tools = top(random) if random.random() < 0.6 else ""
    return tools + f"<table style='font-size:{random.randint(10, 15)}px'>{head}{body}</table>"


def form(random: Random) -> str:
    fields: Sequence[Part] = (
        lambda r: f"<input style='width:100%;padding:7px' value='{words(r, r.choice([0, 2]))}'>",
        lambda r: f"<select style='padding:7px'><option>{words(r, 2)}</select>",
        lambda r: f"<textarea rows=4 style='width:100%'>{sentence(r)}</textarea>",
        lambda r: many(
            r,
            lambda q: f"<div><input type=checkbox {q.choice(['', 'checked'])}> {words(q, 3)}</div>",
            2,
            5,
        ),
        lambda r: f"<input type=range style='width:100%' value={r.randrange(100)}>",
    )
    rows = many(random, lambda r: f"<p><b>{title(r)}</b><br>{r.choice(fields)(r)}</p>", 2, 9)
    inside = f"<h2>{title(random)}</h2>{rows}<span class=b>{words(random, 2)}</span>"
    return box(inside, f"max-width:{random.choice([320, 480, 700])}px;margin:30px auto", "c")


def chat(random: Random) -> str:
    def bubble(r: Random) -> str:
        mine = r.random() < 0.5
        place = "margin-left:auto;background:var(--a);color:#fff" if mine else "background:#8883"
        shape = "border-radius:16px;padding:9px 14px;margin:7px;max-width:70%;width:fit-content"
        return box(text(r, r.randint(1, 3)), f"{shape};{place}")

    return top(random) + box(many(random, bubble, 4, 14), "padding:10px")


def dashboard(random: Random) -> str:
    def card(r: Random) -> str:
        bars = many(
            r,
            lambda q: f"<i style='flex:1;background:var(--a);height:{q.randint(5, 90)}px'></i>",
            5,
            20,
        )
        graph = box(bars, "align-items:end;height:95px;gap:4px", "f")
        figure = f"<h1 style='margin:0'>{number(r)}</h1>{words(r, 3)}"
        return box(f"<b>{title(r)}</b>{r.choice([graph, figure, ring(r)])}", "", "c")

    columns = random.randint(2, 4)
    grid = f"grid-template-columns:repeat({columns},1fr);padding:14px;flex:1"
    menu = box(many(random, lambda r: f"<p>▪ {words(r, 1)}</p>", 4, 12), "padding:14px;width:150px")
    return top(random) + box(menu + box(many(random, card, 4, 12), grid, "g"), "", "f")


def ring(random: Random) -> str:
    share = random.randint(5, 95)
    ground = f"conic-gradient(var(--a) {share}%,#8884 0)"
    return box(
        f"{share} %",
        f"background:{ground};width:90px;height:90px;border-radius:50%;"
        "display:grid;place-items:center",
    )


def inbox(random: Random) -> str:
    def line(r: Random) -> str:
        weight = random.choice(["bold", "normal", "normal"])
        inside = f"☐ <span style='width:150px'>{words(r, 2)}</span><span>{sentence(r)}</span>"
        return box(inside, f"padding:8px;border-bottom:1px solid #8883;font-weight:{weight}", "f")

    return top(random) + many(random, line, 8, 24)


def files(random: Random) -> str:
    sign = random.choice(["📁", "📄", "🎵", "📦"])
    icon = f"<div style='font-size:44px'>{sign}</div>"
    grid = (
        f"grid-template-columns:repeat({random.randint(4, 9)},1fr);padding:16px;text-align:center"
    )
    return top(random) + box(many(random, lambda r: box(icon + word(r)), 6, 50), grid, "g")


def month(random: Random) -> str:
    days = "".join(
        f"<td style='height:90px;vertical-align:top'>{day}"
        + (box(words(random, 2), "margin:2px;padding:2px", "b") if random.random() < 0.25 else "")
        + ("<tr>" if day % 7 == 0 else "")
        for day in range(1, 32)
    )
    return f"<h2 style='margin:10px'>{title(random)}</h2><table><tr>{days}</table>"


def settings(random: Random) -> str:
    def row(r: Random) -> str:
        switch = r.choice(["›", "<span class=b>&nbsp;●</span>", words(r, 1), "☐"])
        inside = f"<span>{r.choice('⚙☎✉☀♫⚑')} {words(r, 2)}</span><span>{switch}</span>"
        return box(
            inside, "justify-content:space-between;padding:13px;border-top:1px solid #8883", "f"
        )

    return (
        box("9:41 ▂▄▆ 87 %", "padding:5px")
        + f"<h1>&nbsp;{title(random)}</h1>"
        + many(random, row, 6, 14)
    )


def dialog(random: Random) -> str:
    """A box before what it darkens."""
    buttons = f"<p><span class=b>{word(random)}</span> <span class=c>{word(random)}</span></p>"
    shape = "position:absolute;left:25%;top:25%;width:50%;background:#fff;color:#222;z-index:2"
    front = box(f"<h3>{title(random)}</h3>{text(random, 2)}{buttons}", shape, "c")
    return box(random.choice([article, inbox, cells])(random), "filter:brightness(.5)") + front


SCREENS = (article, article, article, shop, shop, hero, editor, terminal, cells, form, chat)
SCREENS += (dashboard, dashboard, inbox, files, month, settings, dialog)
