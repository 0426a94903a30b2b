"""A picture from a stranger's server: only of the public internet, only so large, only so long.

Enters: an http(s) address out of somebody's page. Leaves: bytes, or a `FetchError`. A name is
resolved once, every address that it has must be public (RFC 6890), and it is that address which is
connected to: no second answer of a name server can lead elsewhere. Redirects are led the same way,
and all of it together, from the first name to the last byte, has one limit of time.
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

PIECE = 2**16
_REDIRECTS = (301, 302, 303, 307, 308)
_UNICAST = IPv6Network("2000::/3")
_TUNNELS = (IPv6Network("2002::/16"), IPv6Network("2001::/23"))
"""6to4, Teredo: addresses in which another, private one may be wrapped."""


@dataclass(frozen=True)
class Limits:
    """What one picture may cost."""

    size: int = 20 * 10**6
    """Bytes."""
    seconds: float = 20.0
    """From the first look-up of a name to the last byte, redirects included."""
    redirects: int = 4


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet: not private, loopback, link-local …"""
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
    """The bytes of a picture; `allowed` says of an IP address whether it may be connected to.

    Raises `FetchError` for a picture that does not come, is too large, or is none.
    """
    limits, asked = limits or Limits(), address
    deadline = monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        try:
            answer = _ask(asked, allowed, limits, deadline)
        except _LateError:
            raise FetchError(f"{address} takes more than {limits.seconds:g} seconds") from None
        except (OSError, HTTPException, ValueError) as error:
            raise FetchError(f"{address} does not come: {_reason(error)}") from None
        if isinstance(answer, bytes):
            return answer
        asked = answer
    raise FetchError(f"{address} is redirected more than {limits.redirects} times")


class _LateError(Exception):
    """The time is over."""


def _ask(
    address: str, allowed: Callable[[str], bool], limits: Limits, deadline: float
) -> bytes | str:
    """The picture, or the address to which the server sends us."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"{address} is not an http or https address")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    ip = _resolve(parts.hostname, port, allowed, deadline)
    left = _left(deadline)
    connection = _Connection(parts, port, ip, left)
    alarm = Timer(left, connection.abandon)  # a byte now and then would never time out
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
            raise _LateError


def _left(deadline: float) -> float:
    """Seconds until then."""
    if (left := deadline - monotonic()) <= 0:
        raise _LateError
    return left


_HEADERS = {
    "User-Agent": f"cutline/{__version__}",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}


def _resolve(host: str, port: int, allowed: Callable[[str], bool], deadline: float) -> str:
    """An IP address of a host, all of which must be allowed; `0x7f.1` is resolved as well."""
    found = _look_up(host, port, deadline)
    addresses = [str(each[4][0]) for each in found]
    for each in addresses:
        if not allowed(each):
            raise FetchError(f"{host} is not fetched from: {each} is no public address")
    return addresses[0]


def _look_up(host: str, port: int, deadline: float) -> list[Any]:
    """What a name means; a look-up knows no limit, so a late one is left behind in its thread."""
    answers = SimpleQueue[Any]()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # raised again where it is waited for
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=_left(deadline))
    except Empty:
        raise _LateError from None
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


class _Connection(HTTPConnection):
    """To the IP address that was found allowed, whatever the name may mean by now."""

    def __init__(self, parts: SplitResult, port: int, ip: str, seconds: float) -> None:
        super().__init__(str(parts.hostname), port, timeout=seconds)
        self.ip, self.is_secure = ip, parts.scheme == "https"
        self.default_port = 443 if self.is_secure else 80  # the header `Host` leaves it out
        self.is_abandoned = False
        self.wire: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the address, not to the name; the certificate must be the name's."""
        plain = socket.create_connection((self.ip, self.port), self.timeout)
        self.sock = self.wire = plain
        if self.is_abandoned:  # while there was nothing to break yet
            raise TimeoutError
        if self.is_secure:
            context = ssl.create_default_context()
            secure = context.wrap_socket(
                plain, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = self.wire = secure  # a handshake may be abandoned as well
            secure.do_handshake()

    def abandon(self) -> None:
        """Break whatever the socket is waiting for."""
        self.is_abandoned = True
        if self.wire:
            with suppress(OSError):  # it has ended by itself
                self.wire.shutdown(socket.SHUT_RDWR)


def _path_of(parts: SplitResult) -> str:
    """What is asked for, without signs that could end the line."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return f"{path}?{query}" if query else path


def _read(address: str, response: HTTPResponse, most: int) -> bytes:
    if response.status != 200:
        raise FetchError(f"{address} is not to be had: {response.status} {response.reason}")
    kind = response.headers.get_content_type()
    if not kind.startswith("image/"):
        raise FetchError(f"{address} is not a picture but {kind}")
    pieces, size, said = [], 0, response.length
    while piece := response.read(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise FetchError(f"{address} is larger than {most / 10**6:g} megabytes")
    if said is not None and size < said:
        raise FetchError(f"{address} is cut off: {size:,} of {said:,} bytes came")
    return b"".join(pieces)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
