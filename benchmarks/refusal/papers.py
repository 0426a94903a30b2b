"""Documents as HTML: letters, studies, forms, books, invoices, newspapers, notes by hand."""

from random import Random

from refusal.browser import Tile
from refusal.parts import box, code_lines, many, picture, styled
from refusal.words import foreign, number, sentence, text, title, word, words


def document(random: Random) -> Tile:
    """A page of paper: letter, study, form, book, invoice, newspaper, list, notes by hand."""
    margin = random.randint(20, 90)
    body = box(random.choice(PAPERS)(random), f"padding:{margin}px")
    size = random.choice([(794, 1123)] * 5 + [(816, 1056), (700, 900), (1123, 794), (600, 600)])
    return styled(random, body, size, random.choice(["#fff", "#fff", "#fdfbf5"]), "#111")


def letter(random: Random) -> str:
    sender = box(many(random, lambda r: f"{words(r, 3)}<br>", 2, 5), "text-align:right")
    body = many(random, lambda r: f"<p>{text(r, r.randint(2, 6))}</p>", 1, 6)
    name = f"<p style='font:italic 30px cursive'>{words(random, 2)}</p>"
    return f"{sender}<p>{words(random, 2)},</p>{body}{name}{stamp(random)}"


def stamp(random: Random) -> str:
    if random.random() < 0.6:
        return ""
    colour, turn = random.choice(["#b22", "#228", "#262"]), random.randint(-30, 30)
    place = f"position:absolute;left:{random.randint(5, 60)}%;top:{random.randint(40, 85)}%"
    style = f"border:5px double {colour};color:{colour};padding:12px;font:bold 26px sans-serif"
    shape = random.choice(["border-radius:50%", ""])
    return box(words(random, 2).upper(), f"{place};{style};{shape};rotate:{turn}deg;opacity:.75")


def study(random: Random) -> str:
    """A paper of one or two columns with formulas, a table, a figure."""
    formula = "<p style='text-align:center;font-style:italic'>∑ᵢ αᵢ f(xᵢ) = ∫ g(t) dt − √β ≤ λ²</p>"
    graph = box(many(random, bar, 4, 12), "height:110px;align-items:end;border:1px solid", "f")
    parts = [lambda r: f"<h3>{r.randint(1, 9)} {title(r)}</h3>", lambda r: formula, table]
    parts += [lambda r: f"<p>{text(r, 6)}</p>"] * 5 + [
        lambda r: graph + f"<small>{sentence(r)}</small>"
    ]
    inside = many(random, lambda r: r.choice(parts)(r), 8, 20)
    head = f"<h1 style='text-align:center'>{title(random)}</h1><p style='text-align:center'>"
    style = (
        f"columns:{random.choice([1, 2, 2])};text-align:justify;font-size:{random.randint(9, 14)}px"
    )
    return f"{head}{words(random, 4)}</p>" + box(inside, style)


def bar(random: Random) -> str:
    return f"<i style='flex:1;background:#777;height:{random.randint(5, 100)}px'></i>"


def table(random: Random) -> str:
    columns = random.randint(2, 5)
    rows = many(
        random, lambda r: "<tr>" + "".join(f"<td>{number(r)}" for _ in range(columns)), 3, 9
    )
    return f"<table>{rows}</table>"


def questionnaire(random: Random) -> str:
    def row(r: Random) -> str:
        boxes = many(r, lambda q: f"☐ {words(q, 1)} &nbsp; ", 2, 5)
        line = "<hr style='border:0;border-bottom:1px solid;height:22px'>"
        grid = box("".join("<td>&nbsp;" for _ in range(r.randint(6, 16))))
        grid = f"<table><tr>{grid}{'<td>&nbsp;' * r.randint(6, 16)}</table>"
        return f"<p>{r.randint(1, 40)}. {sentence(r)}<br>{r.choice([boxes, line, grid])}</p>"

    return f"<h2 class=c>{title(random)}</h2>" + many(random, row, 5, 14) + stamp(random)


