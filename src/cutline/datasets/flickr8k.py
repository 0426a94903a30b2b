"""Flickr8k: 8,091 photographs with five captions each (Hodosh, Young and Hockenmaier, 2013).

Three layouts are supported:

- as unpacked from the authors' zips: `Flickr8k_text/` beside `Flicker8k_Dataset/` (sic);
- Kaggle's: `Images/` beside `captions.txt`. It lacks the split lists, and scores on other splits
  are not comparable: put the three lists of `Flickr8k_text.zip` beside it, or use `folder`;
- flat: `images/` beside the text files.

Photographs in none of the three lists (91 of them) are left out.
"""

import csv
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from cutline.datasets.validation import (
    Entry,
    Fields,
    Problem,
    Reading,
    assemble,
    list_pictures,
    read_lines,
)
from cutline.errors import DataError
from cutline.text.words import ENGLISH
from cutline.types import Example

ENGLISH_CAPTIONS = "Flickr8k.token.txt"
"""The authors' own captions, of all photographs; files of other captions may have fewer."""
CAPTIONS = {"de": "Flickr8k.german.token.txt", "ar": "Flickr8k.arabic.full.txt"}
"""Files of captions in other languages."""
_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_PICTURES = (
    "Flicker8k_Dataset",
    "Flickr8k_Dataset/Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "Images",
    "images",
)
_TEXTS = ("Flickr8k_text", ".")
_ADVICE = (
    "; it is in Flickr8k_text.zip (not in Kaggle's copy, which the source 'folder' reads with its"
    " own split)"
)


class Flickr8k:
    """Flickr8k in the authors' split: 6,000, 1,000 and 1,000 photographs."""

    def __init__(
        self, folder: Path | str, *, captions: str = ENGLISH_CAPTIONS, language: str = ENGLISH
    ) -> None:
        """The `captions` are another file of the same format if the `language` is `de` or `ar`.

        Any other file can be named. Photographs without captions in such a file are left out.
        """
        self.folder = Path(folder)
        if language != ENGLISH and captions == ENGLISH_CAPTIONS:
            if language not in CAPTIONS:
                raise DataError(f"Flickr8k has no captions in {language!r} that are known by name")
            captions = CAPTIONS[language]
        self.captions, self.language = captions, language

    def __iter__(self) -> Iterator[Example]:
        return self.read().require_valid()

    def read(self) -> Reading:
        """Examples in the order of the lists: train, validation, test."""
        folder = next(filter(Path.is_dir, (self.folder / name for name in _PICTURES)), None)
        if folder is None:
            looked = ", ".join(f"{name}/" for name in _PICTURES)
            problem = Problem(
                self.folder, None, f"has no folder of photographs; looked for {looked}"
            )
            return Reading((), (problem,))
        captions = list(self._captions())
        entries: Iterable[Entry | Problem] = self._split_entries()
        if self.captions != ENGLISH_CAPTIONS:
            captioned = {entry.picture for entry in captions if isinstance(entry, Entry)}
            entries = (e for e in entries if isinstance(e, Problem) or e.picture in captioned)
        return assemble(chain(entries, captions), list_pictures(folder))

    def _split_entries(self) -> Iterator[Entry | Problem]:
        for split, name in _LISTS.items():
            file = self._find(name)
            if file.is_file():
                yield from read_lines(file, partial(_parse_name, split=split))
            else:
                yield Problem(file, None, f"the list of {split} photographs is missing{_ADVICE}")

    def _captions(self) -> Iterator[Entry | Problem]:
        file = self._find(self.captions)
        kaggle = self.folder / "captions.txt"
        if kaggle.is_file() and not file.is_file():
            return read_lines(kaggle, _parse_comma, skip=1)
        return read_lines(file, _parse_tab)

    def _find(self, name: str) -> Path:
        """The path of a text file, or where it should be."""
        places = [self.folder / text / name for text in _TEXTS]
        return next(filter(Path.is_file, places), places[-1])


def _parse_name(line: str, *, split: str) -> list[Fields]:
    return [(line.strip(), None, split)]


def _parse_tab(line: str) -> list[Fields]:
    """`dog.jpg#2<TAB>A dog runs .` is `("dog.jpg", "A dog runs .", None)`."""
    key, tab, caption = line.partition("\t")
    if not tab:
        raise DataError("a line must be name#number, a tab and the caption; there is no tab")
    return [(key.partition("#")[0].strip(), caption, None)]


def _parse_comma(line: str) -> list[Fields]:
    """`dog.jpg,A dog runs .`; captions with commas may be quoted or not."""
    try:
        picture, *caption = next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DataError(f"this is not a line of CSV: {error}") from None
    return [(picture.strip(), ",".join(caption), None)]
