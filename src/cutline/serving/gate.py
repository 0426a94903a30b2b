"""Admission control: checks a request before its body is read, and limits the time for the body.

The checks, in order: origin, token, size, capacity. Rejecting a request therefore costs very little
even when the server is overloaded.
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
"""Time for a body to arrive, plus one second for every `BYTES_A_SECOND` received."""
BYTES_A_SECOND = 100_000
MIN_QUEUED = 16
"""Number of pictures that may always be queued, even on a slow machine."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 2 * 10**6
"""Limits for discarding the body of a rejected request. If the connection were closed while the
client is still sending, it might never see the response."""
OPEN_PATHS = ("/health",)
"""Paths that need no token."""


class Capacity:
    """The capacity of the queue, in pictures and in bytes."""

    def __init__(self, settings: Settings, batcher: Batcher, metrics: Metrics) -> None:
        self._settings, self._batcher, self._metrics = settings, batcher, metrics
        self._pictures = self._bytes = 0

    @property
    def max_pictures(self) -> int:
        """The number of pictures that can be captioned in `queued_seconds`."""
        return max(MIN_QUEUED, int(self._settings.queued_seconds / self._batcher.seconds_a_picture))

    @contextmanager
    def reserve(self, *, pictures: int = 0, size: int = 0) -> Iterator[Callable[[int], None]]:
        """Reserve capacity in a `with` block; yields a function that changes the size reserved.

        Both raise a `RequestError` with status 503 if the capacity is exceeded.
        """
        held = 0

        def resize(size: int) -> None:
            nonlocal held
            if not self._fits(size=size - held):
                raise overloaded()
            self._add(0, size - held)
            held = size

        if not self._fits(pictures=pictures, size=size):
            raise overloaded()
        self._add(pictures, 0)
        try:
            resize(size)
            yield resize
        finally:
            self._add(-pictures, -held)

    def _fits(self, *, pictures: int = 0, size: int = 0) -> bool:
        return (
            self._pictures + pictures <= self.max_pictures
            and self._bytes + size <= self._settings.queued_bytes
        )

    def _add(self, pictures: int, size: int) -> None:
        self._pictures += pictures
        self._bytes += size
        self._metrics.add("queue_pictures", pictures)
        self._metrics.add("queue_bytes", size)


class Gate:
    """ASGI middleware that passes on requests with complete bodies, and rejects the others."""

    def __init__(
        self, app: ASGIApp, *, settings: Settings, capacity: Capacity, metrics: Metrics
    ) -> None:
        self._app, self._settings, self._capacity, self._metrics = app, settings, capacity, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            self._check_access(scope)
            if scope["method"] == "POST":
                await self._run_with_body(scope, receive, keep)
            else:
                await self._run(scope, receive, keep)
        except RequestError as error:
            await self._reject(error, scope, receive, send)
            return
        for message in answer:  # only now, so that a slow reader does not take up capacity
            await send(message)

    def _check_access(self, scope: Scope) -> None:
        """Raise `RequestError` for pages of other sites and for clients without the token."""
        headers = Headers(scope=scope)
        is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if scope["method"] == "POST" and is_foreign and not self._is_allowed(headers.get("origin")):
            raise RequestError(
                403, "this server does not accept requests from the pages of other sites (--cors)"
            )
        token = self._settings.token
        if token and scope["path"] not in OPEN_PATHS and not _has_token(headers, token):
            challenge = {"WWW-Authenticate": 'Basic realm="cutline", charset="UTF-8"'}
            raise RequestError(
                401, "send the token of this server as a bearer token", headers=challenge
            )

    def _is_allowed(self, origin: str | None) -> bool:
        return origin in self._settings.origins or "*" in self._settings.origins

    async def _run_with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raise `RequestError` if the body is not accepted or does not arrive."""
        size = self._declared_size(scope)
        with self._capacity.reserve(pictures=1, size=size) as resize:
            bodies = [await self._read_body(receive, size, resize)]

            async def replay() -> Message:
                body = bodies.pop() if bodies else b""  # no reference stays here
                return {"type": "http.request", "body": body, "more_body": False}

            await self._run(scope, replay, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except RequestError as error:
            response = error_response(scope["path"], error)
        except Exception:  # details only go to the log
            LOGGER.exception("a request failed")
            failure = RequestError(500, "internal error; see the log of the server")
            response = error_response(scope["path"], failure)
        else:
            return
        await response(scope, receive, send)

    def _declared_size(self, scope: Scope) -> int:
        """The Content-Length; 0 for a chunked body."""
        declared = Headers(scope=scope).get("content-length", "0")
        size = int(declared) if declared.isdecimal() else 0  # h11 rejects anything else
        self._check_size(size)
        return size

    def _check_size(self, size: int) -> None:
        most = self._settings.body_bytes
        if size > most:
            raise RequestError(413, f"the request is larger than {most / 1e6:g} MB")

    async def _read_body(
        self, receive: Receive, declared: int, resize: Callable[[int], None]
    ) -> bytes:
        chunks: list[bytes] = []
        size, began = 0, asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BODY_SECONDS) as clock:
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "the client disconnected")
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    self._check_size(size)
                    if size > declared:
                        resize(size)
                    if not message.get("more_body"):
                        return b"".join(chunks)
                    clock.reschedule(began + BODY_SECONDS + size / BYTES_A_SECOND)
        except TimeoutError:
            raise RequestError(408, "the body did not arrive in time") from None

    async def _reject(
        self, error: RequestError, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Respond, then discard the rest of the body so that the client can read the response."""
        self._metrics.add("rejections_total", 1, status=str(error.status))
        if error.status == 503:  # slows down clients that retry immediately
            await asyncio.sleep(self._settings.queued_seconds)
        response = error_response(scope["path"], error)
        headers = [*response.raw_headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        if scope["method"] == "POST" and error.status != 408:
            await _discard_body(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def overloaded() -> RequestError:
    """The error for a request that exceeds the capacity."""
    return RequestError(503, "the server is busy: try again later", headers={"Retry-After": "1"})


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


def _has_token(headers: Headers, token: str) -> bool:
    """Whether a client sent the token: as a bearer token, or as a password (Basic)."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    given = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            given = b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token.encode())
