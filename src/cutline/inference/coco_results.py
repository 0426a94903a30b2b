"""Captions of a COCO image list in the form that COCO's evaluation server takes.

One JSON list of `{"image_id": 1, "caption": "..."}`, every image of the list once, in a file named
`captions_[set]_[algorithm]_results.json`. What is written so far stands in a journal beside the
file, a line each; the same call goes on after it, and the file appears when all is there.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutline.errors import DataError, ImageError
from cutline.inference.captioner import Captioner
from cutline.io.atomic import open_to_append, require_regular_file, write_text_file
from cutline.text.style import UNCONSTRAINED, Style

NAME = re.compile(r"captions_[A-Za-z0-9-]+_[A-Za-z0-9.-]+_results\.json")


@dataclass(frozen=True)
class Submitted:
    """So many of the images have their line; `wrong` says why the last one's caption is empty."""

    done: int
    total: int
    wrong: str | None = None


def submit(
    captioner: Captioner, images: Path, folder: Path, out: Path, style: Style = UNCONSTRAINED
) -> Iterator[Submitted]:
    """Caption every image of a list (`image_info_test2014.json`); goes on with a journal.

    Raises `DataError` for a list or a name of the file that the server would not take, and for a
    journal of another model or style.
    """
    if not NAME.fullmatch(out.name):
        raise DataError(
            f"{out.name}: the evaluation server takes captions_SET_ALGORITHM_results.json, for "
            "example captions_test2014_cutline_results.json"
        )
    listed = read_images(images)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} with the pictures of {images.name}")
    if not out.parent.is_dir():
        raise DataError(f"{out} cannot be written: there is no folder {out.parent}")
    journal = out.with_name(f".{out.name}.journal")
    model = f"{captioner.card.get('fingerprint', '')}-{captioner.card.get('precision', 'fp32')}"
    if style != UNCONSTRAINED:
        model += f" {json.dumps(style.as_json(), sort_keys=True)}"
    said = {i: c for i, c in _read_journal(journal, model).items() if i in listed}
    todo = [number for number in listed if number not in said]
    pictures = (folder / listed[number] for number in todo)
    answers = captioner.caption_each(pictures, style=style)
    with open_to_append(journal) as file:
        if not file.seek(0, os.SEEK_END):
            file.write(json.dumps({"model": model}).encode() + b"\n")
        for number, answer in zip(todo, answers, strict=True):
            wrong = str(answer) if isinstance(answer, ImageError) else None
            said[number] = "" if isinstance(answer, ImageError) else answer.text
            if wrong is None:  # a picture that cannot be read is tried again next time
                file.write(json.dumps([number, said[number]]).encode() + b"\n")
            yield Submitted(len(said), len(listed), wrong)
    results = [{"image_id": number, "caption": said[number]} for number in listed]
    write_text_file([json.dumps(results)], out)
    if all(said.values()):
        journal.unlink()
    yield Submitted(len(said), len(listed))


def read_images(path: Path) -> dict[int, str]:
    """Image id -> file name, of any file of COCO's that lists images."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        return {int(image["id"]): str(image["file_name"]) for image in document["images"]}
    except FileNotFoundError:
        raise DataError(f"there is no {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path} is not a list of COCO's images") from None


def check(results: Any, images: Path) -> list[str]:
    """What the evaluation server would refuse, a sentence each."""
    if not isinstance(results, list):
        return ["the file must hold a list"]
    listed, seen, problems = read_images(images), set[int](), list[str]()
    empty = set[int]()
    for place, entry in enumerate(results):
        number = entry.get("image_id") if isinstance(entry, dict) else None
        if type(number) is not int or not isinstance(entry.get("caption"), str):
            problems.append(f"entry {place} must be an image_id and a caption")
        elif number not in listed:
            problems.append(f"entry {place}: there is no image {number}")
        elif number in seen:
            problems.append(f"entry {place}: image {number} has a caption already")
        elif not entry["caption"]:
            empty.add(number)
            problems.append(f"entry {place}: the caption of image {number} is empty")
        else:
            seen.add(number)
    if missing := len(listed) - len(seen | empty):
        problems.append(f"{missing} of {len(listed)} images have no caption")
    return problems


def _read_journal(path: Path, model: str) -> dict[int, str]:
    """Whole lines only: a killed run may have left half a one, which is cut off."""
    try:
        if require_regular_file(path) is None:
            return {}
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with open_to_append(path) as file:
            file.truncate(len(whole))
    said = {}
    for line in whole.splitlines():
        with suppress(ValueError, TypeError, RecursionError):  # what is no line of ours
            read = json.loads(line)
            if isinstance(read, dict) and read.get("model") != model:
                raise DataError(
                    f"{path} holds captions of another model or style: go on with that one, "
                    "or delete it"
                )
            number, caption = read
            said[int(number)] = str(caption)
    return said
