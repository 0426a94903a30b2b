"""COCO captions: 123,287 photographs with five captions each (Chen et al., 2015; arXiv 1504.00325).

The folder has the layout of the official zips: `annotations/captions_train2017.json` etc. beside
`train2017/`, `val2017/`, `test2017/`; the same for 2014. The JSON files may also be in the folder
itself (if a name occurs twice, the one in `annotations/` is read), and subsets of COCO may be
called `captions_train2017_80.json` beside `train2017-80/`.

In the official splits, `train` is training, `val` is validation, and `test` was published without
captions (`image_info_test2017.json`). Karpathy's split (2015, arXiv 1412.2306), which nearly every
paper uses, takes 5,000 validation and 5,000 test pictures from val2014 and trains on all others;
its ids are in the package. A file whose folder of pictures does not exist is left out with a
warning, because few people keep all 25 GB.

`write_coco` writes any examples in this format, for programs that read only COCO.
"""

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from cutline.datasets.validation import Entry, Problem, Reading, assemble, list_pictures
from cutline.errors import DataError, RecipeError, nearest
from cutline.io.atomic import new_folder
from cutline.types import Example

_SPLITS = ("official", "karpathy")
_NAMES = {
    "train": "captions_train{year}",
    "validation": "captions_val{year}",
    "test": "image_info_test{year}",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One JSON file and the folder of its pictures."""

    file: Path
    folder: Path
    split: str


@dataclass(frozen=True, slots=True)
class _Document:
    """The content of one JSON file, and which of its pictures exist."""

    part: _Part
    pictures: Mapping[str, Path]
    entries: tuple[Entry | Problem, ...]

    @property
    def is_captioned(self) -> bool:
        """Whether these pictures have captions."""
        return self.part.split != "test"

    def unlabelled(self) -> Iterator[Example]:
        """The test photographs, published without captions."""
        if not self.is_captioned:
            for name, path in self.pictures.items():
                yield Example(name, path, (), "test")


class Coco:
    """COCO captions; an example's id is COCO's image id."""

    def __init__(self, folder: Path | str, *, year: int = 2017, split: str = "official") -> None:
        """Open a folder; `year` is 2017 or 2014, `split` is `official` or `karpathy`."""
        if split not in _SPLITS:
            raise RecipeError(f"COCO has no split {split!r}{nearest(split, _SPLITS)}")
        self.folder = Path(folder)
        self.year, self.split = year, split

    def __iter__(self) -> Iterator[Example]:
        return self.read().require_valid()

    def read(self) -> Reading:
        """Examples in the order of the files: train, validation, test."""
        found, first = list(self._find_parts()), dict[str, _Part]()
        for part in found:
            first.setdefault(part.file.name, part)
        parts = list(first.values())
        there = [part for part in parts if part.folder.is_dir()]
        if not there:
            return Reading((), (self._nothing_found(parts),))
        documents = [_read_part(part) for part in there]
        if self.split == "karpathy":
            documents = [_divide_anew(document) for document in documents if document.is_captioned]
        reading = assemble(
            chain.from_iterable(document.entries for document in documents),
            {name: path for document in documents for name, path in document.pictures.items()},
        )
        unlabelled = (example for document in documents for example in document.unlabelled())
        again = (_lies_elsewhere(part) for part in found if part not in parts)
        absent = (_folder_is_absent(part) for part in parts if part not in there)
        return Reading((*reading.examples, *unlabelled), (*again, *absent, *reading.problems))

    def _find_parts(self) -> Iterator[_Part]:
        for split, name in _NAMES.items():
            stem = name.format(year=self.year)
            for folder in (self.folder / "annotations", self.folder):
                for file in sorted((*folder.glob(f"{stem}.json"), *folder.glob(f"{stem}_*.json"))):
                    pictures = file.stem.removeprefix("captions_").removeprefix("image_info_")
                    yield _Part(file, self.folder / pictures.replace("_", "-"), split)

    def _nothing_found(self, parts: list[_Part]) -> Problem:
        if parts:
            folders = " or ".join(part.folder.name for part in parts)
            return Problem(self.folder, None, f"has no folder of pictures called {folders}")
        sentence = (
            f"has neither annotations/captions_train{self.year}.json nor any other file of COCO"
        )
        return Problem(self.folder, None, sentence)


def write_coco(examples: Sequence[Example], folder: Path | str, *, year: int = 2017) -> Coco:
    """Write examples in COCO's format: pictures are copied, captions are in three JSON files.

    Images are numbered from 1 in the order of `examples`; as in COCO, test pictures have no
    captions. Raises `DataError` if the folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"{folder} already exists; choose another folder")
    numbered = list(enumerate(examples, start=1))
    with new_folder(folder) as beside:
        (beside / "annotations").mkdir()
        for split, name in _NAMES.items():
            own = [(number, example) for number, example in numbered if example.split == split]
            _write_part(beside, name.format(year=year), own, is_captioned=split != "test")
    return Coco(folder, year=year)


