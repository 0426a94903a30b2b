"""What happens to pictures on their way: cropped, framed, scaled, compressed, scanned, tinted."""

import io
from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
SIDE = 224


def opaque(picture: Image.Image) -> Image.Image:
    """RGB, transparency on white."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    seen = picture.convert("RGBA")
    white = Image.new("RGB", seen.size, "white")
    white.paste(seen, mask=seen.getchannel("A"))
    return white


def squashed(picture: Image.Image, random: Random) -> Image.Image:
    """224 x 224, the whole picture made square, by one of the two usual filters."""
    return opaque(picture).resize((SIDE, SIDE), random.choice(FILTERS[:2]))


def worn(picture: Image.Image, random: Random) -> Image.Image:
    """The picture after a few of the things that happen to pictures, each by chance."""
    picture = opaque(picture)
    for chance, change in ((0.3, cropped), (0.2, framed), (0.6, scaled)):
        if random.random() < chance:
            picture = change(picture, random)
    if random.random() < 0.06:
        picture = picture.convert("L").convert("RGB")
    if random.random() < 0.1:
        picture = ImageEnhance.Brightness(picture).enhance(random.uniform(0.7, 1.2))
        picture = ImageEnhance.Color(picture).enhance(random.uniform(0.4, 1.3))
    return compressed(picture, random) if random.random() < 0.6 else picture


def cropped(picture: Image.Image, random: Random) -> Image.Image:
    width, height = picture.size
    keep = random.choice([random.uniform(0.85, 1), random.uniform(0.45, 0.85)])
    across, down = keep, min(1.0, keep * random.uniform(0.8, 1.25))
    left, top = random.uniform(0, 1 - across), random.uniform(0, 1 - down)
    box = (left * width, top * height, (left + across) * width, (top + down) * height)
    return picture.crop(tuple(round(edge) for edge in box))  # type: ignore[arg-type]


def framed(picture: Image.Image, random: Random) -> Image.Image:
    colour = random.choice(["white", "white", "black", "#eeeeee", any_colour(random)])
    edge = round(max(picture.size) * random.uniform(0.01, 0.15))
    if random.random() < 0.5:
        return ImageOps.expand(picture, edge, colour)
    return ImageOps.pad(picture, (max(picture.size),) * 2, color=colour)


def scaled(picture: Image.Image, random: Random) -> Image.Image:
    factor = random.uniform(130, 700) / max(picture.size)
    size = tuple(max(8, round(side * factor)) for side in picture.size)
    return picture.resize(size, random.choice(FILTERS))  # type: ignore[arg-type]


def compressed(picture: Image.Image, random: Random) -> Image.Image:
    stream = io.BytesIO()
    kind = random.choice(["JPEG", "JPEG", "JPEG", "WEBP"])
    picture.save(stream, kind, quality=random.randint(25, 95))
    return Image.open(stream).convert("RGB")


def any_colour(random: Random) -> str:
    return f"hsl({random.randrange(360)},{random.randrange(20, 100)}%,{random.randrange(15, 92)}%)"


# ------------------------------------------------------------------------------- paper


def scanned(picture: Image.Image, random: Random) -> Image.Image:
    """Half of the pages stay as they are on a screen; the others pass a scanner or a copier."""
    if random.random() < 0.45:
        return worn(picture, random)
    paper = random.choice(["white", "#f4efe2", "#e8e4da", "#efe3c2"])
    if random.random() < 0.4:
        picture = picture.convert("L").convert("RGB")
    picture = picture.rotate(
        random.gauss(0, 2), Image.Resampling.BICUBIC, expand=random.random() < 0.5, fillcolor=paper
    )
    if random.random() < 0.06:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    return worn(shaded(picture, random), random)


def shaded(picture: Image.Image, random: Random) -> Image.Image:
    """Grain, uneven light, a tint of paper, ink that runs; sometimes black and white only."""
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 1.6)))
    generator = np.random.default_rng(random.randrange(2**32))
    ink = np.asarray(picture, dtype=np.float32)
    height, width = ink.shape[:2]
    slope = np.linspace(0, random.uniform(-45, 0), width)[None, :, None]
    slope = slope + np.linspace(0, random.uniform(-35, 0), height)[:, None, None]
    grain = generator.normal(0, random.uniform(1, 14), (height, width, 1))
    tint = np.array([0, random.uniform(-12, 0), random.uniform(-40, 0)]) * random.choice([0, 1])
    ink = ink * random.uniform(0.8, 1) + slope + grain + tint
    if random.random() < 0.15:
        ink = np.where(ink.mean(axis=2, keepdims=True) > 150, 255.0, 0.0) + np.zeros(3)
    return Image.fromarray(np.clip(ink, 0, 255).astype(np.uint8))


# ---------------------------------------------------------------------------- icons and logos


def trimmed(picture: Image.Image) -> Image.Image | None:
    """What lies small on a large white page, made larger; None where there is hardly anything.

    Many drawings keep the whole page they were drawn on, and Chromium shows a broken one as a sign
    of a few pixels.
    """
    marks = ImageChops.difference(picture, Image.new("RGB", picture.size, "white")).convert("L")
    box = marks.point(lambda value: 255 * (value > 8)).getbbox()
    extent = max(box[2] - box[0], box[3] - box[1]) / max(picture.size) if box else 0
    if extent < 1 / 8:
        return None
    return picture if extent > 0.6 else ImageOps.pad(picture.crop(box), picture.size, color="white")


def emblem(recent: Sequence[Image.Image], random: Random, *, sheets: bool) -> Image.Image:
    """The last of some pictures on white, on a ground of its own, or among others on a sheet."""
    if sheets and len(recent) > 12 and random.random() < 0.2:
        return sheet(recent, random)
    return grounded(tinted(recent[-1], random), random)


def tinted(picture: Image.Image, random: Random) -> Image.Image:
    """What is black on white sometimes takes two other colours."""
    grey = np.ptp(np.asarray(picture, dtype=np.int16), axis=2).max() < 12
    if not grey or random.random() < 0.4:
        return picture
    ink, ground = any_colour(random), random.choice(["white", "black", any_colour(random)])
    return ImageOps.colorize(picture.convert("L"), ink, ground)


def grounded(picture: Image.Image, random: Random) -> Image.Image:
    """With room around it: as much of the ground's colour as chance has it, often oblong."""
    corner = picture.getpixel((0, 0))
    side = picture.width
    width = round(side * random.choice([1, random.uniform(1, 1.6), random.uniform(1, 3)]))
    height = round(side * random.choice([1, random.uniform(1, 1.6)]))
    ground = Image.new("RGB", (width, height), corner)
    ground.paste(picture, ((width - side) // 2, (height - side) // 2))
    return ground


def sheet(recent: Sequence[Image.Image], random: Random) -> Image.Image:
    across, down = random.randint(2, 6), random.randint(1, 5)
    gap, side = random.randint(0, 40), 128
    ground = Image.new("RGB", (across * (side + gap) + gap, down * (side + gap) + gap), "white")
    for place in range(across * down):
        picture = random.choice(recent).resize((side, side))
        left, top = place % across, place // across
        ground.paste(picture, (gap + left * (side + gap), gap + top * (side + gap)))
    return ImageOps.invert(ground) if random.random() < 0.15 else ground
