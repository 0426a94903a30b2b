"""The bytes of a page as text whose offsets map to byte offsets, in any supported encoding.

Supersets of ASCII are read as Latin-1, so that all other bytes pass through unchanged. UTF-16 is
read as such. The trailing bytes of Shift-JIS, Big5 and GB18030 are never `<`, `>`, `"`, `'`, `=` or
`&`, so tags can be found in them.
"""

import codecs
import re
import sys
from array import array
from bisect import bisect_left
from pathlib import Path

from cutline.errors import DataError

_CHARSET = re.compile(r"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.I)


class PageText:
    """A file's bytes as text with one character per byte, or per two bytes in UTF-16.

    Raises `DataError` for encodings in which that is impossible.
    """

    def __init__(self, path: Path, content: bytes, *, is_markdown: bool) -> None:
        self.path, self.content, self.is_markdown = path, content, is_markdown
        self.wide = ""
        for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
            if content.startswith(mark):
                self.wide = name
        self.text = self._decode()
        self.charset = self._find_charset()
        self._newlines = [newline.start() for newline in re.finditer("\n", self.text)]

    def _decode(self) -> str:
        start = self.content[:4096]
        if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise DataError(f"{self.path} is in UTF-32: save it as UTF-8")
        if self.wide:  # surrogates are separate characters, so that each has two bytes
            units = array("H", self.content[: len(self.content) // 2 * 2])
            if (self.wide == "utf-16-le") != (sys.byteorder == "little"):
                units.byteswap()
            return "".join(map(chr, units))
        if start.count(0) > len(start) // 5:
            raise DataError(
                f"{self.path} is not text, or UTF-16 without a byte order mark: save it as UTF-8"
            )
        if b"\x1b$" in self.content:  # ISO-2022-JP, in which any byte may look like a `<`
            raise DataError(f"{self.path} is in ISO-2022-JP: save it as UTF-8")
        return self.content.decode("latin-1")

    def _find_charset(self) -> str:
        """The encoding: UTF-8 if the bytes are valid UTF-8, otherwise what the page declares."""
        if self.wide or _is_utf8(self.content):
            return self.wide or "utf-8"
        declared = _CHARSET.search(self.text, 0, 4096)
        return declared[1] if declared else "utf-8"

    @property
    def written_in(self) -> str:
        """The encoding of insertions; ASCII if it is uncertain how the page will be read."""
        if self.wide:
            return self.wide
        declared = _CHARSET.search(self.text, 0, 4096)
        says_so = bool(declared and declared[1].lower() in ("utf-8", "utf8"))
        is_plain = self.content.isascii() and not (says_so or self.is_markdown)
        return "ascii" if is_plain or not _is_utf8(self.content) else "utf-8"

    def read(self, part: str) -> str:
        """Decode a part of the text."""
        if self.wide:
            return part.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        content = part.encode("latin-1")
        try:
            return content.decode(self.charset, "surrogateescape")
        except (LookupError, UnicodeError):  # wrong declaration: `charset=utf-32`, `charset=hex`
            return content.decode("utf-8", "surrogateescape")

    def byte_of(self, place: int) -> int:
        """The byte offset of a character."""
        return 2 * place if self.wide else place

    def line_of(self, place: int) -> int:
        """The line of a character, from 1."""
        return bisect_left(self._newlines, place) + 1


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
