"""Captions whose photographs are not there: a sentence a line, or `id<TAB>sentence`.

A decoder with concepts learns from them how people speak of what they name, though it never sees
it (`[[source]]` with `kind = "sentences"`). Files may be compressed: `.tsv.gz`, `.txt.gz`.
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
        """`weight` is what their loss counts beside that of pictures, `share` how many are read for
        each caption of a picture; a word that occurs `min_count` times enters the vocabulary.
        `for_labels`: they may be found for labelled photographs, if labels ask for `sentences`.
        """
        if weight <= 0 or share <= 0:
            raise DataError(f"a weight of {weight} and a share of {share}: neither may be 0")
        self.file = Path(file)
        self.weight, self.share, self.min_count = weight, share, min_count
        self.for_labels = for_labels

    def __iter__(self) -> Iterator[str]:
        """Every sentence, in the order of the lines; `DataError` names the line that is none."""
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