def book(random: Random) -> str:
    body = many(random, lambda r: f"<p style='text-indent:2em;margin:0'>{text(r, 7)}</p>", 4, 12)
    strange = f"<p>{foreign(random, random.randint(600, 2500))}</p>"
    head = f"<h2 style='text-align:center'>{title(random)}</h2>" if random.random() < 0.5 else ""
    inside = random.choice([body, body, strange])
    foot = f"<p style='text-align:center'>{random.randint(1, 600)}</p>"
    return head + box(inside, f"text-align:justify;font-size:{random.randint(13, 26)}px") + foot


def invoice(random: Random) -> str:
    def row(r: Random) -> str:
        return f"<tr><td>{r.randint(1, 20)}<td>{words(r, 4)}<td>{number(r)}<td>{number(r)}"

    head = box(
        f"<h1>{title(random)}</h1><div>{many(random, lambda r: words(r, 3) + '<br>', 2, 5)}</div>",
        "justify-content:space-between",
        "f",
    )
    rows = (
        f"<table><tr><th>#<th>{word(random)}<th>{word(random)}<th>$</tr>{many(random, row, 3, 15)}"
    )
    total = f"<h2 style='text-align:right'>{number(random)}</h2>"
    return f"{head}{rows}</table>{total}<p>{text(random, 3)}</p>{stamp(random)}"


def newspaper(random: Random) -> str:
    def story(r: Random) -> str:
        shown = (
            picture(r, "width:100%;height:110px;filter:grayscale(1)") if r.random() < 0.25 else ""
        )
        return f"<h3>{title(r)}</h3>{shown}<p>{text(r, r.randint(4, 14))}</p>"

    style = "font:bold 56px serif;text-align:center;border-bottom:4px double"
    head = f"<h1 style='{style}'>{title(random)}</h1>"
    style = f"columns:{random.randint(3, 5)};font-size:{random.randint(9, 13)}px;text-align:justify"
    return head + box(many(random, story, 5, 14), style)


def contents(random: Random) -> str:
    """A list: contents, a bill of fare, a timetable, a bibliography."""

    def line(r: Random) -> str:
        dots = "<span style='flex:1;border-bottom:2px dotted #999'></span>"
        return box(f"{words(r, r.randint(1, 5))}{dots}{number(r)}", "margin:6px", "f")

    return f"<h1 style='text-align:center'>{title(random)}</h1>" + many(random, line, 8, 34)


def notes(random: Random) -> str:
    """By hand, or nearly: strokes that look like writing on ruled or squared paper."""

    def stroke(r: Random) -> str:
        y, x, path = r.randint(2, 26) * 36, r.randint(10, 60), ""
        for _ in range(r.randint(20, 90)):
            path += f" q{r.randint(2, 6)} {r.randint(-13, -3)} {r.randint(4, 9)} {r.randint(-3, 3)}"
            path += f" t{r.randint(2, 6)} {r.randint(-3, 3)}"
        return f"<path d='M{x} {y}{path}'/>"

    ink = random.choice(["#124", "#222", "#339"])
    lines = many(random, stroke, 8, 24)
    rule = "repeating-linear-gradient(transparent 0 35px,#9bd8 35px 36px)"
    ground = random.choice([f"background:{rule}", "", "background:#fff7b0"])
    drawn = (
        f"<svg width=100% height=1000 style='fill:none;stroke:{ink};stroke-width:1.6'>{lines}</svg>"
    )
    return box(drawn, ground)


def listing(random: Random) -> str:
    return f"<p>{text(random, 4)}</p>" + code_lines(random, 40) + f"<p>{text(random, 3)}</p>"


PAPERS = (letter, letter, study, study, study, questionnaire, book, book, invoice, newspaper)
PAPERS += (contents, notes, listing)
