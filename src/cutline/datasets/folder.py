"""A folder of pictures with captions in one of five formats.

- `captions.jsonl`, one picture per line:
  `{"image": "dog.jpg", "captions": ["a dog", "a brown dog"], "split": "train"}`
  (or `"caption": "a dog"`; `split` is optional);
- `captions.csv` (or `captions.txt`, as in Kaggle's copies) with a header `image,caption` or
  `image,caption,split`; one line per caption, several for a picture with several captions;
- `captions.json` in COCO's format: `images` with `id`, `file_name` and optionally `split`,
  `annotations` with `image_id` and `caption`;
- `metadata.jsonl` or `metadata.csv` as in `imagefolder` of the library datasets, with `file_name`
  and `text` for `image` and `caption`;
- a text file beside each picture (`dog.txt` beside `dog.jpg`), one caption per line.

Pictures may be in subfolders; lines refer to them by their path in the folder, or by the bare file
name if it is unique. Pictures without captions are left out.

In place of the folder, a file of `cutline caption --out` can be named (`caption_file`).

Without an explicit split, a hash of the path without its suffix decides, so that adding a picture
never moves another, and `dog.png` gets the split of `dog.jpg`. By default, a tenth each is
validation and test on average; with a dozen pictures, a split may be empty.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

from cutline.datasets.caption_file import read_caption_file
from cutline.datasets.validation import Entry, Fields, Problem, Reading, assemble, read_lines
from cutline.errors import DataError, nearest
from cutline.images.formats import is_picture
from cutline.types import SPLITS, Example

_SYNONYMS = {"dev": "validation", "val": "validation", "valid": "validation"}
_FILES = (
    "captions.jsonl",
    "captions.csv",
    "captions.txt",
    "captions.json",
    "metadata.jsonl",
    "metadata.csv",
)
_IMAGEFOLDER = {"file_name": "image", "text": "caption"}
"""The names of imagefolder, for ours."""
_COLUMNS = ("image", "caption", "split")


class Folder:
    """A folder of pictures; an example's id is its path in the folder, with `/`."""

    def __init__(self, folder: Path | str, *, validation: float = 0.1, test: float = 0.1) -> None:
        """`validation` and `test` are fractions of the pictures without an explicit split."""
        if validation < 0 or test < 0 or validation + test > 1:
            raise DataError(f"fractions of {validation} and {test} leave nothing to train on")
        self.folder = Path(folder)
        self.validation = validation
        self.test = test

    def __iter__(self) -> Iterator[Example]:
        return self.read().require_valid()

    def read(self) -> Reading:
        """Examples in the order of the lines, or of the file names with one file per picture."""
        if self.folder.is_file():
            return read_caption_file(self.folder, self._split_by_name)
        if not self.folder.is_dir():
            return Reading((), (Problem(self.folder, None, "there is no such folder"),))
        pictures = _find_pictures(self.folder)
        entries = list(self._entries(pictures))
        named = {entry.picture for entry in entries if isinstance(entry, Entry)}
        if not named:  # report problems of the captions once, not for every picture
            return Reading((), tuple(map(_as_problem, entries)) or (self._no_captions(pictures),))
        left = (_left_out(path) for name, path in pictures.items() if name not in named)
        return assemble(chain(entries, left), pictures, split_of=self._split_by_name)

    def _entries(self, pictures: Mapping[str, Path]) -> Iterable[Entry | Problem]:
        files = [file for file in map(self.folder.joinpath, _FILES) if _is_captions(file)]
        if not files:
            texts = (_read_beside(*item) for item in pictures.items())
            return chain(chain.from_iterable(texts), _find_orphans(self.folder, pictures.values()))
        if len(files) > 1:
            sentence = f"{files[0].name} exists, too; keep one of the two"
            return [Problem(files[1], None, sentence)]
        read = {".jsonl": _read_jsonl, ".json": _read_json}.get(files[0].suffix, _read_csv)
        return read(files[0], _find_names(pictures))

    def _no_captions(self, pictures: Mapping[str, Path]) -> Problem:
        """The problem of a folder without any captions."""
        if not pictures:
            return Problem(self.folder, None, "there are no pictures")
        sentence = (
            "there are no captions; put them into captions.csv (header: image,caption) or "
            "captions.jsonl, or into a .txt beside each picture (for Flickr8k and COCO, use "
            "--kind)"
        )
        return Problem(self.folder, None, sentence)

    def _split_by_name(self, picture: str) -> str:
        return choose_split(picture, validation=self.validation, test=self.test)


