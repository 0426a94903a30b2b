"""The access log: one line per request on standard error, without pictures or file names."""

import json
import logging
import sys
from datetime import UTC, datetime
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cutline.serving.metrics import Metrics

MAX_PATH = 200
INTERFACES = {
    "/caption": "caption",
    "/v1/": "openai",
    "/api/": "ollama",
    "/models/": "huggingface",
    "/model/": "max",
}


class AccessLog:
    """ASGI middleware that logs and counts requests."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, as_json: bool) -> None:
        self._app, self._metrics, self._as_json = app, metrics, as_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record)
        finally:
            self._write(scope, status, perf_counter() - began)

    def _write(self, scope: Scope, status: int, seconds: float) -> None:
        name = _interface_of(scope["path"])
        self._metrics.add("requests_total", 1, interface=name, status=str(status))
        if status == 200 and scope["method"] == "POST":
            self._metrics.observe(seconds)
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": scope["client"][0] if scope.get("client") else "-",
            "method": scope["method"],
            "path": escape(scope["raw_path"].decode("latin-1")[:MAX_PATH]),
            "status": status,
            "seconds": round(seconds, 4),
        }
        line = json.dumps(entry) if self._as_json else " ".join(map(str, entry.values()))
        print(line, file=sys.stderr, flush=True)


def escape(text: str, *, keep: str = "") -> str:
    """Replace characters that are not printable by escapes such as `\\x1b`."""
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape(super().format(record), keep="\n")


def configure_logging() -> None:
    """Write warnings and errors to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("cutline serve: %(message)s"))
    logging.getLogger("cutline").handlers.clear()  # that of the command line
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _interface_of(path: str) -> str:
    if path == "/" or path.startswith("/assets/"):
        return "page"
    return next((name for start, name in INTERFACES.items() if path.startswith(start)), "other")
