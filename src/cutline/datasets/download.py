"""Downloads of large files over unreliable connections: resumed, checked, never left incomplete.

A `RemoteFile` is downloaded as `NAME.part` and renamed when it is complete and its checksum is
right; otherwise `FetchError` is raised, and the next call requests the missing bytes (HTTP ranges,
RFC 9110, section 14). `DownloadProgress` events report how far it is.
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
class RemoteFile:
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
class DownloadProgress:
    """How much of a remote is there, in bytes; `total` is 0 while nobody knows it."""

    name: str
    done: int
    total: int


def fetch(
    remote: RemoteFile, folder: Path, *, patience: float = PATIENCE, pause: float = 1.0
) -> Iterator[DownloadProgress]:
    """Bring a remote into a folder; goes on with what is there. Raises `FetchError`."""
    final, part = folder / remote.name, folder / f"{remote.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if final.exists():
        yield DownloadProgress(remote.name, final.stat().st_size, final.stat().st_size)
        return
    fruitless, begun_anew = 0, False
    while True:
        before = _size(part)
        try:
            for done, total in _receive(remote, part, patience):
                yield DownloadProgress(remote.name, done, total or remote.size)
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it is an answer, too, with its connection
            _give_up_if_hopeless(remote, error)
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless and _is_whole(remote, part):  # and the server said more would come
                break
            if fruitless >= TRIES:
                raise FetchError(
                    f"{remote.address} does not come: {_reason(error)} ({_size(part):,} bytes are "
                    "kept; the same command goes on)"
                ) from None
            yield DownloadProgress(
                remote.name, _size(part), remote.size
            )  # here, too, it may be stopped
            time.sleep(pause * fruitless)
            continue
        wrong = _find_difference(remote, part)
        if not wrong:
            break
        part.unlink()
        if begun_anew:  # once is chance, or a file that changed on the way
            raise FetchError(f"{remote.address} is not the file it should be: {wrong}")
        begun_anew = True
    part.replace(final)


def _receive(remote: RemoteFile, part: Path, patience: float) -> Iterator[tuple[int, int]]:
    """Append what is missing; bytes so far, and of the whole as the server says."""
    have = _size(part)
    headers = {"User-Agent": f"cutline/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(remote.address, headers=headers), timeout=patience)
    except HTTPError as error:
        if error.code == 416 and have:  # nothing is left to ask for: the checksum will say
            return
        raise
    with response:
        start, total = _place(response)
        _refuse_endless(remote, part, total)
        if start not in (0, have):
            raise HTTPException(f"byte {start} came where byte {have} was asked for")
        if start < have:  # a server that ignores ranges
            part.unlink()
            have = 0
        with open_to_append(part) as file:
            while piece := response.read(PIECE):
                file.write(piece)
                have += len(piece)
                _refuse_endless(remote, part, have)
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


def _refuse_endless(remote: RemoteFile, part: Path, size: int) -> None:
    if size > remote.most:
        part.unlink(missing_ok=True)
        raise FetchError(
            f"{remote.address} is not the file it should be: it has more than {remote.most:,} bytes"
        )


def _give_up_if_hopeless(remote: RemoteFile, error: Exception) -> None:
    """Trying again helps a broken line; it does not help a file that is not there."""
    if isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in (408, 429):
        raise FetchError(f"{remote.address} is not to be had: {error.code} {error.reason}")
    if isinstance(error, OSError) and not isinstance(error, URLError) and error.filename:
        raise FetchError(f"{error.filename} cannot be written: {error.strerror}")
    if isinstance(error, OSError) and error.errno == 28:
        raise FetchError(f"{remote.name}: the disk is full; make room, the same command goes on")


def _find_difference(remote: RemoteFile, part: Path) -> str:
    """What is not as it should be, or nothing."""
    if remote.md5 and (found := digest(part, "md5")) != remote.md5:
        return f"its MD5 is {found}, and must be {remote.md5}"
    return ""


def _is_whole(remote: RemoteFile, part: Path) -> bool:
    """Whether a checksum says so."""
    return bool(remote.md5) and part.exists() and not _find_difference(remote, part)


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
