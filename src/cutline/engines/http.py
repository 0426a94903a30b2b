"""Requests to a server that may stall, lie or be away: limits, deadlines, retries.

No redirect is followed and no proxy is used: pictures go to the named host, or nowhere.
"""

import json
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Timer
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from cutline.errors import ModelError
from cutline.version import __version__

LARGEST = 10**6
"""Bytes of a response; captions are much smaller."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each retry, at most doubled by chance; `Retry-After` may lengthen them."""
LONGEST_PAUSE = 60.0
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses that may pass."""

Read = TypeVar("Read")


class FailedError(Exception):
    """A request failed; `passing` failures may not happen again after `pause` seconds.

    `repeated` is how often it was repeated before.
    """

    def __init__(self, reason: str, *, passing: bool, status: int = 0, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.passing, self.status, self.pause = passing, status, pause
        self.repeated = 0


@dataclass(frozen=True)
class Server:
    """A server's address, such as `http://127.0.0.1:8080/v1`."""

    address: str
    key: str = ""
    """A bearer token."""
    seconds: float = 120.0
    """Time for one request, from connecting to the last byte."""
    pauses: tuple[float, ...] = PAUSES
    """Seconds before each retry of `ask_again`."""

    def __post_init__(self) -> None:
        parts = self._parts
        try:
            fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            fine = None
        if not fine or parts.query or "@" in parts.netloc:
            raise ModelError(
                f"{self.address!r} is no address of a server such as http://127.0.0.1:8080/v1"
            )

    @property
    def _parts(self) -> SplitResult:
        return urlsplit(self.address)

    def ask(self, path: str, body: Mapping[str, Any] | None, read: Callable[[Any], Read]) -> Read:
        """What `read` finds in the JSON of one response; POST if there is a `body`, else GET.

        Raises `FailedError` for anything else; `read` may raise `LookupError`, `TypeError` or
        `ValueError` for a document of another shape.
        """
        content = self._exchange(path, None if body is None else json.dumps(body).encode())
        try:
            return read(json.loads(content))
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            shown = content[:60].decode("utf8", "replace").strip()
            reason = f"its answer is not understood ({shown or error})"
            raise FailedError(reason, passing=True) from None

    def ask_again(
        self, path: str, body: Mapping[str, Any], read: Callable[[Any], Read]
    ) -> tuple[Read, int]:
        """As `ask`, repeated after passing failures; also how often it was repeated."""
        number = 0
        while True:
            try:
                return self.ask(path, body, read), number
            except FailedError as error:
                error.repeated = number
                if not error.passing or number == len(self.pauses):
                    raise
                pause = self.pauses[number] * random.uniform(1, 2)
                time.sleep(max(pause, min(error.pause, LONGEST_PAUSE)))
                number += 1

    def _exchange(self, path: str, body: bytes | None) -> bytes:
        parts, began = self._parts, time.monotonic()
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=self.seconds)
        late: Timer | None = None
        try:
            connection.connect()
            # a trickle of bytes never times out by itself
            late = Timer(self.seconds, _abandon, [connection.sock])
            late.daemon = True
            late.start()
            target = parts.path.rstrip("/") + path
            connection.request("GET" if body is None else "POST", target, body, self._headers)
            return _read(connection.getresponse())
        except (OSError, HTTPException, ValueError) as error:
            told = getattr(error, "strerror", None) or str(error)
            reason = " ".join(told.split()) or type(error).__name__
            if time.monotonic() - began >= self.seconds:
                reason = f"it took longer than {self.seconds:g} seconds"
            raise FailedError(reason, passing=True) from None
        finally:
            if late:
                late.cancel()
            connection.close()

    @property
    def _headers(self) -> dict[str, str]:
        known = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"cutline/{__version__}",
            **known,
        }


def _abandon(wire: socket.socket) -> None:
    """Shut a socket down, whatever it is waiting for."""
    with suppress(OSError):  # already closed
        wire.shutdown(socket.SHUT_RDWR)


def _read(response: HTTPResponse) -> bytes:
    """The body of a response. Raises `FailedError` unless it is a whole success."""
    content = response.read(LARGEST + 1)
    if response.status != 200:
        pause = 0.0
        with suppress(ValueError):  # it may be a date
            pause = float(response.headers.get("Retry-After", ""))
        told = _message_of(content)
        reason = f"it answered {response.status}{f' ({told})' if told else ''}"
        passing = response.status in BUSY
        raise FailedError(reason, passing=passing, status=response.status, pause=pause)
    if len(content) > LARGEST:
        raise FailedError("its answer has more than a megabyte", passing=True)
    if response.length:
        raise FailedError("its answer breaks off", passing=True)
    return content


def _message_of(content: bytes) -> str:
    """The message of an error in JSON, as OpenAI and Ollama write it."""
    try:
        error = json.loads(content)["error"]
        told = error["message"] if isinstance(error, dict) else error
        return " ".join(str(told).split())[:200]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
