"""Readers of the caption files that people have: references and predictions by image id.

The format is detected from the content: COCO annotations and results (Chen et al. 2015), Karpathy's
`dataset_*.json`, `{id: captions}`, JSON lines as `cutline caption --json` writes them, and
Flickr8k's tokens (Hodosh et al. 2013).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cutline.errors import DataError, nearest

ACCEPTED = (
    "COCO annotations or results, Karpathy's dataset_*.json, {id: captions}, "
    "lines of JSON with an id and a caption each, or Flickr8k's name#number<tab>caption"
)
ID_KEYS = ("image_id", "id", "image", "path")
"""Keys of the image id, in order of preference. If `image_id` is present, `id` is the caption's id.
For a path, only the file name is used."""
KARPATHY_SPLITS = {"train": ("train", "restval"), "validation": ("val",), "test": ("test",)}
MANY_LINES = re.compile(r"\s*\{.*\}\s*\n\s*\{")
FLICKR_LINE = re.compile(r"([^\t]+)#\d+\t(.*)")
LONGEST = 10_000
"""Maximum length of a caption in characters: anything longer is not a caption."""


class Entry(NamedTuple):
    """The captions of one image in one entry of a file."""

    id: str
    captions: list[str]
    where: str
    """File and line or entry, for error messages."""


def read_references(path: Path, *, split: str | None = None) -> dict[str, list[str]]:
    """The references of each image; `split` (one of `SPLITS`) selects from a Karpathy file.

    Raises `DataError` for a file that is missing, broken, of an unknown format or without captions.
    """
    found: dict[str, list[str]] = {}
    for entry in _read_entries(path, split):
        found.setdefault(entry.id, []).extend(entry.captions)
    _require_captions(found, path)
    return found


def read_predictions(path: Path) -> dict[str, str]:
    """The predictions of a model, one caption per image.

    Raises `DataError` like `read_references`, and for a second prediction for an image.
    """
    found: dict[str, str] = {}
    for entry in _read_entries(path):
        if entry.id in found or len(entry.captions) > 1:
            raise DataError(f"{entry.where}: a second prediction for image {entry.id!r}")
        [found[entry.id]] = entry.captions
    _require_captions(found, path)
    return found


def name_of(path: str) -> str:
    """The last part of a path, written by any operating system."""
    return re.split(r"[/\\]", path)[-1]


def _require_captions(found: Mapping[str, Any], path: Path) -> None:
    if not found:
        raise DataError(f"{path} holds no captions")


def _read_entries(path: Path, split: str | None = None) -> Iterator[Entry]:
    text = _read_text(path)
    if text.lstrip()[0] not in "{[":
        entries = _read_flickr(text, path)
    elif MANY_LINES.match(text):
        entries = _read_lines(text, path)
    elif _is_karpathy(data := _parse(text, path)):
        return _read_karpathy(data["images"], path, split)
    else:
        entries = _read_json(data, path)
    if split is not None:
        raise DataError(f"{path} has no splits, so --split {split} cannot be used")
    return entries


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise DataError(f"{path} is empty")
    return text


def _parse(text: str, path: Path, line: int | None = None) -> Any:
    where = f"{path}, line {line}" if line else f"{path}"
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_duplicates(pairs, where))
    except json.JSONDecodeError as error:
        place = f"{path}, line {line or error.lineno}, column {error.colno}"
        raise DataError(f"{place}: broken JSON, {error.msg}") from error
    except RecursionError:
        raise DataError(f"{where}: broken JSON, nested too deeply") from None
    except ValueError:
        raise DataError(f"{where}: broken JSON, a number with thousands of digits") from None


def _without_duplicates(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Refuse duplicate keys, of which Python's reader silently keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: the key {duplicate!r} appears twice")
    return found


def _read_flickr(text: str, path: Path) -> Iterator[Entry]:
    for number, line in _lines(text):
        where = f"{path}, line {number}"
        if not (found := FLICKR_LINE.fullmatch(line)):
            raise DataError(f"{where}: unknown format of a file or line; accepted are {ACCEPTED}")
        yield _make_entry(found[1], [found[2]], where)


def _read_lines(text: str, path: Path) -> Iterator[Entry]:
    for number, line in _lines(text):
        yield _read_record(_parse(line, path, number), f"{path}, line {number}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Not `splitlines`, which also splits at characters like U+2028."""
    lines = enumerate(text.split("\n"), start=1)
    return ((number, line) for number, line in lines if line.strip())


def _is_karpathy(data: Any) -> bool:
    images = data.get("images") if isinstance(data, dict) else None
    if not isinstance(images, list) or not images:
        return False
    return all(isinstance(image, dict) and "sentences" in image for image in images)


def _read_karpathy(images: list[Any], path: Path, split: str | None) -> Iterator[Entry]:
    if split is not None and split not in KARPATHY_SPLITS:
        raise DataError(f"there is no split {split!r}{nearest(split, KARPATHY_SPLITS)}")
    for number, image in enumerate(images, start=1):
        if split is None or image.get("split") in KARPATHY_SPLITS[split]:
            name = image.get("cocoid", image.get("filename"))
            record = {"id": name, "captions": image["sentences"]}
            yield _read_record(record, f"{path}, image {number}")


def _read_json(data: Any, path: Path) -> Iterator[Entry]:
    if isinstance(data, dict) and isinstance(data.get("annotations"), list):
        data = data["annotations"]
    elif isinstance(data, dict) and {"caption", "captions"} & data.keys():
        data = [data]  # one line of JSON lines
    elif isinstance(data, dict):
        data = [{"id": id, "captions": captions} for id, captions in data.items()]
    for number, record in enumerate(data, start=1):
        yield _read_record(record, f"{path}, entry {number}")


def _read_record(record: Any, where: str) -> Entry:
    if not isinstance(record, dict):
        raise DataError(f"{where}: unknown format of an entry; accepted are {ACCEPTED}")
    id = next((record[key] for key in ID_KEYS if key in record), None)
    if "path" in record and id == record["path"]:  # as `cutline caption --json` writes
        id = name_of(str(id))
        without = record.get("caption") is None and record.keys() & {"error", "left_out"}
        record = {**record, "caption": ""} if without else record
    if not isinstance(id, str | int):
        raise DataError(f"{where}: no image id; accepted are {ACCEPTED}")
    captions = record.get("captions", record.get("caption"))
    texts = [_text_of(caption) for caption in _as_list(captions)]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: no caption for {str(id)!r}; accepted are {ACCEPTED}")
    return _make_entry(str(id), texts, where)


def _make_entry(id: str, captions: list[str], where: str) -> Entry:
    longest = max(map(len, captions))
    if longest > LONGEST:
        raise DataError(
            f"{where}: the caption for {id!r} has {longest:,} characters; the limit is {LONGEST:,}"
        )
    return Entry(id, captions, where)


def _as_list(captions: Any) -> list[Any]:
    return captions if isinstance(captions, list) else [captions]


def _text_of(caption: Any) -> Any:
    """The text of `{"caption": text}` (pycocoevalcap), `{"raw": text}` (Karpathy), or the text."""
    return caption.get("caption", caption.get("raw")) if isinstance(caption, dict) else caption
