"""Errors for users: one sentence that says what is wrong, where, and what would be right.

CutlineError
├── ImageError        a picture that cannot be read
├── DataError         captions, splits or data files that are missing, broken or inconsistent
│   └── NoPictureError a folder, pattern or list without pictures
├── RecipeError       an unknown name or invalid value in a recipe
├── ModelError        a model folder or file that is missing, damaged or inconsistent
├── TrainingError     a run that cannot continue, for example with a loss of NaN
├── FetchError        a file that cannot be downloaded, verified or unpacked
└── WritingError      a caption that cannot be written or restored
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Literal

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


LONGEST = 1_000
"""Characters of a message; names from foreign files can have millions."""


class CutlineError(Exception):
    """An error that the user can fix; the command line prints the message and exits with 1.

    Control characters of names in the message are escaped, and the middle of a message of more than
    `LONGEST` characters is left out.
    """

    def __init__(self, message: str = "") -> None:
        message = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST * 6 // 10]}…{message[-LONGEST * 3 // 10 :]}"
        super().__init__(message)


ImageErrorKind = Literal["missing", "too_large", "damaged", "unsupported", "unanswered"]


class ImageError(CutlineError, ValueError):
    """A picture cannot be read; `kind` says why.

    `missing`: there is no such file, or it may not be read; `too_large`: beyond the limits or the
    memory; `unsupported`: no picture, or of a format that cannot be read; `unanswered`: the model
    behind a server gave no caption; otherwise `damaged`.
    """

    def __init__(self, message: str, *, kind: ImageErrorKind = "damaged") -> None:
        super().__init__(message)
        self.kind: ImageErrorKind = kind


class DataError(CutlineError):
    """Captions, splits or data files are missing, broken or inconsistent."""


class NoPictureError(DataError):
    """There are no pictures; with `--watch`, some may still appear."""


class RecipeError(CutlineError):
    """A recipe contains an unknown part, option or value."""


class ModelError(CutlineError):
    """A model folder or file is missing, damaged or inconsistent."""


class TrainingError(CutlineError):
    """A training run cannot continue."""


class FetchError(CutlineError):
    """A file cannot be downloaded, verified or unpacked."""


class WritingError(CutlineError):
    """A caption cannot be written, or a file cannot be restored."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to end a sentence with: `; did you mean 'width'?` for `nearest("widht", ...)`."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(map(repr, known))}" if known else "; there are none"


@contextmanager
def needs_parquet() -> Iterator[None]:
    """Turn a missing pyarrow into a `CutlineError` that says how to install it."""
    try:
        yield
    except ImportError:
        raise CutlineError(
            "Parquet needs pyarrow: pip install 'cutline[parquet]', or use .jsonl or .csv"
        ) from None


@contextmanager
def needs_training() -> Iterator[None]:
    """Turn a missing torch into a `CutlineError` that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CutlineError(
            f"this command trains and needs {error.name}: pip install 'cutline[train]', "
            "or '.[train]' in a clone"
        ) from None


def plural(count: int, noun: str) -> str:
    """`1 error`, `2,000 errors`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
