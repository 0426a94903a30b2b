"""What is known about each named picture: its caption, its own text, or why there is neither."""

import json
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from cutline.cli.progress import note, stop_after_the_event, warn
from cutline.cli.terminal import echo
from cutline.errors import CutlineError, DataError, FetchError, ImageError
from cutline.images.find import find_pictures, is_address
from cutline.images.formats import describe_skipped
from cutline.images.prefetch import in_order
from cutline.types import Caption, ExistingText

Answer = Caption | ExistingText | CutlineError
CaptionEach = Callable[[Iterable[Path | bytes]], Iterator[Caption | ImageError]]
FETCHED_AT_ONCE = 4


def answer_each(
    found: Iterable[tuple[str, CutlineError | None]],
    caption_each: CaptionEach,
    existing: Callable[[Path], ExistingText | None] | None = None,
    fetch: Callable[[str], bytes] | None = None,
) -> Iterator[tuple[str, Answer]]:
    """Each path of `find_pictures` and its answer, in order.

    `existing` finds the text that a picture has already; `fetch` downloads the picture at an
    address, or raises `FetchError`.
    """
    known = deque[tuple[str, Answer | None]]()

    def sources() -> Iterator[Path | bytes]:
        opened = in_order(
            partial(_open, existing=existing, fetch=fetch), found, workers=FETCHED_AT_ONCE
        )
        for path, source in opened:
            if isinstance(source, Path | bytes):
                known.append((path, None))
                yield source
            else:
                known.append((path, source))

    for answer in caption_each(sources()):
        path, earlier = known.popleft()
        while earlier is not None:
            yield path, earlier
            path, earlier = known.popleft()
        yield path, answer
    yield from ((path, rest) for path, rest in known if rest is not None)


def _open(
    each: tuple[str, CutlineError | None],
    existing: Callable[[Path], ExistingText | None] | None,
    fetch: Callable[[str], bytes] | None,
) -> tuple[str, Path | bytes | ExistingText | CutlineError]:
    """What to caption, or the answer that is known without a model."""
    path, problem = each
    if problem:
        return path, problem
    if not (fetch and is_address(path)):
        return path, (existing and existing(Path(path))) or Path(path)
    try:
        return path, fetch(path)
    except FetchError as error:
        return path, error


def text_finder() -> "Callable[[Path], ExistingText | None]":
    """Finds the text that a picture has already, unless it says nothing (`IMG_1234`)."""
    from cutline.alttext.placeholders import is_placeholder
    from cutline.metadata.existing import find_texts_again

    find = find_texts_again()

    def find_meaningful(picture: Path) -> ExistingText | None:
        text = find(picture)
        return None if text and is_placeholder(text.text, picture.name) else text

    return find_meaningful


def downloader() -> Callable[[str], bytes]:
    """The function that downloads a picture from a public host."""
    from cutline.alttext.fetch import fetch_picture  # only here does captioning open connections

    return fetch_picture


def read_null_names(paths: Sequence[str]) -> Iterator[str]:
    """The paths, with the names on standard input, which end with a null character, for `-`."""
    for path in paths:
        if path == "-":
            names = sys.stdin.buffer.read().split(b"\0")
            yield from (os.fsdecode(name) for name in names if name)
        else:
            yield path


def find_named(
    paths: Sequence[str], *, recursive: bool, addresses: bool
) -> list[tuple[str, DataError | None]]:
    """The named pictures; says how many of a folder have a format that cannot be read."""
    skipped = Counter[str]()
    found = list(find_pictures(paths, recursive=recursive, skipped=skipped, addresses=addresses))
    if skipped:
        note(describe_skipped(skipped))
    return found


def print_each(
    answers: Iterable[tuple[str, Answer, dict[str, Any]]], *, as_json: bool, alone: bool, end: str
) -> int:
    """Print a line per picture, never half of one; returns the exit code."""
    failed = False
    with stop_after_the_event() as stop:
        for path, answer, line in answers:
            failed |= isinstance(answer, CutlineError)
            _print(path, answer, line, as_json=as_json, alone=alone, end=end)
            if stop.is_set():
                return stop.code
    return 1 if failed else 0


def _print(
    path: str, answer: Answer, line: dict[str, Any], *, as_json: bool, alone: bool, end: str
) -> None:
    if as_json:
        click.echo(json.dumps(line))
    elif isinstance(answer, CutlineError):
        unnamed = is_address(path) or getattr(answer, "kind", "") == "unanswered"
        warn(f"{path}: {answer}" if unnamed and path not in str(answer) else str(answer))
    elif "left_out" in line:
        warn(f"{path} has no caption: {line['left_out']}")
    else:
        others = answer.alternatives if isinstance(answer, Caption) else ()
        for candidate in (answer, *others):
            text = " ".join(candidate.text.split())  # a person's may have several lines
            echo(*([] if alone else [path]), text, end=end)
