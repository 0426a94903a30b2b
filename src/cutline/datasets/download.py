"""Large files over a poor line: resumed, checked, never half there under their final name.

Enters: a `Parcel`. Leaves: the file, whole and with the checksum it must have, or a `FetchError` of
one sentence; on the way `Fetched` events. What has come so far stays in `NAME.part`, and the next
call asks for the rest (HTTP ranges, RFC 9110, section 14). The checksum decides, not the server.
"""

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen
from urllib.response import addinfourl

from cutline.errors import FetchError
from cutline.io.atomic import open_to_append
from cutline.version import __version__

PIECE = 2**18
TRIES = 6
"""Of which none brought anything; a try that did is not counted."""
PATIENCE = 30.0
"""Seconds without a byte, after which a line is taken up anew."""


LOOSE, MOST = 10 * 10**6, 100 * 10**9
"""Bytes that a file may have beyond its size and a tenth of it, and those of one of unknown size: a
server that never ends must not fill the disk."""


@dataclass(frozen=True)
class Parcel:
    """One file to fetch."""

    name: str
    address: str
    size: int
    """Bytes, as far as is known before; 0 where it is not."""
    md5: str | None = None
    contents: str = ""
    """SHA-256 and name of files in the archive, a line each, where its own checksum is unknown."""

    @property
    def most(self) -> int:
        """More bytes than it can have."""
        return self.size + self.size // 10 + LOOSE if self.size else MOST


@dataclass(frozen=True)
class Fetched:
    """How much of a parcel is there, in bytes; `total` is 0 while nobody knows it."""

    name: str
    done: int
    total: int


def fetch(
    parcel: Parcel, folder: Path, *, patience: float = PATIENCE, pause: float = 1.0
) -> Iterator[Fetched]:
    """Bring a parcel into a folder; goes on with what is there. Raises `FetchError`."""
    final, part = folder / parcel.name, folder / f"{parcel.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if final.exists():
        yield Fetched(parcel.name, final.stat().st_size, final.stat().st_size)
        return
    fruitless, begun_anew = 0, False
    while True:
        before = _size(part)
        try:
            for done, total in _receive(parcel, part, patience):
                yield Fetched(parcel.name, done, total or parcel.size)
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is an answer, too, with its connection
            _give_up_if_hopeless(parcel, error)
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless and _is_whole(parcel, part):  # and the server said more would come
                break
            if fruitless >= TRIES:
                raise FetchError(
                    f"{parcel.address} does not come: {_reason(error)} ({_size(part):,} bytes are "
                    "kept; the same command goes on)"
                ) from None
            yield Fetched(parcel.name, _size(part), parcel.size)  # here, too, it may be stopped
            time.sleep(pause * fruitless)
            continue
        wrong = _find_difference(parcel, part)
        if not wrong:
            break
        part.unlink()
        if begun_anew:  # once is chance, or a file that changed on the way
            raise FetchError(f"{parcel.address} is not the file it should be: {wrong}")
        begun_anew = True
    part.replace(final)


def _receive(parcel: Parcel, part: Path, patience: float) -> Iterator[tuple[int, int]]:
    """Append what is missing; bytes so far, and of the whole as the server says."""
    have = _size(part)
    headers = {"User-Agent": f"cutline/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(parcel.address, headers=headers), timeout=patience)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing is left to ask for: the checksum will say
            return
        raise
    with response:
        start, total = _place(response)
        _refuse_endless(parcel, part, total)
        if start not in (0, have):
            raise HTTPException(f"byte {start} came where byte {have} was asked for")
        if start < have:  # a server that ignores ranges
            part.unlink()
            have = 0
        with open_to_append(part) as file:
            while piece := response.read(PIECE):
                file.write(piece)
                have += len(piece)
                _refuse_endless(parcel, part, have)
                yield have, total
    if have < total:
        raise HTTPException(f"the line broke after {have:,} of {total:,} bytes")


def _place(response: HTTPResponse | addinfourl) -> tuple[int, int]:
    """Where in the file the answer begins, and how long the whole is; 0 where it is not said."""
    said = response.headers.get("Content-Range", "")
    if response.status == 206 and said.startswith("bytes "):
        span, _, whole = said.removeprefix("bytes ").partition("/")
        return _number(span.partition("-")[0]), _number(whole)
    return 0, _number(response.headers.get("Content-Length", ""))


def _number(said: str) -> int:
    """A length that a server says, 0 where it says none; no file has 20 digits of bytes."""
    return int(said) if re.fullmatch("[0-9]{1,19}", said) else 0


def _refuse_endless(parcel: Parcel, part: Path, size: int) -> None:
    if size > parcel.most:
        part.unlink(missing_ok=True)
        raise FetchError(
            f"{parcel.address} is not the file it should be: it has more than {parcel.most:,} bytes"
        )


def _give_up_if_hopeless(parcel: Parcel, error: Exception) -> None:
    """Trying again helps a broken line; it does not help a file that is not there."""
    if isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in (408, 429):
        raise FetchError(f"{parcel.address} is not to be had: {error.code} {error.reason}")
    if isinstance(error, OSError) and not isinstance(error, URLError) and error.filename:
        raise FetchError(f"{error.filename} cannot be written: {error.strerror}")
    if isinstance(error, OSError) and error.errno == 28:
        raise FetchError(f"{parcel.name}: the disk is full; make room, the same command goes on")


def _find_difference(parcel: Parcel, part: Path) -> str:
    """What is not as it should be, or nothing."""
    if parcel.md5 and (found := digest(part, "md5")) != parcel.md5:
        return f"its MD5 is {found}, and must be {parcel.md5}"
    return ""


def _is_whole(parcel: Parcel, part: Path) -> bool:
    """Whether a checksum says so."""
    return bool(parcel.md5) and part.exists() and not _find_difference(parcel, part)


def digest(path: Path, kind: str) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _reason(error: Exception) -> str:
    """One line, whatever a server made of it."""
    told = str(error.reason if isinstance(error, URLError) else error)
    shown = "".join(sign if sign.isprintable() else " " for sign in told)
    return " ".join(shown.split()) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
