"""Captions of a COCO image list, in the format of COCO's evaluation server.

The results are a JSON list of `{"image_id": 1, "caption": "..."}`, one for each image of the list,
in a file named `captions_[set]_[algorithm]_results.json`. It is written when every image has an
answer; until then the answers are in the journal of `library`.
"""

import json
import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from cutline.errors import DataError
from cutline.inference.captioner import Captioner
from cutline.inference.journal import CaptionJournal
from cutline.inference.library import CaptionOptions, Event, Finished, caption_into
from cutline.io.atomic import write_text_file
from cutline.text.style import UNCONSTRAINED, Style

NAME = re.compile(r"captions_[A-Za-z0-9-]+_[A-Za-z0-9.-]+_results\.json")


def submit(
    captioner: Captioner, images: Path, folder: Path, out: Path, style: Style = UNCONSTRAINED
) -> Generator[Event]:
    """Caption every image of a list such as `image_info_test2014.json`; the same call resumes.

    An image that cannot be read gets an empty caption and is tried again by the next call. Raises
    `DataError` for a list that cannot be read, a file name that the server does not accept, and a
    missing folder, and like `caption_library`.
    """
    if not NAME.fullmatch(out.name):
        raise DataError(
            f"{out.name}: the evaluation server takes captions_SET_ALGORITHM_results.json, for "
            "example captions_test2014_cutline_results.json"
        )
    pictures = {id: str(folder / name) for id, name in read_images(images).items()}
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} with the pictures of {images.name}")
    output, options = _CocoResults(out, pictures), CaptionOptions(style=style)
    found = ((picture, None) for picture in pictures.values())
    yield from caption_into(output, captioner, found, [str(folder)], options, retry_failed=True)
    if output.is_whole:
        CaptionJournal.remove(out)


class _CocoResults:
    def __init__(self, path: Path, pictures: Mapping[int, str]) -> None:
        self.path, self._pictures, self.is_whole = path, pictures, False

    def prepare(self, journal: CaptionJournal) -> None:
        """Nothing to check: the file is written once."""

    def write(self, journal: CaptionJournal, *, complete: bool) -> Finished:
        """Write the results, if every image has an answer."""
        if not complete:
            return Finished()
        rows = {row.path: row.answer or {} for row in journal.rows()}
        results = [
            {"image_id": id, "caption": rows[picture].get("caption") or ""}
            for id, picture in self._pictures.items()
        ]
        write_text_file([json.dumps(results)], self.path)
        empty = sum(not result["caption"] for result in results)
        self.is_whole = not empty
        return Finished(captioned=len(results) - empty, failed=empty)


def read_images(path: Path) -> dict[int, str]:
    """File names by image id, from any of COCO's files that list images."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        return {int(image["id"]): str(image["file_name"]) for image in document["images"]}
    except FileNotFoundError:
        raise DataError(f"there is no {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise DataError(f"{path} is not a COCO image list") from None


def check(results: Any, images: Path) -> list[str]:
    """Why the evaluation server would refuse some results, a sentence for each reason."""
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
