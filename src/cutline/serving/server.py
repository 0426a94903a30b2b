"""Runs the server: socket, processes, signals, and connection limits that uvicorn lacks."""

import asyncio
import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cutline.errors import CutlineError
from cutline.serving.app import create_app
from cutline.serving.logs import configure_logging
from cutline.serving.metrics import Metrics
from cutline.serving.settings import Settings

HEAD_SECONDS = 10.0
"""Time for the head of a request to arrive."""
ANSWER_SECONDS = 30.0
"""Time for a client to read its response."""
GRACE_SECONDS = 30
"""Time to finish accepted requests when the server stops."""
MAX_CONNECTIONS = 512
BACKLOG = 1024
M_MMAP_THRESHOLD = -3
"""The constant of that name in malloc.h."""
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Protocol(H11Protocol):
    """HTTP with a limit on connections, and time limits for request heads and slow readers."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the head, or close the connection if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
        else:
            self._limit(HEAD_SECONDS, self._end_slow_head)

    def data_received(self, data: bytes) -> None:
        """Stop the time limit when the head is complete."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._limit()
        elif self._timer is None:
            self._limit(HEAD_SECONDS, self._end_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit."""
        self._limit()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the time limit for a client that does not read."""
        super().pause_writing()
        self._limit(ANSWER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit: the client has read."""
        super().resume_writing()
        self._limit()

    def on_response_complete(self) -> None:
        """Start the time limit for a client that has not read all of the response."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._limit(ANSWER_SECONDS, self._end_slow_reader)

    def _limit(self, seconds: float = 0.0, end: Callable[[], None] | None = None) -> None:
        """Replace the time limit; without arguments, remove it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, end) if end else None

    def _end_slow_head(self) -> None:
        if self.conn.trailing_data[0] and not self.transport.is_closing():
            self.transport.write(TIMEOUT)
        self.transport.close()

    def _end_slow_reader(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()


class _Server(uvicorn.Server):
    """A server that exits with 0 after SIGINT or SIGTERM."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(
    settings: Settings, *, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> None:
    """Serve until SIGINT or SIGTERM, then finish the accepted requests.

    With several `workers`, that many processes share the port. Raises `CutlineError` if the address
    is not available, and `ModelError` if the model does not run.
    """
    with _listen(host, port) as listener:

        def announce() -> None:
            name = f"[{host}]" if ":" in host else host
            print(f"http://{name}:{listener.getsockname()[1]}/", file=sys.stderr, flush=True)

        if workers == 1:
            _run(settings, listener, Metrics(), announce)
        else:
            announce()  # the kernel queues connections until the model is loaded
            _supervise(settings, listener, workers)


def _listen(host: str, port: int) -> socket.socket:
    try:
        [(family, *_, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CutlineError(f"cannot listen on {host}, port {port}: {reason}") from None


def _run(
    settings: Settings,
    listener: socket.socket,
    metrics: Metrics,
    announce: Callable[[], None] = lambda: None,
) -> None:
    """Serve in this process."""
    configure_logging()
    _return_memory()
    config = uvicorn.Config(
        create_app(settings, metrics),
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS,
        headers=HEADERS,
    )
    _Server(config, announce).run(sockets=[listener])


def _return_memory() -> None:
    """Have glibc return large buffers to the system when they are freed, and not reuse them.

    Otherwise its threshold rises to 32 MB, and memory used for pictures of many sizes is never
    released.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 10**6)


def _run_child(
    settings: Settings, listener: socket.socket, metrics: Metrics, serving: ctypes.c_bool
) -> None:
    """Serve in a child process, which stops when its parent dies; sets `serving` once it does."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()

    def announce() -> None:
        serving.value = True

    try:
        _run(settings, listener, metrics, announce)
    except CutlineError as error:
        sys.exit(f"cutline: {error}")


def _stop_with_parent() -> None:
    parent: Any = parent_process()
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _supervise(settings: Settings, listener: socket.socket, workers: int) -> None:
    """Run child processes and restart those that die, until a `KeyboardInterrupt`.

    A process that dies before it serves is not restarted: it would fail in the same way again.
    """
    metrics, context = Metrics(workers), get_context("spawn")

    def start(place: int) -> tuple[SpawnProcess, ctypes.c_bool]:
        serving = RawValue(
            ctypes.c_bool, False
        )  # an Event has a lock, which a kill can leave locked
        process = context.Process(
            target=_run_child, args=(settings, listener, metrics.of(place), serving)
        )
        process.start()
        return process, serving

    running = [start(place) for place in range(workers)]
    try:
        while True:
            wait([process.sentinel for process, _ in running])
            for place, (process, serving) in enumerate(running):
                if process.exitcode is not None:
                    if not serving.value:
                        raise CutlineError("a server process failed to start")
                    running[place] = start(place)
    except KeyboardInterrupt:
        pass  # the normal way to stop
    finally:
        for process, _ in running:
            process.terminate()
        for process, _ in running:
            process.join()
