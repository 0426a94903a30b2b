"""Shards of captioned pictures: tar files in WebDataset's layout, or Parquet tables.

- `*.tar`: beside a picture, `000123.jpg`, are its captions in `000123.json` (`{"caption": ...}` or
  `{"captions": [...]}`, and perhaps a `split`) or in `000123.txt`, one a line;
- `*.parquet`: the columns `image` (bytes, or the structure of Hugging Face's `datasets`) and
  `caption` or `captions` (a text or a list), and perhaps `split`.

Pictures are read where they are (`cutline.images.shards`); nothing is unpacked. A picture without a
split is in that of its shard's name (`train-0001.tar`, `val_00.parquet`); otherwise a hash decides,
as for a folder.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cutline.datasets.folder import choose_split, parse_split
from cutline.datasets.validation import Entry, Problem, Reading, assemble
from cutline.errors import DataError
from cutline.images.formats import is_picture
from cutline.images.shards import SUFFIXES, find_image_column, list_members
from cutline.io.tables import import_parquet
from cutline.types import Example

_SPLIT = re.compile(r"(train|test|dev|val(?:id(?:ation)?)?)(?![a-z])", re.IGNORECASE)
_CAPTIONS = ("captions", "caption", "txt", "text")
"""Names of captions in JSON and in tables, in the order of preference."""
LONGEST_TEXT = 10**6
"""Bytes of a text or JSON beside a picture; anything longer is not a caption."""


class Shards:
    """A folder of shards, or one; an example's id is `shard/member` or `shard/row`."""

    def __init__(self, folder: Path | str, *, validation: float = 0.1, test: float = 0.1) -> None:
        """`validation` and `test` are fractions of the pictures that no name puts in a split."""
        self.folder, self.validation, self.test = Path(folder), validation, test

    def __iter__(self) -> Iterator[Example]:
        return self.read().require_valid()

    def read(self) -> Reading:
        """Examples in the order of the shards' names and of their contents."""
        found = [self.folder] if self.folder.is_file() else sorted(self.folder.glob("*"))
        shards = [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()]
        if not shards:
            sentence = f"there are no shards ({' or '.join(SUFFIXES)})"
            return Reading((), (Problem(self.folder, None, sentence),))
        entries = [entry for shard in shards for entry in _read_shard(shard)]
        names = [entry.picture for entry in entries if isinstance(entry, Entry)]
        root = shards[0].parent
        return assemble(entries, {name: root / name for name in names}, split_of=self._split_of)

    def _split_of(self, picture: str) -> str | None:
        if named := _SPLIT.match(picture):
            return parse_split(named[1])
        return choose_split(picture, validation=self.validation, test=self.test)


def _read_shard(shard: Path) -> Iterator[Entry | Problem]:
    read = _read_parquet if shard.suffix.lower() == ".parquet" else _read_tar
    try:
        yield from read(shard)
    except (OSError, ValueError, tarfile.TarError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        yield Problem(shard, None, f"this shard cannot be read: {reason}")


def _read_tar(shard: Path) -> Iterator[Entry | Problem]:
    members = list_members(shard)
    described = {}
    with shard.open("rb") as file:
        for name, (offset, size) in members.items():
            if name.endswith((".txt", ".json")):
                file.seek(offset)
                described[name] = file.read(min(size, LONGEST_TEXT))
    for name in filter(is_picture, members):
        found = {suffix: described.get(_key(name) + suffix) for suffix in (".json", ".txt")}
        try:
            captions, split = _parse(found[".json"], found[".txt"])
            for caption in captions or [None]:
                yield Entry(shard, None, f"{shard.name}/{name}", caption, split)
        except (DataError, ValueError, RecursionError) as error:
            reason = error if isinstance(error, DataError) else "not JSON"
            yield Problem(shard, None, f"the description of {name} is wrong: {reason}")


def _read_parquet(shard: Path) -> Iterator[Entry | Problem]:
    _, parquet = import_parquet()
    with parquet.ParquetFile(shard) as file:
        names = file.schema_arrow.names
        if not find_image_column(names) or not any(name in names for name in _CAPTIONS):
            yield Problem(
                shard, None, f"the columns must be image and caption, not {', '.join(names)}"
            )
            return
        columns = [name for name in (*_CAPTIONS, "split") if name in names]
        row = 0
        for batch in file.iter_batches(columns=columns):
            for record in batch.to_pylist():
                picture = f"{shard.name}/{row:08}"
                try:
                    for caption in _list_captions(record) or [None]:
                        yield Entry(shard, None, picture, caption, parse_split(record.get("split")))
                except DataError as error:
                    yield Problem(shard, None, f"row {row}: {error}")
                row += 1


def _key(name: str) -> str:
    """What the files of one picture share: everything before the first dot of the file name."""
    path = PurePosixPath(name)
    return str(path.with_name(path.name.partition(".")[0]))


def _parse(described: bytes | None, text: bytes | None) -> tuple[list[str | None], str | None]:
    """Captions and split, from the JSON and the text beside a picture."""
    record = json.loads(described) if described else {}
    if not isinstance(record, dict):
        raise DataError("the JSON is no object")
    captions = _list_captions(record)
    if not captions and text:
        captions = [line for line in text.decode("utf-8-sig").split("\n") if line.strip()]
    return captions, parse_split(record.get("split"))


def _list_captions(record: dict[str, Any]) -> list[str | None]:
    given: Any = next((record[name] for name in _CAPTIONS if record.get(name) is not None), [])
    captions = [given] if isinstance(given, str) else given
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in captions):
        raise DataError("captions must be a text or a list of texts")
    return captions
