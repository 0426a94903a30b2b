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

CHUNK_SIZE = 2**18
MAX_ATTEMPTS = 6
"""Consecutive attempts without progress after which a download fails."""
TIMEOUT = 30.0
"""Seconds without data after which the connection is reopened."""


MARGIN, MAX_BYTES = 10 * 10**6, 100 * 10**9
"""Bytes by which a file may exceed its expected size and 10 %, and the limit for files of unknown
size, so that an endless response does not fill the disk."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to download."""

    name: str
    address: str
    size: int
    """Expected size in bytes; 0 if unknown."""
    md5: str | None = None
    contents: str = ""
    """SHA-256 and name of files in the archive, one per line, if its own checksum is unknown."""

    @property
    def max_bytes(self) -> int:
        """The maximum number of bytes that are accepted."""
        return self.size + self.size // 10 + MARGIN if self.size else MAX_BYTES


@dataclass(frozen=True)
class DownloadProgress:
    """Progress of a download in bytes; `total` is 0 if unknown."""

    name: str
    done: int
    total: int


def fetch(
    remote: RemoteFile, folder: Path, *, timeout: float = TIMEOUT, pause: float = 1.0
) -> Iterator[DownloadProgress]:
    """Download a file into a folder, resuming a partial download; raises `FetchError`."""
    final, part = folder / remote.name, folder / f"{remote.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    if final.exists():
        yield DownloadProgress(remote.name, final.stat().st_size, final.stat().st_size)
        return
    failures, restarted = 0, False
    while True:
        before = _size(part)
        try:
            for done, total in _receive(remote, part, timeout):
                yield DownloadProgress(remote.name, done, total or remote.size)
        except (OSError, HTTPException) as error:
            if isinstance(error, HTTPError):
                error.close()  # it holds the connection
            _raise_if_permanent(remote, error)
            failures = 0 if _size(part) > before else failures + 1
            if failures and _is_whole(remote, part):  # although the server announced more
                break
            if failures >= MAX_ATTEMPTS:
                raise FetchError(
                    f"{remote.address} cannot be downloaded: {_reason(error)} ({_size(part):,} "
                    "bytes are kept; run the command again to resume)"
                ) from None
            yield DownloadProgress(
                remote.name, _size(part), remote.size
            )  # here, too, it may be stopped
            time.sleep(pause * failures)
            continue
        wrong = _find_difference(remote, part)
        if not wrong:
            break
        part.unlink()
        if restarted:  # the first time, the file may have changed during the download
            raise FetchError(f"{remote.address} is not the expected file: {wrong}")
        restarted = True
    part.replace(final)


def _receive(remote: RemoteFile, part: Path, timeout: float) -> Iterator[tuple[int, int]]:
    """Append the missing bytes; yields the bytes so far and the total that the server reports."""
    have = _size(part)
    headers = {"User-Agent": f"cutline/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(remote.address, headers=headers), timeout=timeout)
    except HTTPError as error:
        if error.code == 416 and have:  # already complete, if the checksum agrees
            return
        raise
    except MemoryError:  # urllib reads the body of a redirect whole, however long it says it is
        raise HTTPException("the server redirects with a body larger than memory") from None
    except ValueError as error:  # a malformed address, also of a redirect
        raise FetchError(f"{remote.address} cannot be downloaded: {error}") from None
    with response:
        start, total = _range_of(response)
        _check_size(remote, part, total)
        if start not in (0, have):
            raise HTTPException(f"the response starts at byte {start} instead of {have}")
        if start < have:  # a server that ignores ranges
            part.unlink()
            have = 0
        with open_to_append(part) as file:
            while piece := response.read(CHUNK_SIZE):
                file.write(piece)
                have += len(piece)
                _check_size(remote, part, have)
                yield have, total
    if have < total:
        raise HTTPException(f"the connection was closed after {have:,} of {total:,} bytes")


def _range_of(response: HTTPResponse | addinfourl) -> tuple[int, int]:
    """The offset at which the response starts, and the total size; 0 if not given."""
    value = response.headers.get("Content-Range", "")
    if response.status == 206 and value.startswith("bytes "):
        span, _, whole = value.removeprefix("bytes ").partition("/")
        return _number(span.partition("-")[0]), _number(whole)
    return 0, _number(response.headers.get("Content-Length", ""))


def _number(value: str) -> int:
    """Parse a length from a header; 0 if it is missing or absurd."""
    return int(value) if re.fullmatch("[0-9]{1,19}", value) else 0


def _check_size(remote: RemoteFile, part: Path, size: int) -> None:
    if size > remote.max_bytes:
        part.unlink(missing_ok=True)
        raise FetchError(
            f"{remote.address} is not the expected file: it exceeds {remote.max_bytes:,} bytes"
        )


def _raise_if_permanent(remote: RemoteFile, error: Exception) -> None:
    """Raise `FetchError` for errors that retrying does not fix, such as a missing file."""
    if isinstance(error, HTTPError) and 400 <= error.code < 500 and error.code not in (408, 429):
        raise FetchError(f"{remote.address} cannot be downloaded: {error.code} {error.reason}")
    if isinstance(error, OSError) and not isinstance(error, URLError) and error.filename:
        raise FetchError(f"{error.filename} cannot be written: {error.strerror}")
    if isinstance(error, OSError) and error.errno == 28:
        raise FetchError(
            f"{remote.name}: the disk is full; free some space and run the command again"
        )


def _find_difference(remote: RemoteFile, part: Path) -> str:
    """What is wrong with a file, or an empty string."""
    if remote.md5 and (found := digest(part, "md5")) != remote.md5:
        return f"its MD5 is {found}, but should be {remote.md5}"
    return ""


def _is_whole(remote: RemoteFile, part: Path) -> bool:
    """Whether the file is complete according to its checksum."""
    return bool(remote.md5) and part.exists() and not _find_difference(remote, part)


def digest(path: Path, kind: str) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _reason(error: Exception) -> str:
    """The error as one printable line."""
    told = str(error.reason if isinstance(error, URLError) else error)
    shown = "".join(sign if sign.isprintable() else " " for sign in told)
    return " ".join(shown.split()) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
