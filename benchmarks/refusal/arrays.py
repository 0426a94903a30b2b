"""What arrays alone can show: blanks, patterns, noise, codes, pixel art."""

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float64]


def plain(random: Random) -> Image.Image:
    """One colour, a gradient, stripes, a chequerboard, dots, waves; a little grain at times."""
    numbers = np.random.default_rng(random.randrange(2**32))
    first, second = numbers.uniform(0, 255, (2, 3))
    if random.random() < 0.3:
        first = np.full(3, random.choice([0, 255, 255, 128, 240]), float)
    height, width = random.choice([(240, 320), (300, 300), (320, 240)])
    mix = random.choice(MIXES)(random, *np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j])
    picture = first + (second - first) * mix[..., None]
    grain = random.choice([0, 0, 0, random.uniform(1, 6)])
    return pixels(picture + numbers.normal(0, 1, picture.shape) * grain)


def solid(random: Random, y: Array, x: Array) -> Array:
    return np.zeros_like(x)


def gradient(random: Random, y: Array, x: Array) -> Array:
    angle = random.uniform(0, 2 * np.pi)
    slope = x * np.cos(angle) + y * np.sin(angle)
    return (slope - slope.min()) / np.ptp(slope)


def radial(random: Random, y: Array, x: Array) -> Array:
    distance = np.hypot(x - random.random(), y - random.random())
    return distance / distance.max()


def stripes(random: Random, y: Array, x: Array) -> Array:
    turned = gradient(random, y, x)
    return (turned * random.randint(3, 40) % 1 > random.uniform(0.2, 0.8)).astype(float)


def chequers(random: Random, y: Array, x: Array) -> Array:
    count = random.randint(2, 24)
    return ((x * count).astype(int) + (y * count).astype(int)) % 2.0


def dots(random: Random, y: Array, x: Array) -> Array:
    count, size = random.randint(3, 20), random.uniform(0.15, 0.5)
    return (np.hypot(x * count % 1 - 0.5, y * count % 1 - 0.5) < size).astype(float)


def waves(random: Random, y: Array, x: Array) -> Array:
    a, b, c = (random.uniform(2, 30) for _ in range(3))
    return (np.sin(a * x + 3 * np.sin(b * y)) + np.cos(c * y * x) + 2) / 4


MIXES = (solid, solid, solid, gradient, gradient, radial, stripes, chequers, dots, waves)


def noise(random: Random) -> Image.Image:
    """White, blotchy, grey, sparse: what broken decoders and dead cameras show."""
    numbers = np.random.default_rng(random.randrange(2**32))
    side, channels = random.choice([8, 30, 80, 224, 224, 224]), random.choice([1, 3])
    values = numbers.normal(random.uniform(60, 200), random.uniform(8, 90), (side, side, channels))
    if random.random() < 0.2:
        values = np.where(numbers.random((side, side, 1)) < 0.06, 255.0, values * 0)
    filtered = random.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    return pixels(values + np.zeros(3)).resize((256, 256), filtered)


def code(random: Random) -> Image.Image:
    """A bar code, or the like of a QR or Data Matrix code; the margin and the colours vary."""
    numbers = np.random.default_rng(random.randrange(2**32))
    cells = random.choice([bar_code, matrix_code, matrix_code])(random, numbers)
    cells = np.pad(cells, random.randint(1, 6))
    ink = numbers.uniform(0, 90, 3) * random.choice([0, 0, 1])
    paper = 255 - numbers.uniform(0, 70, 3) * random.choice([0, 0, 1])
    picture = pixels(np.where(cells[..., None], ink, paper))
    size = (cells.shape[1] * 8, cells.shape[0] * 8)
    return picture.resize(size, Image.Resampling.NEAREST)


def bar_code(random: Random, numbers: np.random.Generator) -> npt.NDArray[np.bool_]:
    widths = numbers.integers(1, 5, random.randint(40, 70))
    row = np.repeat(np.arange(len(widths)) % 2 == 0, widths)
    return np.tile(row, (random.randint(30, 110), 1))


def matrix_code(random: Random, numbers: np.random.Generator) -> npt.NDArray[np.bool_]:
    side = random.choice([21, 25, 29, 33, 41, 57])
    cells = numbers.random((side, side)) < 0.5
    if random.random() < 0.25:
        cells[0, :], cells[:, 0] = np.arange(side) % 2 == 0, True
        return cells
    eye = np.pad(np.pad(np.pad(np.ones((3, 3), bool), 1), 1, constant_values=True), 1)
    for rows, columns in ((slice(8), slice(8)), (slice(8), slice(-8, None))):
        cells[rows, columns] = eye[1:, 1:] if columns.start is None else eye[1:, :-1]
    cells[-8:, :8] = eye[:-1, 1:]
    return cells


def pixel_art(random: Random) -> Image.Image:
    """A scene of a game of old, of square tiles, with figures alike on both sides."""
    numbers = np.random.default_rng(random.randrange(2**32))
    colours = numbers.uniform(0, 255, (random.randint(4, 12), 3))
    side = random.choice([16, 24, 32, 48])
    scene = np.full((side, side), 0)
    ground = side - random.randint(1, side // 3)
    scene[ground:] = numbers.integers(1, 3, (side - ground, side))
    for _ in range(random.randint(0, 8)):
        left, top, length = numbers.integers(0, side, 3)
        scene[top : top + 2, left : left + length // 3] = numbers.integers(0, len(colours))
    for _ in range(random.randint(1, 6)):
        figure(scene, numbers, len(colours))
    picture = pixels(colours[scene])
    return picture.resize((side * 10, side * 10), Image.Resampling.NEAREST)


def figure(scene: npt.NDArray[Any], numbers: np.random.Generator, colours: int) -> None:
    """Half of it is random and the other half its mirror: it looks like a creature or a ship."""
    size = int(numbers.integers(6, max(7, len(scene) // 2)))
    half = numbers.integers(0, colours, (size, (size + 1) // 2))
    half = np.where(numbers.random(half.shape) < 0.6, numbers.choice(half.ravel(), half.shape), -1)
    whole = np.concatenate([half, half[:, ::-1][:, size % 2 :]], axis=1)
    top, left = numbers.integers(0, len(scene) - size + 1, 2)
    part = scene[top : top + size, left : left + size]
    part[whole >= 0] = whole[whole >= 0]


def pixels(values: Array) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
