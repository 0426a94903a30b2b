"""Untrusted zip files: what is refused, and rewriting some members with all others kept."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from cutline.errors import DataError

MAX_RATIO = 20
"""Maximum ratio of unpacked to packed size; that of annotations is three."""
MIN_ALLOWED = 100 * 10**6
"""Bytes to which any archive may unpack, whatever the ratio."""
ENCRYPTED = 1
"""Bit of a member's flags (APPNOTE.TXT, 4.4.4)."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError)
"""What reading a damaged archive raises; `NotImplementedError` is a `RuntimeError`."""


def find_problem(archive: Path, members: Sequence[zipfile.ZipInfo], packed: int) -> str:
    """Why an archive of `packed` bytes is not unpacked, as a sentence; empty if it is harmless."""
    for member in members:
        if member.header_offset < 0:
            return f"{archive} is damaged: {member.filename!r} begins before the file"
        if member.flag_bits & ENCRYPTED:
            return f"{archive}: {member.filename!r} is encrypted"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"{archive}: {member.filename!r} uses a compression other than deflate"
    total = sum(member.file_size for member in members)
    if total > max(MIN_ALLOWED, MAX_RATIO * packed):
        return f"{archive} would unpack to {total / 1e9:,.1f} GB, too much for its size"
    return ""


def read_member(archive: Path, name: str, most: int = -1) -> bytes:
    """A member, or its first bytes. Raises `DataError` where it cannot be read."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(name) as member:
            return member.read(most)
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror}") from None
    except (*DAMAGED, KeyError):
        raise DataError(f"{archive / name} is damaged") from None


def replace_members(content: bytes, new: Mapping[str, bytes]) -> bytes:
    """The archive with other content of some members; order, dates and names are kept.

    A member `mimetype` comes first and is stored, as EPUB asks for. Raises one of `DAMAGED`.
    """
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(out, "w") as made:
        made.comment = old.comment
        for member in sorted(old.infolist(), key=lambda each: each.filename != "mimetype"):
            inside = new.get(member.filename)
            inside = old.read(member) if inside is None else inside
            if member.filename == "mimetype":
                member.compress_type = zipfile.ZIP_STORED
            member.extra = b""  # of local headers and of the directory they may differ
            made.writestr(member, inside)
    return out.getvalue()