def choose_split(picture: str, *, validation: float, test: float) -> str:
    """The split of a picture by its name, whose hash is mapped to [0, 1): `test` comes first."""
    stem = picture.removesuffix(PurePosixPath(picture).suffix)
    digest = sha256(stem.encode(errors="surrogatepass")).digest()  # names need not be UTF-8
    number = int.from_bytes(digest[:6]) / 2**48
    if number < test:
        return "test"
    return "validation" if number < test + validation else "train"


def _is_captions(file: Path) -> bool:
    """Whether it has captions; a `captions.txt` without header may belong to `captions.jpg`."""
    if file.suffix != ".txt" or not file.is_file():
        return file.is_file()
    with file.open("rb") as opened:
        return opened.readline().removeprefix(b"\xef\xbb\xbf").startswith(b"image,caption")


def _find_pictures(folder: Path) -> dict[str, Path]:
    """Path in the folder -> path; hidden files and folders are skipped."""
    found = {}
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if is_picture(path.name) and not any(p.startswith(".") for p in inside.parts):
            found[normalize("NFC", inside.as_posix())] = path
    return dict(sorted(found.items()))


def _find_names(pictures: Mapping[str, Path]) -> dict[str, str]:
    """Every name by which lines may refer to a picture -> its path in the folder."""
    times = Counter(PurePosixPath(name).name for name in pictures)
    bare = {PurePosixPath(name).name: name for name in pictures}
    unique = {name: inside for name, inside in bare.items() if times[name] == 1}
    return {**unique, **{name: name for name in pictures}}


def _as_problem(entry: Entry | Problem) -> Problem:
    assert isinstance(entry, Problem)
    return entry


def _left_out(picture: Path) -> Problem:
    return Problem(picture, None, "left out: this picture has no captions", is_fatal=False)


def _read_beside(name: str, picture: Path) -> Iterable[Entry | Problem]:
    file = picture.with_suffix(".txt")
    return read_lines(file, lambda line: [(name, line, None)]) if file.is_file() else []


def _find_orphans(folder: Path, pictures: Iterable[Path]) -> Iterator[Problem]:
    """Find text files that belong to no picture, where others do."""
    stems = {picture.with_suffix("") for picture in pictures}
    texts = [text for text in sorted(folder.rglob("*.txt")) if not text.name.startswith(".")]
    orphans = [text for text in texts if text.with_suffix("") not in stems]
    for text in orphans if len(orphans) < len(texts) else ():
        yield Problem(text, None, "there is no picture of this name", is_fatal=False)


def _read_jsonl(file: Path, names: Mapping[str, str]) -> Iterator[Entry | Problem]:
    return read_lines(file, partial(_parse_object, names=names))


def _read_json(file: Path, names: Mapping[str, str]) -> Iterator[Entry | Problem]:
    """Read a document in COCO's format; problems have no line numbers."""
    try:
        document = json.loads(file.read_bytes())
        images = {image["id"]: image for image in document["images"]}
        for record in document["annotations"]:
            image = images[record["image_id"]]
            picture, split = _resolve(image["file_name"], names), parse_split(image.get("split"))
            yield Entry(file, None, picture, str(record["caption"]), split)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        yield Problem(file, None, "this is not a captions file in COCO's format")
    except DataError as error:
        yield Problem(file, None, str(error))


