"""A file of known gaps, so that a check fails only on new ones.

A gap is known by its page (relative to the file) and the URL of its picture, not by its line, which
changes with every edit; if a page has the same gap twice, the file says 2.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cutline.alttext.audit import Picture
from cutline.errors import DataError
from cutline.io.atomic import write_text_file

Gap = tuple[str, str]
"""The page and the URL of a picture."""
_FORMAT = "cutline alt baseline 1"


class Baseline:
    """The known gaps of a file, which each excuse as many pictures as they count."""

    def __init__(self, path: Path, gaps: Counter[Gap]) -> None:
        self.path, self.left = path, gaps

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """Read a file of known gaps. Raises `DataError` if it is none."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != _FORMAT:
                raise ValueError
            gaps = Counter[Gap]()
            for gap in told["gaps"]:
                if not (isinstance(gap["page"], str) and isinstance(gap["path"], str)):
                    raise ValueError
                gaps[gap["page"], gap["path"]] += int(gap.get("count", 1))
        except OSError as error:
            raise DataError(f"the baseline {path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{path} is not a baseline of `cutline alt`") from None
        return cls(path, gaps)

    def excuses(self, picture: Picture) -> bool:
        """Whether this gap is known; each call uses up one."""
        gap = _gap_of(picture, self.path)
        if self.left[gap] <= 0:
            return False
        self.left[gap] -= 1
        return True


def write_baseline(path: Path, pictures: Iterable[Picture]) -> None:
    """Write the gaps of these pictures as known, one per line, in order."""
    counts = Counter(_gap_of(picture, path) for picture in pictures)
    lines = (
        json.dumps({"page": page, "path": source} | ({"count": count} if count > 1 else {}))
        for (page, source), count in sorted(counts.items())
    )
    body = ",\n".join(f"  {line}" for line in lines)
    gaps = f"[\n{body}\n ]" if body else "[]"
    write_text_file([f'{{"format": "{_FORMAT}",\n "gaps": {gaps}}}\n'], path)


def _gap_of(picture: Picture, baseline: Path) -> Gap:
    folder = baseline.parent.absolute()
    return Path(os.path.relpath(picture.page.absolute(), folder)).as_posix(), picture.source
