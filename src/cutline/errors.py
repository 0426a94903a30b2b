"""Users' mistakes, each told in one sentence: what is wrong, where, and the nearest right answer.

CutlineError
├── ImageError        a picture that cannot be read
├── DataError         captions, splits or data files that do not fit together
│   └── NoPictureError a folder, a pattern or a list with no picture in it
├── RecipeError       a recipe that names what does not exist
├── ModelError        a model folder or file that is damaged, foreign or does not fit
├── TrainingError     a run that cannot go on (a loss that is not a number, say)
├── FetchError        a file that does not come, or is not what it should be
└── WritingError      a caption that cannot be put where it should go
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class CutlineError(Exception):
    """Anything a user can mend; the command line prints the sentence and exits with 1."""


class ImageError(CutlineError):
    """A picture that cannot be read."""


class DataError(CutlineError):
    """Captions, splits or data files that are missing, broken or do not fit together."""


class NoPictureError(DataError):
    """There is no picture, where one may yet come."""


class RecipeError(CutlineError):
    """A recipe names a part, an option or a value that does not exist."""


class ModelError(CutlineError):
    """A model folder or file that is missing, damaged, foreign or does not fit its parts."""


class TrainingError(CutlineError):
    """A training run that cannot go on."""


class FetchError(CutlineError):
    """A file that cannot be fetched or unpacked, or is not what it should be."""


class WritingError(CutlineError):
    """A caption cannot be put where it should go, or cannot be taken back from there."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that helps: `; did you mean 'width'?` for `nearest("widht", ...)`."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(map(repr, known))}" if known else "; there are none"


@contextmanager
def needs_parquet() -> Iterator[None]:
    """Without pyarrow, say how to get it, and what does without."""
    try:
        yield
    except ImportError:
        raise CutlineError(
            "Parquet needs pyarrow: pip install 'cutline[parquet]', or take .jsonl or .csv"
        ) from None


@contextmanager
def needs_training() -> Iterator[None]:
    """Without torch, say how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CutlineError(
            f"this command trains and needs {error.name}: pip install 'cutline[train]', "
            "or '.[train]' in a clone"
        ) from None
