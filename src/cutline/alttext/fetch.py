"""Downloads images from untrusted URLs: public addresses only, with size and time limits.

A host name is resolved once, all its addresses must be public (RFC 6890), and the connection goes
to such an address, so that DNS rebinding is impossible. Redirects are treated the same way, and
one deadline covers everything from the first name resolution to the last byte.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv6Network, ip_address
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from cutline.errors import FetchError
from cutline.version import __version__

CHUNK = 2**16
_REDIRECTS = (301, 302, 303, 307, 308)
_UNICAST = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/23"))
"""6to4 and Teredo addresses, which may embed a private one."""


@dataclass(frozen=True)
class Limits:
    """Limits for one download."""

    size: int = 20 * 10**6
    """Bytes."""
    seconds: float = 20.0
    """For everything: name resolution, redirects, transfer."""
    redirects: int = 4


def is_public(address: str) -> bool:
    """Whether an IP address is public: not private, loopback, link-local …"""
    ip = ip_address(address.partition("%")[0])
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    return ip.version == 4 or (ip in _UNICAST and not any(ip in net for net in _TUNNELS))


def fetch_picture(
    address: str,
    *,
    allowed: Callable[[str], bool] = is_public,
    limits: Limits | None = None,
) -> bytes:
    """Download an image; `allowed` decides which IP addresses may be connected to.

    Raises `FetchError` if that fails, or the response is too large or not an image.
    """
    limits, asked = limits or Limits(), address
    deadline = monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        try:
            answer = _request(asked, allowed, limits, deadline)
        except _DeadlineError:
            raise FetchError(f"{address} took longer than {limits.seconds:g} seconds") from None
        except (OSError, HTTPException, ValueError) as error:
            raise FetchError(f"{address} cannot be downloaded: {_reason(error)}") from None
        if isinstance(answer, bytes):
            return answer
        asked = answer
    raise FetchError(f"{address} is redirected more than {limits.redirects} times")


class _DeadlineError(Exception):
    """The deadline has passed."""


def _request(
    address: str, allowed: Callable[[str], bool], limits: Limits, deadline: float
) -> bytes | str:
    """The image, or the URL to which the server redirects."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{address} is not an http or https address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    ip = _resolve(parts.hostname, port, allowed, deadline)
    left = _time_left(deadline)
    connection = _Connection(parts, port, ip, left)
    alarm = Timer(left, connection.abandon)  # a slow trickle of bytes would never time out
    alarm.start()
    try:
        connection.request("GET", _path_of(parts), headers=_HEADERS)
        response = connection.getresponse()
        if response.status in _REDIRECTS:
            return urljoin(address, response.headers.get("Location", ""))
        return _read(address, response, limits.size)
    finally:
        alarm.cancel()
        connection.close()
        if connection.is_abandoned:
            raise _DeadlineError


def _time_left(deadline: float) -> float:
    """Seconds until the deadline; raises `_DeadlineError` after it."""
    if (left := deadline - monotonic()) <= 0:
        raise _DeadlineError
    return left


_HEADERS = {
    "User-Agent": f"cutline/{__version__}",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}


def _resolve(host: str, port: int, allowed: Callable[[str], bool], deadline: float) -> str:
    """An IP address of a host, all of which must be allowed; resolves `0x7f.1`, too."""
    found = _look_up(host, port, deadline)
    addresses = [str(each[4][0]) for each in found]
    for each in addresses:
        if not allowed(each):
            raise FetchError(f"{host} is refused: {each} is not a public address")
    return addresses[0]


def _look_up(host: str, port: int, deadline: float) -> list[Any]:
    """Resolve a name; it has no timeout of its own, so a late one is abandoned in its thread."""
    answers = SimpleQueue[Any]()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # re-raised by the caller
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_time_left(deadline))
    except Empty:
        raise _DeadlineError from None
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


class _Connection(HTTPConnection):
    """Connects to the IP address that was checked, without resolving the name again."""

    def __init__(self, parts: SplitResult, port: int, ip: str, seconds: float) -> None:
        super().__init__(str(parts.hostname), port, timeout=seconds)
        self.ip, self.is_secure = ip, parts.scheme == "https"
        self.default_port = 443 if self.is_secure else 80  # left out of the `Host` header
        self.is_abandoned = False
        self.wire: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the IP address; the certificate must be valid for the host name."""
        plain = socket.create_connection((self.ip, self.port), self.timeout)
        self.sock = self.wire = plain
        if self.is_abandoned:  # before there was a socket to shut down
            raise TimeoutError
        if self.is_secure:
            context = ssl.create_default_context()
            secure = context.wrap_socket(
                plain, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = self.wire = secure  # so that a handshake can be abandoned, too
            secure.do_handshake()

    def abandon(self) -> None:
        """Shut the socket down, whatever it is waiting for."""
        self.is_abandoned = True
        if self.wire:
            with suppress(OSError):  # already closed
                self.wire.shutdown(socket.SHUT_RDWR)


def _path_of(parts: SplitResult) -> str:
    """The request target, with all special characters quoted."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return f"{path}?{query}" if query else path


def _read(address: str, response: HTTPResponse, most: int) -> bytes:
    if response.status != 200:
        raise FetchError(f"{address} cannot be downloaded: {response.status} {response.reason}")
    kind = response.headers.get_content_type()
    if not kind.startswith("image/"):
        raise FetchError(f"{address} is {kind}, not an image")
    pieces, size, declared = [], 0, response.length
    while piece := response.read(CHUNK):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise FetchError(f"{address} is larger than {most / 10**6:g} megabytes")
    if declared is not None and size < declared:
        raise FetchError(f"{address} is truncated: {size:,} of {declared:,} bytes arrived")
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
