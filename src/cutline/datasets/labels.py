"""Labelled photographs: lines of JSON with labels instead of captions.

    {"file": "zoo/1.jpg", "labels": ["zebra", "grass"], "person": false}
    {"file": "street/2.jpg", "objects": [["car", 0.21], ["pole", 0.01]], "scene": "street"}
    {"file": "drawn/3.png", "photograph": false}

`objects` are names with their fraction of the image area; if present, `labels` are ignored.
`person` says whether there are people; without it that is unknown. If a line has a `split`, it is
used only if that is `train`. The concept head learns from labels, and so does the decoder if
sentences are retrieved for them (`[[source]]` with `kind = "labels"`; see
`cutline.training.pseudo_pairs`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutline.errors import DataError
from cutline.text.nouns import nouns_of
from cutline.text.tokenizer import split_words


@dataclass(frozen=True, slots=True)
class Labelled:
    """A photograph and the canonical nouns of its labels."""

    image: Path
    nouns: frozenset[str]
    person: bool | None
    photograph: bool = True
    folder: str = ""
    """The first part of its path; pictures in a folder were labelled in the same way."""


class Labels:
    """The photographs of one file, with paths relative to it."""

    def __init__(
        self,
        file: Path | str,
        *,
        folder: str = "",
        limit: int = 0,
        least: float = 0.02,
        silence: float = 0.5,
        sentences: int = 0,
        photographs: bool = True,
    ) -> None:
        """Read pictures in `folder`, at most `limit` of them (0: all), evenly spaced.

        Objects smaller than the fraction `least` of the image are ignored. A missing label counts
        as a negative with weight `silence` if another picture of the same folder has it.
        `sentences` is the number of sentences retrieved for each picture without people.
        `photographs = false` marks drawings, documents etc., which the model should refuse.
        """
        self.file, self.folder = Path(file), folder
        self.limit, self.least, self.silence = limit, least, silence
        self.sentences, self.photographs = sentences, photographs

    def __iter__(self) -> Iterator[Labelled]:
        """Yield in the order of the lines; raises `DataError` with the line that is malformed."""
        found = list(self._read())
        if not found:
            raise DataError(f"{self.file} has no labelled photographs in {self.folder or 'it'}")
        step = max(1, -(-len(found) // self.limit)) if self.limit else 1
        return iter(found[::step])

    def _read(self) -> Iterator[Labelled]:
        try:
            lines = self.file.read_text(encoding="utf8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.file} cannot be read: {reason}") from None
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    record = json.loads(line)
                    name = str(record.get("file") or record["file_name"])
                    if name.startswith(self.folder) and record.get("split", "train") == "train":
                        yield self._read_line(name, record)
                except (ValueError, KeyError, TypeError, AttributeError):
                    sentence = "a line must be an object with a 'file' and 'labels' or 'objects'"
                    raise DataError(f"{self.file}:{number}: {sentence}") from None

    def _read_line(self, name: str, record: dict[str, Any]) -> Labelled:
        group = name.partition("/")[0] if "/" in name else ""
        if not (self.photographs and record.get("photograph", True)):
            return Labelled(self._find(name), frozenset(), None, photograph=False, folder=group)
        return Labelled(self._find(name), self._name(record), _know_person(record), folder=group)

    def _find(self, name: str) -> Path:
        beside = self.file.parent / name
        return beside if beside.exists() else self.file.parent / "images" / name

    def _name(self, record: dict[str, Any]) -> frozenset[str]:
        names = list(record["labels"]) if "objects" not in record else []
        names += [name for name, share in record.get("objects", []) if share > self.least]
        names += [str(record["scene"]).replace("_", " ")] if record.get("scene") else []
        return frozenset(noun for name in names for noun in nouns_of(split_words(name.lower())))


def _know_person(record: dict[str, Any]) -> bool | None:
    person = record.get("person")
    return None if person is None else bool(person)
