"""A captioner that remembers what it was shown, and a folder with pictures for pages."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from cutline.errors import ImageError
from cutline.types import Caption


class Double:
    """A captioner that says what it was shown, and remembers it."""

    def __init__(self, text: str = "a {}", log_prob: float = -0.1) -> None:
        self.text, self.log_prob = text, log_prob
        self.seen: list[Path | bytes] = []

    def caption_each(self, pictures: Iterable[Path | bytes]) -> Iterator[Caption | ImageError]:
        for picture in list(pictures):  # all at once: a captioner asks ahead
            self.seen.append(picture)
            if isinstance(picture, Path) and picture.stat().st_size == 0:
                yield ImageError(f"{picture} is empty (0 bytes)")
                continue
            name = picture.stem if isinstance(picture, Path) else f"{len(picture)} bytes"
            yield Caption(
                self.text.replace("{}", name), ("a", name), self.log_prob, (self.log_prob,)
            )


def draw_site(folder: Path) -> Path:
    """Draw pictures into a folder, which is returned."""
    for name in ("dog.png", "cat.png", "img/hen.png", "static/cow.png", "a b.png", "#1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(folder / name)
    Image.new("RGB", (2, 2)).save(folder / "tiny.png")
    return folder
