"""The bytes of a page as text whose places are places in the file, in whatever encoding it is.

An encoding that keeps ASCII is read as Latin-1: what no scanner needs to understand comes through
as it is. UTF-16 is read as such. The trailing bytes of Shift-JIS, Big5 and GB18030 are never `<`,
`>`, `"`, `'`, `=` or `&`, which is why tags may be sought in them.
"""

import codecs
import re
from pathlib import Path

from cutline.errors import DataError

_CHARSET = re.compile(r"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.I)


class View:
    """A file's bytes as text in which a sign is a byte, or two in UTF-16.

    Raises `DataError` for an encoding in which that cannot be.
    """

    def __init__(self, path: Path, content: bytes, *, is_markdown: bool) -> None:
        self.path, self.content, self.is_markdown = path, content, is_markdown
        self.wide = ""
        for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
            if content.startswith(mark):
                self.wide = name
        self.text = self._decode()
        self.charset = self._find_charset()

    def _decode(self) -> str:
        start = self.content[:4096]
        if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise DataError(f"{self.path} is in UTF-32: save it as UTF-8")
        if self.wide:
            try:
                return self.content.decode(self.wide, "surrogatepass")
            except UnicodeDecodeError:
                raise DataError(f"{self.path} is damaged: its UTF-16 breaks off") from None
        if start.count(0) > len(start) // 5:
            raise DataError(
                f"{self.path} is no text, or in UTF-16 without a mark: save it as UTF-8"
            )
        if b"\x1b$" in self.content:  # ISO-2022-JP, in which any byte may look like a `<`
            raise DataError(f"{self.path} is in ISO-2022-JP: save it as UTF-8")
        return self.content.decode("latin-1")

    def _find_charset(self) -> str:
        """What the bytes mean: UTF-8 if they can, or else what the page says."""
        if self.wide:
            return self.wide
        try:
            self.content.decode("utf-8")
            return "utf-8"
        except UnicodeDecodeError:
            declared = _CHARSET.search(self.text, 0, 4096)
        try:
            return codecs.lookup(declared[1]).name if declared else "utf-8"
        except LookupError:
            return "utf-8"

    @property
    def written_in(self) -> str:
        """A page of ASCII alone may be read as anything."""
        if self.wide:
            return self.wide
        declared = _CHARSET.search(self.text, 0, 4096)
        is_utf8 = self.is_markdown or not self.content.isascii()
        is_utf8 |= bool(declared and declared[1].lower() in ("utf-8", "utf8"))
        return "utf-8" if is_utf8 and self.charset == "utf-8" else "ascii"

    def read(self, part: str) -> str:
        """What a part of the view means."""
        if self.wide:
            return part
        return part.encode("latin-1").decode(self.charset, "surrogateescape")

    def byte_of(self, place: int) -> int:
        """Where a sign stands in the file."""
        return len(self.text[:place].encode(self.wide, "surrogatepass")) if self.wide else place