def _parse_object(line: str, *, names: Mapping[str, str]) -> list[Fields]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"broken JSON, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise DataError("broken JSON: it is nested too deeply") from None
    except ValueError:
        raise DataError("broken JSON: it contains a number with thousands of digits") from None
    if isinstance(record, dict):
        record = {_IMAGEFOLDER.get(name, name): value for name, value in record.items()}
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        ours = isinstance(record, dict) and isinstance(record.get("path"), str)
        hint = "; for a file of `cutline caption`, name the file instead of its folder"
        raise DataError(
            f"a line must be an object with the name of an 'image'{hint if ours else ''}"
        )
    picture, split = _resolve(record["image"], names), parse_split(record.get("split"))
    return [(picture, caption, split) for caption in _list_captions(record)] or [
        (picture, None, split)
    ]


def _list_captions(record: Mapping[str, Any]) -> list[str]:
    keys = [key for key in ("caption", "captions") if key in record]
    if len(keys) != 1:
        hint = nearest("caption", record) if not keys else ""
        raise DataError(f"a line must have either a 'caption' or 'captions'{hint}")
    captions = record[keys[0]] if keys[0] == "captions" else [record[keys[0]]]
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise DataError("a 'caption' must be a text, and 'captions' a list of texts")
    return captions


def _read_csv(file: Path, names: Mapping[str, str]) -> Iterator[Entry | Problem]:
    """Read a CSV file; the header determines the columns and the separator."""
    with file.open("rb") as opened:
        first = opened.readline()
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield Problem(file, None, "this file is UTF-16: save it as UTF-8")
        return
    header = first.decode("utf-8-sig", errors="replace").strip()
    separator = max(",;\t", key=header.count)
    columns = [column.strip(' "').lower() for column in header.split(separator)]
    columns = [_IMAGEFOLDER.get(column, column) for column in columns]
    wrong = [column for column in columns if column not in _COLUMNS]
    if wrong or columns.count("image") != 1 or columns.count("caption") != 1:
        named = (
            f"the first line, {header[:80]!r}, names others"
            if header
            else "the first line is empty"
        )
        close = nearest(wrong[0], _COLUMNS) if wrong else ""
        hint = close if "did you mean" in close else ""
        sentence = f"the columns must be image, caption and perhaps split; {named}{hint}"
        yield Problem(file, 1, sentence)
        return
    parse = partial(_parse_row, columns=columns, separator=separator, names=names)
    yield from read_lines(file, parse, skip=1)


def _parse_row(
    line: str, *, columns: list[str], separator: str, names: Mapping[str, str]
) -> list[Fields]:
    """Parse a single line, so that an unclosed quote cannot swallow the following lines."""
    try:
        cells = next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"this is not a line of CSV: {error}") from None
    if len(cells) > len(columns) and columns[-1] == "caption":
        cells[len(columns) - 1 :] = [separator.join(cells[len(columns) - 1 :])]
    if len(cells) != len(columns):
        sentence = f"{len(cells)} cells, but {len(columns)} columns"
        raise DataError(f"{sentence}; a caption that contains {separator!r} must be quoted")
    row = dict(zip(columns, cells, strict=True))
    return [(_resolve(row["image"], names), row["caption"], parse_split(row.get("split") or None))]


def _resolve(name: str, names: Mapping[str, str]) -> str:
    """The path in the folder of a name as written on any system."""
    clean = normalize("NFC", str(PurePosixPath(name.strip().replace("\\", "/"))))
    return names.get(clean, clean)


def parse_split(value: Any) -> str | None:
    """The split; `val`, `valid` and `dev` mean validation. Raises `DataError`."""
    if value is None:
        return None
    split = str(value).strip().lower()
    if _SYNONYMS.get(split, split) not in SPLITS:
        raise DataError(f"there is no split {value!r}{nearest(split, SPLITS)}")
    return _SYNONYMS.get(split, split)
