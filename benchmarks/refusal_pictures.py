"""Pictures that are no photographs, in thousands: what `is this a photograph?` is learnt from.

    python benchmarks/refusal_pictures.py OUT                          all kinds that are drawn here
    python benchmarks/refusal_pictures.py OUT --only charts,maps       some of them
    python benchmarks/refusal_pictures.py OUT --svg icons/papirus=/usr/share/icons/Papirus
    python benchmarks/refusal_pictures.py OUT --files receipts/sroie=FOLDER --most 500

Drawn here are charts (matplotlib), pages, diagrams and maps (headless Chromium), blanks, noise,
codes and pixel art (NumPy). `--svg` and `--files` add pictures of a folder: icon themes, clip art,
scans. Each is worn as pictures are (cropped, framed, scaled, compressed), squashed to 224 x 224 and
written to OUT/KIND/NNNNN.jpg, with a line in OUT/manifest.jsonl: file, kind, generator, split.
The same seed makes the same pictures; what the manifest has already is not made again.

The kinds of HELD_OUT, and the generators named by --unseen, are all `test`, never learnt from;
of every other generator each tenth picture is `validation`.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from random import Random

from PIL import Image
from refusal import arrays, banners, charts, diagrams, line_art, maps, papers, parts, screens
from refusal.browser import Tile, screenshots
from refusal.wear import emblem, scanned, squashed, trimmed, worn

HELD_OUT = ("maps", "receipts")
Pictures = Iterator[Image.Image]

PAINTED: dict[str, tuple[int, Callable[[Random], Image.Image]]] = {
    "charts/matplotlib": (600, charts.chart),
    "plain/numpy": (400, arrays.plain),
    "noise/numpy": (150, arrays.noise),
    "codes/numpy": (300, arrays.code),
    "pixel-art/numpy": (300, arrays.pixel_art),
}
PAGES: dict[str, tuple[int, Callable[[Random], Tile]]] = {
    "screenshots/chromium": (700, screens.screen),
    "documents/chromium": (600, papers.document),
    "banners/chromium": (300, banners.banner),
    "diagrams/chromium": (600, diagrams.diagram),
    "maps/chromium": (300, maps.drawn_map),
    "line-art/chromium": (250, line_art.line_art),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="kinds to draw, by commas; all unless said")
    parser.add_argument("--svg", action="append", default=[], metavar="KIND/NAME=FOLDER")
    parser.add_argument("--files", action="append", default=[], metavar="KIND/NAME=FOLDER")
    parser.add_argument("--photographs", type=Path, help="a folder: pages then show some of these")
    parser.add_argument("--most", type=int, default=700, help="of one generator or folder")
    parser.add_argument("--unseen", default="", help="generators kept for the test, by commas")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for kind in filter(None, options.only.split(",")):
        refuse_unknown(kind)
    if options.photographs:
        parts.PHOTOGRAPHS += sorted(options.photographs.rglob("*.jpg"))[:2000]
    for name, pictures in chosen(options):
        write(options.out, name, pictures, unseen=name.split("/")[1] in options.unseen.split(","))


def refuse_unknown(kind: str) -> None:
    kinds = sorted({name.split("/")[0] for name in [*PAINTED, *PAGES]})
    if kind not in kinds:
        near = get_close_matches(kind, kinds, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}"
        raise SystemExit(f"no pictures of the kind {kind!r} are drawn: {hint}")


def chosen(options: argparse.Namespace) -> Iterator[tuple[str, Pictures]]:
    """`KIND/GENERATOR` and its pictures, for all that was asked for."""
    for name in [*options.svg, *options.files]:
        target, _, folder = name.partition("=")
        gathered = drawings if name in options.svg else rasters
        yield target, gathered(Path(folder), options.most, seeded(options.seed, target), target)
    only = set(filter(None, options.only.split(",")))
    if not only and (options.svg or options.files):
        return
    for name, (number, paint) in PAINTED.items():
        if not only or name.split("/")[0] in only:
            yield name, painted(paint, min(number, options.most), seeded(options.seed, name))
    for name, (number, page) in PAGES.items():
        if not only or name.split("/")[0] in only:
            yield name, paged(page, min(number, options.most), seeded(options.seed, name), name)


def seeded(seed: int, name: str) -> Random:
    return Random(f"{seed} {name}")


def painted(paint: Callable[[Random], Image.Image], number: int, random: Random) -> Pictures:
    for _ in range(number):
        yield worn(paint(random), random)


def paged(page: Callable[[Random], Tile], number: int, random: Random, name: str) -> Pictures:
    wear = scanned if name.startswith("documents") else worn
    wearing = Random(random.random())  # of its own, so that fewer are the first of more
    tiles = [page(random) for _ in range(number)]
    for picture in screenshots(tiles):
        yield wear(picture, wearing)


def drawings(folder: Path, most: int, random: Random, target: str) -> Pictures:
    """The SVG files of a folder, as emblems: on a ground, tinted, alone or as a sheet of many."""
    paths = sorted(path for path in folder.rglob("*.svg") if path.is_file())
    paths = random.sample(paths, min(most, len(paths)))
    tiles = [Tile.of_image(path, 560) for path in paths]
    recent: list[Image.Image] = []
    for picture in filter(None, map(trimmed, screenshots(tiles))):
        recent = [*recent[-29:], picture]
        yield worn(emblem(recent, random, sheets=not target.startswith("clip-art")), random)


def rasters(folder: Path, most: int, random: Random, target: str) -> Pictures:
    endings = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)
    for path in random.sample(paths, min(most, len(paths))):
        with Image.open(path) as picture:
            picture.draft(None, (700, 700))  # a large JPEG then decodes at 1/2 or less
            picture.load()
            yield worn(picture, random)


def write(out: Path, name: str, pictures: Pictures, *, unseen: bool) -> None:
    """Add the pictures of one generator, unless the manifest has them already."""
    kind, generator = name.split("/")
    manifest = out / "manifest.jsonl"
    out.joinpath(kind).mkdir(parents=True, exist_ok=True)
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    known = [line for line in map(json.loads, lines) if line["kind"] == kind]
    if any(line["generator"] == generator for line in known):
        print(f"{name}: made already")
        return
    made = []
    for number, picture in enumerate(pictures):
        split = "validation" if number % 10 == 9 else "train"
        split = "test" if unseen or kind in HELD_OUT else split
        file = f"{kind}/{len(known) + number:05d}.jpg"
        squashed(picture, Random(f"{name} {number}")).save(out / file, quality=90)
        made.append({"file": file, "kind": kind, "generator": generator, "split": split})
    with manifest.open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in made)
    print(f"{name}: {len(made):,} pictures", flush=True)


if __name__ == "__main__":
    main()