def _write_part(
    folder: Path, name: str, numbered: Sequence[tuple[int, Example]], *, is_captioned: bool
) -> None:
    pictures = folder / name.rpartition("_")[2]
    pictures.mkdir()
    document: dict[str, Any] = {"info": {"description": "written by cutline"}, "licenses": []}
    document["images"] = []
    for number, example in numbered:
        file = f"{number:012}{example.image.suffix}"
        shutil.copyfile(example.image, pictures / file)
        document["images"].append({"id": number, "file_name": file})
    if is_captioned:
        pairs = [(number, caption) for number, example in numbered for caption in example.captions]
        document["annotations"] = [
            {"id": id, "image_id": number, "caption": caption}
            for id, (number, caption) in enumerate(pairs, start=1)
        ]
    (folder / "annotations" / f"{name}.json").write_text(json.dumps(document), encoding="utf8")


def _divide_anew(document: _Document) -> _Document:
    """Assign Karpathy's splits."""
    split_of = _karpathy()
    entries = tuple(
        entry._replace(split=split_of.get(entry.picture, "train"))
        if isinstance(entry, Entry) and entry.split
        else entry
        for entry in document.entries
    )
    return replace(document, entries=entries)


@cache
def _karpathy() -> dict[str, str]:
    """Image id -> validation or test; all others are training images."""
    packed = (files("cutline.datasets") / "karpathy.txt.gz").read_bytes()
    return dict(line.split() for line in gzip.decompress(packed).decode().splitlines())


def _lies_elsewhere(part: _Part) -> Problem:
    sentence = "left out, because annotations/ has a file of the same name"
    return Problem(part.file, None, sentence, is_fatal=False)


def _folder_is_absent(part: _Part) -> Problem:
    sentence = f"left out, because there is no folder {part.folder.name}/ of its pictures"
    return Problem(part.file, None, sentence, is_fatal=False)


def _read_part(part: _Part) -> _Document:
    """Read one file; if it cannot be parsed, the result is a single problem."""
    try:
        images, annotations = _parse_document(part)
    except json.JSONDecodeError as error:
        problem = Problem(
            part.file, error.lineno, f"broken JSON, column {error.colno}: {error.msg}"
        )
    except UnicodeDecodeError as error:
        problem = Problem(part.file, None, f"byte {error.start + 1} of this file is not UTF-8")
    except RecursionError:
        problem = Problem(part.file, None, "broken JSON: it is nested too deeply")
    except DataError as error:
        problem = Problem(part.file, None, str(error))
    except ValueError as error:  # a number of thousands of digits
        problem = Problem(part.file, None, f"broken JSON: {error}")
    else:
        return _read_document(part, images, annotations)
    return _Document(part, {}, (problem,))


def _parse_document(part: _Part) -> tuple[list[Any], list[Any]]:
    """The lists `images` and `annotations`; the latter is empty for test images."""
    document = json.loads(part.file.read_text(encoding="utf-8-sig"))
    lists = ("images",) if part.split == "test" else ("images", "annotations")
    for name in lists:
        if not isinstance(document, dict) or not isinstance(document.get(name), list):
            raise DataError(f"this is not a COCO captions file: it has no list {name!r}")
    return document["images"], document["annotations"] if "annotations" in lists else []


def _read_document(part: _Part, images: list[Any], annotations: list[Any]) -> _Document:
    paths, problems = _find_pictures(part, images)
    captions, more = _find_captions(part, annotations, paths)
    captioned = {entry.picture for entry in captions}
    there = {name: path for name, path in paths.items() if path}
    if part.split != "test":
        problems += [
            Problem(part.file, None, f"left out: image {name} has no captions", is_fatal=False)
            for name in there.keys() - captioned
        ]
    order = [Entry(part.file, None, name, None, part.split) for name in there if name in captioned]
    return _Document(part, there, (*problems, *order, *more, *captions))


def _find_pictures(
    part: _Part, images: list[Any]
) -> tuple[dict[str, Path | None], list[Entry | Problem]]:
    """Image id -> its file, or None if that does not exist."""
    listing, paths = list_pictures(part.folder), dict[str, Path | None]()
    problems: list[Entry | Problem] = []
    for index, image in enumerate(images):
        try:
            name, file = str(image["id"]), PurePosixPath(image["file_name"]).name
        except (TypeError, KeyError):
            sentence = f"images[{index}] must have an 'id' and a 'file_name'"
            problems.append(Problem(part.file, None, sentence))
            continue
        paths[name] = listing.get(file)
        if file not in listing:
            sentence = f"images[{index}]: there is no {file} in {part.folder.name}/"
            problems.append(Problem(part.file, None, sentence))
    return paths, problems


def _find_captions(
    part: _Part, annotations: list[Any], paths: Mapping[str, Path | None]
) -> tuple[list[Entry], list[Problem]]:
    """An entry for each caption of an existing picture; missing ones are reported already."""
    entries, problems = [], []
    for index, annotation in enumerate(annotations):
        try:
            name, caption = str(annotation["image_id"]), annotation["caption"]
        except (TypeError, KeyError):
            name, caption = "", None
        if not isinstance(caption, str):
            sentence = f"annotations[{index}] must have an 'image_id' and a 'caption'"
            problems.append(Problem(part.file, None, sentence))
        elif name not in paths:
            sentence = f"annotations[{index}] is about image {name}, which `images` does not list"
            problems.append(Problem(part.file, None, sentence))
        elif paths[name]:
            entries.append(Entry(part.file, None, name, caption))
    return entries, problems
