"""Many small pages to pictures with few starts of headless Chromium: tiles of one large page."""

import html
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
FLAGS += ("--hide-scrollbars", "--allow-file-access-from-files")
MOST = 20_000_000  # of the pixels of tiles in one screenshot
ACROSS = 5000
SCALE = 0.5  # what is squashed to 224 afterwards need not be drawn in full


@dataclass(frozen=True, slots=True)
class Tile:
    """A page in HTML, and the width and height of the window that shows it, in pixels."""

    page: str
    width: int
    height: int

    @classmethod
    def of_image(cls, path: Path, side: int) -> "Tile":
        """A picture file as large as fits into a square, on white."""
        source = html.escape(path.resolve().as_uri(), quote=True)
        style = "width:100vw;height:100vh;object-fit:contain"
        return cls(f'<body style="margin:0"><img src="{source}" style="{style}">', side, side)


def screenshots(tiles: Sequence[Tile]) -> Iterator[Image.Image]:
    """What each tile looks like, in order; RGB, half as wide and high as the tile."""
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches(tiles):
            places = placed(batch)
            whole = screenshot(batch, places, Path(folder))
            for tile, (left, top) in zip(batch, places, strict=True):
                box = (left, top, left + tile.width, top + tile.height)
                yield whole.crop(tuple(round(edge * SCALE) for edge in box))  # type: ignore[arg-type]


def batches(tiles: Sequence[Tile]) -> Iterator[list[Tile]]:
    batch: list[Tile] = []
    for tile in tiles:
        if batch and sum(each.width * each.height for each in [*batch, tile]) > MOST:
            yield batch
            batch = []
        batch.append(tile)
    if batch:
        yield batch


def placed(tiles: Sequence[Tile]) -> list[tuple[int, int]]:
    """Left and top of each tile: in rows, as words are set on a page."""
    places, left, top, tallest = [], 0, 0, 0
    for tile in tiles:
        if left + tile.width > ACROSS:
            left, top, tallest = 0, top + tallest, 0
        places.append((left, top))
        left, tallest = left + tile.width, max(tallest, tile.height)
    return places


def screenshot(
    tiles: Sequence[Tile], places: Sequence[tuple[int, int]], folder: Path
) -> Image.Image:
    """One picture of all tiles, each in an `iframe`, so that no style reaches another."""
    frames = []
    for tile, (left, top) in zip(tiles, places, strict=True):
        style = f"position:absolute;left:{left}px;top:{top}px;border:0;background:#fff"
        size = f'width="{tile.width}" height="{tile.height}" scrolling="no"'
        frames.append(f'<iframe {size} style="{style}" srcdoc="{html.escape(tile.page)}"></iframe>')
    (folder / "page.html").write_text('<meta charset="utf-8">' + "".join(frames), "utf-8")
    height = max(top + tile.height for tile, (_, top) in zip(tiles, places, strict=True))
    run_chromium(folder, ACROSS, height)
    with Image.open(folder / "shot.png") as shot:
        return shot.convert("RGB")


def run_chromium(folder: Path, width: int, height: int) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is needed for pages and SVG: apt-get install chromium")
    command = [program, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    command += [f"--force-device-scale-factor={SCALE}", f"--window-size={width},{height}"]
    command += [f"--screenshot={folder / 'shot.png'}", (folder / "page.html").as_uri()]
    (folder / "shot.png").unlink(missing_ok=True)
    subprocess.run(command, check=True, capture_output=True, timeout=300)
