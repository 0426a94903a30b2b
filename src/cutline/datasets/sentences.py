"""Captions without photographs: one sentence per line, or `id<TAB>sentence`.

From these a decoder with concepts learns how people describe what it can name, even if no picture
shows it (`[[source]]` with `kind = "sentences"`). Files may be compressed: `.tsv.gz`, `.txt.gz`.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from cutline.errors import DataError


class Sentences:
    """The sentences of one file."""

    def __init__(
        self,
        file: Path | str,
        *,
        weight: float = 0.5,
        share: float = 1.0,
        min_count: int = 8,
        for_labels: bool = True,
    ) -> None:
        """Set up reading.

        `weight` is the weight of their loss relative to that of images, `share` the number of
        sentences per image caption. Words that occur `min_count` times enter the vocabulary.
        `for_labels` allows retrieving them for labelled photographs.
        """
        if weight <= 0 or share <= 0:
            raise DataError(f"weight is {weight} and share is {share}, but both must be positive")
        self.file = Path(file)
        self.weight, self.share, self.min_count = weight, share, min_count
        self.for_labels = for_labels

    def __iter__(self) -> Iterator[str]:
        """Yield every sentence in order; raises `DataError` with the line that is malformed."""
        try:
            content = self.file.read_bytes()
            if self.file.suffix == ".gz":
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.file} cannot be read: {reason}") from None
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            try:
                text = line.decode("utf8")
            except UnicodeDecodeError:
                raise DataError(f"{self.file}:{number}: this line is not UTF-8") from None
            sentence = " ".join(text.partition("\t")[2].split() or text.split())
            if sentence:
                yield sentence
