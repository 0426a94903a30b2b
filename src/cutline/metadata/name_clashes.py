"""Pictures of a folder whose names differ only in the suffix: `photo.jpg` and `photo.nef`."""

from collections import Counter
from pathlib import Path

from cutline.errors import WritingError

BESIDE = (".xmp", ".txt", ".json", ".jsonl", ".csv", ".html", ".md", ".part")
"""Suffixes of files that are not pictures, and so do not make a name ambiguous."""


class Neighbours:
    """Whether a file named after the stem of a picture would belong to another picture, too."""

    def __init__(self) -> None:
        self._stems: dict[Path, Counter[str]] = {}

    def has_unique_stem(self, picture: Path) -> bool:
        """Whether no other picture, raw file or video has the same stem."""
        folder = picture.parent
        if folder not in self._stems:  # one scan per folder, not per picture
            self._stems[folder] = Counter(
                path.stem for path in folder.iterdir() if path.suffix.lower() not in BESIDE
            )
        return self._stems[folder][picture.stem] <= 1

    def require_unique_stem(self, picture: Path, target: Path) -> Path:
        """The target. Raises `WritingError` if it would belong to several pictures."""
        if not self.has_unique_stem(picture):
            raise WritingError(
                f"shares its name with another picture, so {target.name} would stand for both: "
                "rename one, or write xmp sidecars with full names"
            )
        return target
