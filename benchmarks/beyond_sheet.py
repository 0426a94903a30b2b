"""A contact sheet: photographs with a number and their caption under each, to be judged by eye."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from cutline.evaluation.evaluate import Captioned

COLUMNS, ROWS, SIDE, CAPTION = 5, 5, 300, 74


def draw_sheets(captioned: Sequence[Captioned], folder: Path) -> list[Path]:
    """Pages of 25 photographs each, `sheet-1.png` and on, and `captions.txt` with their names."""
    folder.mkdir(parents=True, exist_ok=True)
    a_page = COLUMNS * ROWS
    pages = [captioned[at : at + a_page] for at in range(0, len(captioned), a_page)]
    paths = [folder / f"sheet-{number}.png" for number in range(1, len(pages) + 1)]
    for number, (page, path) in enumerate(zip(pages, paths, strict=True)):
        _draw_page(page, number * a_page + 1).save(path)
    lines = [f"{n}\t{each.example.id}\t{each.text}\n" for n, each in enumerate(captioned, 1)]
    (folder / "captions.txt").write_text("".join(lines), encoding="utf8")
    return paths


def _draw_page(page: Sequence[Captioned], first: int) -> Image.Image:
    sheet = Image.new("RGB", (COLUMNS * SIDE, ROWS * (SIDE + CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for place, each in enumerate(page):
        x, y = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + CAPTION)
        with Image.open(each.example.image) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((SIDE - 8, SIDE - 4))
        sheet.paste(picture, (x + 4, y + 4))
        text = "\n".join(wrap(f"{first + place}. {each.text or '(none)'}", 34)[:3])
        draw.text((x + 6, y + SIDE + 2), text, "black", font)
    return sheet
