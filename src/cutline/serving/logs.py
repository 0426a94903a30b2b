"""One line a request on standard error, as text or as JSON; never a picture, or a file's name."""

import json
import logging
import sys
from datetime import UTC, datetime
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutline.serving.metrics import Metrics

LONGEST_PATH = 200
INTERFACES = {
    "/caption": "caption",
    "/v1/": "openai",
    "/api/": "ollama",
    "/models/": "huggingface",
    "/model/": "max",
}


class AccessLog:
    """Writes and counts every request that an application answers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, as_json: bool) -> None:
        self._app, self._metrics, self._as_json = app, metrics, as_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            self._write(scope, status, perf_counter() - began)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        name = _interface_of(scope["path"])
        self._metrics.add("requests_total", 1, interface=name, status=str(status))
        if status == 200 and scope["method"] == "POST":
            self._metrics.observe(seconds)
        told = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": scope["client"][0] if scope.get("client") else "-",
            "method": scope["method"],
            "path": escape(scope["raw_path"].decode("latin-1")[:LONGEST_PATH]),
            "status": status,
            "seconds": round(seconds, 4),
        }
        line = json.dumps(told) if self._as_json else " ".join(map(str, told.values()))
        print(line, file=sys.stderr, flush=True)


def escape(text: str, *, keep: str = "") -> str:
    """Characters that do not print spelled out: none reaches a terminal."""
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape(super().format(record), keep="\n")


def configure_logging() -> None:
    """Warnings of the server's libraries, and failures, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("cutline serve: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _interface_of(path: str) -> str:
    if path == "/" or path.startswith("/assets/"):
        return "page"
    return next((name for start, name in INTERFACES.items() if path.startswith(start)), "other")
