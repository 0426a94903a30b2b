"""Which pictures of a folder share a name up to the suffix: `photo.jpg` and `photo.nef`."""

from collections import Counter
from pathlib import Path

from cutline.errors import WritingError

BESIDE = (".xmp", ".txt", ".json", ".jsonl", ".csv", ".html", ".md", ".part")
"""Files that lie beside pictures and are none: they do not make a name ambiguous."""


class Neighbours:
    """Whether a file named by the stem of a picture would belong to another picture as well."""

    def __init__(self) -> None:
        self._stems: dict[Path, Counter[str]] = {}

    def are_none(self, picture: Path) -> bool:
        """Whether no other picture, raw file or film has this name up to the suffix."""
        folder = picture.parent
        if folder not in self._stems:  # one look at the folder instead of one for each picture
            self._stems[folder] = Counter(
                path.stem for path in folder.iterdir() if path.suffix.lower() not in BESIDE
            )
        return self._stems[folder][picture.stem] <= 1

    def insist_alone(self, picture: Path, target: Path) -> Path:
        """The target. Raises `WritingError` where it would be that of several pictures."""
        if not self.are_none(picture):
            raise WritingError(
                f"shares its name with another picture, so {target.name} would stand for both: "
                "rename one, or write xmp sidecars with full names"
            )
        return target
