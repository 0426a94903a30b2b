"""Large words on a ground, as HTML: memes, quotations, sales, slides, word marks, comics."""

from random import Random

from refusal.browser import Tile
from refusal.parts import box, many, styled
from refusal.words import sentence, title, word, words

CENTRED = "height:100vh;display:grid;place-content:center;text-align:center;padding:5%"


def banner(random: Random) -> Tile:
    """Large words on a ground: memes, quotations, sales, slides, covers, signs."""
    hue = random.randrange(360)
    ground = random.choice(
        [
            f"hsl({hue} {random.randint(20, 90)}% {random.randint(15, 90)}%)",
            "#000",
            "#fff",
            "#222",
            f"linear-gradient({hue}deg,hsl({hue} 70% 50%),hsl({hue + 70} 70% 40%))",
        ]
    )
    ink = random.choice(["#fff", "#fff", "#111", f"hsl({hue + 180} 80% 60%)", "gold"])
    size = random.choice([(600, 600), (800, 420), (900, 300), (500, 750), (960, 540)])
    return styled(random, random.choice(BANNERS)(random), size, ground, ink)


def meme(random: Random) -> str:
    style = "font:900 58px Impact,'Liberation Sans';color:#fff;text-align:center"
    style += ";text-transform:uppercase;-webkit-text-stroke:2px #000;padding:10px"
    style += ";position:absolute;left:0;right:0"
    upper = box(words(random, random.randint(2, 6)), f"{style};top:0")
    lower = box(words(random, random.randint(2, 6)), f"{style};bottom:0")
    size, sign = random.randint(150, 300), random.choice("😀😂😎🤔😭🙈🐸🐶🚀🔥")
    face = f"<div style='font-size:{size}px'>{sign}</div>"
    return upper + lower + box(face, CENTRED)


def quotation(random: Random) -> str:
    size = random.randint(24, 54)
    inside = f"<div style='font-size:{size}px;font-style:italic'>“{sentence(random)}”</div>"
    return box(f"{inside}<p>— {words(random, 2)}</p>", CENTRED)


def sale(random: Random) -> str:
    size, share = random.randint(60, 170), random.randint(5, 90)
    burst = f"<div style='font:900 {size}px sans-serif'>{share}%</div>"
    button = f"<span class=b style='font-size:26px'>{words(random, 2).upper()}</span>"
    return box(
        f"<h1>{title(random).upper()}</h1>{burst}<p>{sentence(random)}</p><p>{button}</p>", CENTRED
    )


def slide(random: Random) -> str:
    points = many(random, lambda r: f"<li style='margin:12px'>{words(r, r.randint(2, 9))}", 2, 7)
    rule = "border-bottom:4px solid var(--a)"
    return box(
        f"<h1 style='{rule};font-size:44px'>{title(random)}</h1><ul style='font-size:26px'>"
        f"{points}</ul>",
        "padding:40px",
    )


def one_word(random: Random) -> str:
    """A word mark, a sign, a button: hardly more than letters."""
    faces = (
        "900 {}px Liberation Sans",
        "bold {}px DejaVu Serif",
        "italic {}px Liberation Serif",
        "{}px Liberation Mono",
    )
    font = random.choice(faces).format(random.randint(50, 160))
    edge = random.choice(["", "border:8px solid;border-radius:20px;padding:10px 30px"])
    said = random.choice([word, lambda r: words(r, 2), lambda r: word(r).upper()])(random)
    return box(f"<div style='font:{font};{edge}'>{said}</div>", CENTRED)


def comic(random: Random) -> str:
    """Panels with balloons and figures of a few strokes."""

    def panel(r: Random) -> str:
        hue, place = r.randrange(360), r.randint(20, 70)
        talk = box(
            words(r, r.randint(2, 8)),
            "background:#fff;color:#000;border:2px solid #000;"
            "border-radius:50%;padding:12px;text-align:center;margin:6px",
        )
        limbs = f"<path d='M{place} 42v30l-12 24m12-24l12 24m-24-44l24 6'/>"
        head = f"<circle cx={place} cy=30 r=12 />{limbs}"
        body = (
            f"<svg viewBox='0 0 100 100' style='fill:none;stroke:#000;stroke-width:3'>{head}</svg>"
        )
        ground = f"background:hsl({hue} 60% 80%);border:4px solid #000;overflow:hidden"
        return box(talk + body, ground)

    columns = random.randint(1, 3)
    return box(
        many(random, panel, columns, columns * 2),
        f"grid-template-columns:repeat({columns},1fr);height:100vh;padding:10px",
        "g",
    )


BANNERS = (meme, meme, quotation, sale, slide, one_word, one_word, comic)
