"""Drawn shapes with exactly known captions: "a red circle left of a blue square".

For tests and first steps, without a download. Each picture shows two different things, side by side
or one above the other (264 scenes), and three of the six true wordings are its captions. Pictures
are drawn into the folder on first use. A scene depends only on the seed and the picture's number,
so that a larger `count` adds pictures and moves none. Of every ten pictures one is for validation
and one for test; a scene may occur in several splits, drawn differently.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from cutline.datasets.validation import Reading, list_pictures
from cutline.errors import DataError
from cutline.io.atomic import RefusedError, atomic_write, remove_partial_files
from cutline.types import Example

SHAPES = ("circle", "square", "triangle")
COLOURS = {"red": "#d62728", "green": "#2ca02c", "blue": "#1f4fd6", "yellow": "#f2c80f"}
OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
WORDINGS = (
    "a {here} {relation} a {there}",
    "a {there} {opposite} a {here}",
    "there is a {here} {relation} a {there}",
    "there is a {there} {opposite} a {here}",
    "the {here} is {relation} the {there}",
    "the {there} is {opposite} the {here}",
)
CAPTIONS = 3
_PAPER = "#f0f0f0"


@dataclass(frozen=True, slots=True)
class Scene:
    """Two things and the position of the first relative to the second."""

    here: tuple[str, str]
    """Colour and shape."""
    there: tuple[str, str]
    relation: str

    def captions(self) -> tuple[str, ...]:
        """All true wordings; each thing comes first equally often."""
        here, there = " ".join(self.here), " ".join(self.there)
        words = {"relation": self.relation, "opposite": OPPOSITES[self.relation]}
        return tuple(text.format(here=here, there=there, **words) for text in WORDINGS)


class Shapes:
    """Pictures of two shapes; an example's id is its file name."""

    def __init__(
        self, folder: Path | str, *, count: int = 500, size: int = 64, seed: int = 0
    ) -> None:
        """`size` is the side of the square pictures in pixels."""
        if count < 1 or size < 16:
            raise DataError(
                f"{count} shapes of {size} pixels: count must be at least 1 and size at least "
                "16 pixels"
            )
        self.folder = Path(folder)
        self.count = count
        self.size = size
        self.seed = seed

    def __iter__(self) -> Iterator[Example]:
        return self.read().require_valid()

    def read(self) -> Reading:
        """Draw missing pictures and return the examples, which have no problems."""
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_partial_files(self.folder)
        there = list_pictures(self.folder)
        for index in range(self.count):
            if self._name(index) not in there:
                self._draw(index)
        return Reading(tuple(self._example(index) for index in range(self.count)))

    def _name(self, index: int) -> str:
        return f"seed{self.seed}-{self.size}px-{index:05}.png"

    def _draw(self, index: int) -> None:
        """Draw a picture atomically; another process may have drawn the same."""
        drawn = draw_scene(*self._scene(index), size=self.size)
        path = self.folder / self._name(index)
        with suppress(RefusedError), atomic_write(path, fsync=False, clean_up=False) as file:
            drawn.save(file, format="png")

    def _example(self, index: int) -> Example:
        scene, rng = self._scene(index)
        captions = tuple(rng.sample(scene.captions(), CAPTIONS))
        split = {8: "validation", 9: "test"}.get(index % 10, "train")
        return Example(self._name(index), self.folder / self._name(index), captions, split)

    def _scene(self, index: int) -> tuple[Scene, Random]:
        """The scene with this number, and the random generator for the rest."""
        rng = Random(f"{self.seed}/{index}")
        things = [(colour, shape) for colour in COLOURS for shape in SHAPES]
        here, there = rng.sample(things, 2)
        return Scene(here, there, rng.choice(list(OPPOSITES))), rng


def draw_scene(scene: Scene, rng: Random, *, size: int) -> Image.Image:
    """Draw the scene; `rng` varies positions and sizes."""
    image = Image.new("RGB", (size, size), _PAPER)
    draw = ImageDraw.Draw(image)
    near, far, middle = size * 0.27, size * 0.73, size * 0.5
    centres = {
        "left of": ((near, middle), (far, middle)),
        "right of": ((far, middle), (near, middle)),
        "above": ((middle, near), (middle, far)),
        "below": ((middle, far), (middle, near)),
    }[scene.relation]
    for (colour, shape), (x, y) in zip((scene.here, scene.there), centres, strict=True):
        radius = size * rng.uniform(0.13, 0.2)
        shift = size * 0.06
        x, y = x + rng.uniform(-shift, shift), y + rng.uniform(-shift, shift)
        _draw_thing(draw, COLOURS[colour], shape, (x - radius, y - radius, x + radius, y + radius))
    return image


def _draw_thing(
    draw: ImageDraw.ImageDraw, colour: str, shape: str, box: tuple[float, float, float, float]
) -> None:
    left, top, right, bottom = map(round, box)
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        apex = ((left + right) // 2, top)
        draw.polygon((apex, (right, bottom), (left, bottom)), fill=colour)
