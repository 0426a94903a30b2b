"""Data sets of the library datasets by `hf:NAME`: a folder, or a repository of the hub.

The first column of images and the first column of captions (`captions`, `caption`, `text`,
`sentences`; a text or a list of texts) are used. Pictures that are not files already are written
into a cache, named by their content. No code of a data set is run.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from cutline.errors import CutlineError, DataError
from cutline.io.atomic import atomic_write
from cutline.types import Example

CAPTIONS = ("captions", "caption", "text", "texts", "sentences", "sentence")
SPLITS = {"dev": "validation", "val": "validation", "valid": "validation"}
CACHE = Path("~/.cache/cutline/pictures")


class HubDataset:
    """A data set by its name; an example's id is its split and the number of its row."""

    def __init__(self, folder: Path | str, *, cache: Path | str = CACHE) -> None:
        self.name = str(folder).removeprefix("hf:")
        self.cache = Path(cache).expanduser()

    def __iter__(self) -> Iterator[Example]:
        """Raises `DataError` for what cannot be opened, or has no images or captions."""
        for split, rows in self._open().items():
            image, captions = self._columns(rows.features)
            for number, row in enumerate(rows.cast_column(image, _undecoded())):
                texts = row[captions] if isinstance(row[captions], list) else [row[captions]]
                texts = [text for text in texts if isinstance(text, str) and text.strip()]
                path = self._find_file(row[image])
                if texts and path:
                    name = SPLITS.get(split, split)
                    yield Example(f"{split}/{number}", path, tuple(texts), name)

    def _open(self) -> Mapping[str, Any]:
        try:
            import datasets
        except ModuleNotFoundError:
            raise CutlineError("data sets named hf: need datasets: pip install datasets") from None
        datasets.disable_progress_bars()
        try:
            return dict(datasets.load_dataset(self.name))
        except Exception as error:  # it raises nearly anything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise DataError(f"the data set {self.name} cannot be opened: {reason}") from None

    def _columns(self, features: Mapping[str, Any]) -> tuple[str, str]:
        images = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
        captions = [name for name in CAPTIONS if name in features]
        if not images or not captions:
            lacks = "captions" if images else "images"
            raise DataError(
                f"the data set {self.name} has no column of {lacks}, only {', '.join(features)}"
            )
        return images[0], captions[0]

    def _find_file(self, image: Mapping[str, Any] | None) -> Path | None:
        """The file of a picture; None for a row without one."""
        if image is None:
            return None
        content, named = image.get("bytes"), Path(str(image.get("path") or "picture"))
        if content is None:
            return named if named.is_file() else None
        path = self.cache / f"{sha256(content).hexdigest()[:32]}{named.suffix.lower()}"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, fsync=False) as file:
                file.write(content)
        return path


def _undecoded() -> Any:
    import datasets

    return datasets.Image(decode=False)
