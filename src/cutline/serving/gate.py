"""What a request must pass before its body is read, and how long the body may take.

In order: is it from this site, has it the token, is it small enough, is there room. So an
overloaded server spends next to nothing on what it refuses.
"""

import asyncio
import hmac
import logging
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutline.serving.batching import Batcher
from cutline.serving.errors import RequestError, error_response
from cutline.serving.metrics import Metrics
from cutline.serving.settings import Settings

LOGGER = logging.getLogger(__name__)

BODY_SECONDS = 10.0
"""For a body to arrive, and a second more for every `BYTES_A_SECOND` that came."""
BYTES_A_SECOND = 100_000
FEWEST_QUEUED = 16
"""Requests that are accepted however slow the machine is."""
REFUSAL_SECONDS = 0.5
"""Before an overloaded server refuses: clients that ask again at once must not keep it busy."""
MOST_REFUSED = 256
"""Requests that wait for their refusal; more are refused at once."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 2 * 10**6
"""What a refused client may still send: were it cut off, it might not read the answer."""
OPEN_PATHS = ("/health",)
"""These need no token."""


class Room:
    """Counts what was accepted and is not answered yet, in requests and in bytes."""

    def __init__(self, settings: Settings, batcher: Batcher, metrics: Metrics) -> None:
        self._settings, self._batcher, self._metrics = settings, batcher, metrics
        self._pictures = self._bytes = 0

    @property
    def most_pictures(self) -> int:
        """As many as are captioned within the seconds that work may wait."""
        return max(
            FEWEST_QUEUED, int(self._settings.queued_seconds / self._batcher.seconds_a_picture)
        )

    @contextmanager
    def take(self, *, pictures: int = 0, size: int = 0) -> Iterator[Callable[[int], None]]:
        """Occupy room; what is yielded enlarges it to so many bytes.

        Both raise `RequestError` 503 where there is too little.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if not self._has(size=size - held):
                raise overloaded()
            self._add(0, size - held)
            held = size

        if not self._has(pictures=pictures, size=size):
            raise overloaded()
        self._add(pictures, 0)
        try:
            hold(size)
            yield hold
        finally:
            self._add(-pictures, -held)

    def _has(self, *, pictures: int = 0, size: int = 0) -> bool:
        return (
            self._pictures + pictures <= self.most_pictures
            and self._bytes + size <= self._settings.queued_bytes
        )

    def _add(self, pictures: int, size: int) -> None:
        self._pictures += pictures
        self._bytes += size
        self._metrics.add("queue_pictures", pictures)
        self._metrics.add("queue_bytes", size)


class Gate:
    """Hands requests with their whole bodies to an application, and answers the others."""

    def __init__(self, app: ASGIApp, *, settings: Settings, room: Room, metrics: Metrics) -> None:
        self._app, self._settings, self._room, self._metrics = app, settings, room, metrics
        self._refusing = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            self._insist_on_permission(scope)
            if scope["method"] == "POST":
                await self._run_with_body(scope, receive, keep)
            else:
                await self._run(scope, receive, keep)
        except RequestError as error:
            await self._refuse(error, scope, receive, send)
            return
        for message in answer:  # only now: a slow reader must not occupy room
            await send(message)

    def _insist_on_permission(self, scope: Scope) -> None:
        """Raises `RequestError` for other sites' pages and for clients without the token."""
        headers = Headers(scope=scope)
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if scope["method"] == "POST" and foreign and not self._is_allowed(headers.get("origin")):
            raise RequestError(403, "pages of other sites may not use this server (--cors)")
        token = self._settings.token
        if token and scope["path"] not in OPEN_PATHS and not _shows(headers, token):
            asks = {"WWW-Authenticate": 'Basic realm="cutline", charset="UTF-8"'}
            raise RequestError(401, "this server needs its token as bearer token", headers=asks)

    def _is_allowed(self, origin: str | None) -> bool:
        return origin in self._settings.origins or "*" in self._settings.origins

    async def _run_with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises `RequestError` for a request whose body is not taken, or not whole."""
        size = self._declared_size(scope)
        with self._room.take(pictures=1, size=size) as hold:
            bodies = [await self._read_body(receive, size, hold)]

            async def replay() -> Message:
                body = bodies.pop() if bodies else b""  # from here on the application has it alone
                return {"type": "http.request", "body": body, "more_body": False}

            await self._run(scope, replay, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RequestError as error:
            response = error_response(scope["path"], error)
        except Exception:  # any: the client learns that it was not its fault, and nothing else
            LOGGER.exception("a request could not be answered")
            failure = RequestError(500, "the server failed; its log says why")
            response = error_response(scope["path"], failure)
        else:
            return
        await response(scope, receive, send)

    def _declared_size(self, scope: Scope) -> int:
        """What the client says; 0 of a body in chunks."""
        told = Headers(scope=scope).get("content-length", "0")
        size = int(told) if told.isdecimal() else 0  # the HTTP parser refused all else
        self._insist_on_size(size)
        return size

    def _insist_on_size(self, size: int) -> None:
        most = self._settings.body_bytes
        if size > most:
            raise RequestError(413, f"a request has at most {most / 1e6:g} MB")

    async def _read_body(
        self, receive: Receive, declared: int, hold: Callable[[int], None]
    ) -> bytes:
        chunks: list[bytes] = []
        size, began = 0, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BODY_SECONDS) as clock:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "the client went away")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    self._insist_on_size(size)
                    if size > declared:
                        hold(size)
                    if not message.get("more_body"):
                        return b"".join(chunks)
                    clock.reschedule(began + BODY_SECONDS + size / BYTES_A_SECOND)
        except TimeoutError:
            raise RequestError(408, "the body did not come in time") from None

    async def _refuse(
        self, error: RequestError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer first, then let the client finish sending for a while, so that it can read."""
        self._metrics.add("refusals_total", 1, status=str(error.status))
        if error.status == 503 and self._refusing < MOST_REFUSED:
            self._refusing += 1
            await asyncio.sleep(REFUSAL_SECONDS)
            self._refusing -= 1
        response = error_response(scope["path"], error)
        headers = [*response.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if scope["method"] == "POST" and error.status != 408:
            await _discard_body(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def overloaded() -> RequestError:
    """The refusal of a server that has as much work as it can do in time."""
    return RequestError(503, "too much is waiting: try again", headers={"Retry-After": "1"})


async def _discard_body(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while size < LINGER_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _shows(headers: Headers, token: str) -> bool:
    """Whether a client has the token: as bearer token, or as a browser's password (Basic)."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    given = shown.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token.encode())
