"""Albums drawn for tests: pictures of four formats, and the lines of their captions."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = ("jpg", "png", "webp", "tif")

TEXTS = (
    "ein Hund läuft über die Straße",
    'a "quoted" dog\'s toy & a <b>bold</b> cat',
    "a 🐕 and 日本語の犬",
    "two\nlines",
    "-dash=first",
    "#[CSTR]hash \\n first",
    "{json: [1e5]} &amp; &#xa; %d $x @y",
    "12345",
    "true",
)


def draw(path: Path, seed: int = 0) -> Path:
    """A small picture of noise; every third one with an alpha channel where the format has it."""
    generator = np.random.default_rng(seed)
    channels = 4 if seed % 3 == 2 and path.suffix in (".png", ".webp") else 3
    pixels = generator.integers(0, 256, (24 + seed % 7, 33, channels), dtype=np.uint8)
    Image.fromarray(pixels).save(
        path, **({"lossless": seed % 2 == 0} if ".webp" in path.suffix else {})
    )
    return path


def draw_album(folder: Path) -> Path:
    """Four pictures, a format each."""
    folder.mkdir()
    for seed, suffix in enumerate(SUFFIXES):
        draw(folder / f"{suffix}.{suffix}", seed)
    return folder


def lines_of(album: Path, caption: str = "a dog") -> list[dict[str, object]]:
    """A line for each picture of an album."""
    return [line(path, caption) for path in sorted(album.iterdir()) if path.suffix[1:] in SUFFIXES]


def line(path: Path | str, caption: str, confidence: float = 0.6) -> dict[str, object]:
    """As `cutline caption --out` writes it."""
    model = {"name": "flickr8k", "fingerprint": "f00d", "cutline": "0.1.0"}
    more = {"model": model, "date": "2026-11-23T10:12:00Z"}
    return {"path": str(path), "caption": caption, "confidence": confidence, **more}


def write_lines(path: Path, lines: list[dict[str, object]]) -> Path:
    """A captions.jsonl."""
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pixels_of(path: Path) -> list[np.ndarray]:
    """The decoded pixels of every frame."""
    with Image.open(path) as image:
        frames = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(np.array(image))
        return frames
