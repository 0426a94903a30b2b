"""Photographs in every form that browsers show, made from the examples: a seed gives the same."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
ORIENTATION = 0x0112


def write_pictures(folder: Path, count: int, *, seed: int = 0) -> list[Path]:
    """`count` files of the kinds in turn; their names begin with the kind."""
    chance = np.random.default_rng(seed)
    makers = list(MAKERS.items())
    paths = []
    for number in range(count):
        kind, (suffix, make) = makers[number % len(makers)]
        with Image.open(EXAMPLES[int(chance.integers(len(EXAMPLES)))]) as example:
            picture = _vary(example.convert("RGB"), chance)
        path = folder / f"{kind}-{number:03}{suffix}"
        make(picture, path, chance)
        paths.append(path)
    return paths


def _vary(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """A part of it in another size, sometimes mirrored: sides from 60 to 890 pixels."""
    width, height = picture.size
    left, top = chance.integers(0, width // 3), chance.integers(0, height // 3)
    part = picture.crop((int(left), int(top), width, height))
    size = (int(chance.integers(60, 890)), int(chance.integers(60, 890)))
    part = part.resize(size, Image.Resampling.LANCZOS)
    return ImageOps.mirror(part) if chance.random() < 0.5 else part


def _veil(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    """An alpha channel of every value, in waves."""
    width, height = picture.size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = np.sin(x / chance.uniform(5, 90)) * np.cos(y / chance.uniform(5, 90))
    alpha = Image.fromarray(np.rint(127.5 + 127.5 * waves).astype(np.uint8))
    veiled = picture.copy()
    veiled.putalpha(alpha)
    return veiled


def _turned(picture: Image.Image, path: Path, chance: np.random.Generator) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = int(chance.integers(1, 9))
    picture.save(path, exif=exif, quality=92)


def _holes(picture: Image.Image, path: Path, chance: np.random.Generator) -> None:
    palette = picture.quantize(64)
    palette.save(path, transparency=int(chance.integers(64)))


MAKERS = {
    "jpeg": (".jpg", lambda p, path, _: p.save(path, quality=90)),
    "jpeg-exif": (".jpg", _turned),
    "jpeg-progressive": (".jpg", lambda p, path, _: p.save(path, quality=80, progressive=True)),
    "jpeg-full-chroma": (".jpg", lambda p, path, _: p.save(path, quality=95, subsampling=0)),
    "jpeg-grey": (".jpg", lambda p, path, _: p.convert("L").save(path)),
    "jpeg-cmyk": (".jpg", lambda p, path, _: p.convert("CMYK").save(path, quality=90)),
    "png": (".png", lambda p, path, _: p.save(path)),
    "png-alpha": (".png", lambda p, path, chance: _veil(p, chance).save(path)),
    "png-exif": (".png", _turned),
    "png-grey": (".png", lambda p, path, _: p.convert("L").save(path)),
    "png-grey-alpha": (".png", lambda p, path, c: _veil(p, c).convert("LA").save(path)),
    "png-palette": (".png", _holes),
    "gif": (".gif", _holes),
    "webp": (".webp", lambda p, path, _: p.save(path, lossless=True)),
    "webp-lossy": (".webp", lambda p, path, _: p.save(path, quality=85)),
    "webp-alpha": (".webp", lambda p, path, chance: _veil(p, chance).save(path, lossless=True)),
    "webp-exif": (".webp", _turned),
    "avif": (".avif", lambda p, path, _: p.save(path, quality=80)),
    "bmp": (".bmp", lambda p, path, _: p.save(path)),
}
