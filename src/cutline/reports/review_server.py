"""The review page, served to this machine's browser only.

The address holds a random token, and requests that name another host are refused, so that neither
other users nor web sites that the browser has open can read pictures or save verdicts.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cutline.errors import CutlineError, DataError, ImageError
from cutline.io.predictions import PictureLocator
from cutline.reports.html import render_page
from cutline.reports.review import Review
from cutline.reports.thumbnails import encode_thumbnail

HOST = "127.0.0.1"
SIDE = 1024
"""Pixels of the longer side of a picture."""
LARGEST = 100_000
"""Bytes of a request's body."""
COUNT = 50
"""Items in an answer at most."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one review at `url` until `shutdown` is called."""

    daemon_threads = True

    def __init__(self, review: Review, pictures: PictureLocator, *, port: int = 0) -> None:
        """Listen on `port`, or on a free one. Raises `OSError` if it is taken."""
        super().__init__((HOST, port), _Handler)
        self.review, self.pictures = review, pictures
        self.token = token_urlsafe(16)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        self.picture = lru_cache(maxsize=64)(self._picture)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    def _picture(self, item: int) -> bytes:
        path = self.pictures.find(str(self.review.row(item)["path"]))
        return encode_thumbnail(path, side=SIDE).content

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that close a connection early."""


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, answer: Callable[[str, dict[str, str]], None]) -> None:
        parts = urlsplit(self.path)
        _, token, *rest = parts.path.split("/") if parts.path.count("/") > 1 else ("", "", "")
        if self.headers.get("Host") not in self.server.hosts or token != self.server.token:
            self._send_json({"error": "not found"}, status=404)
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        try:
            answer("/".join(rest), query)
        except ImageError as error:
            self._send_json({"error": str(error)}, status=404)
        except (CutlineError, ValueError) as error:
            self._send_json({"error": str(error)}, status=400)

    def _get(self, path: str, query: dict[str, str]) -> None:
        review = self.server.review
        if path == "":
            title = f"Review of {review.path.name}"
            page = render_page("review.html", title, assets="review", served=True)
            self._send("".join(page).encode(), "text/html; charset=utf-8")
        elif path == "items":
            start = int(query.get("start", "0"))
            queue = review.queue(query.get("queue", "sample"))
            items = queue[max(0, start) : max(0, start) + COUNT]
            self._send_json({"total": len(queue), "items": review.describe(items)})
        elif path == "progress":
            self._send_json(self._progress())
        elif path.startswith("picture/"):
            self._send(self.server.picture(int(path.removeprefix("picture/"))), "image/webp")
        else:
            self._send_json({"error": "not found"}, status=404)

    def _post(self, path: str, _: dict[str, str]) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            raise DataError("the request is too large")
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Type") != "application/json" or path != "verdict":
            raise DataError("verdicts are JSON")
        fields = json.loads(body)
        if not isinstance(fields, dict) or not isinstance(fields.get("item"), int):
            raise DataError("a verdict must name its item")
        item = self.server.review.decide(
            fields["item"], fields.get("verdict"), str(fields.get("caption") or "")
        )
        self._send_json({"item": item, "progress": self._progress()})

    def _progress(self) -> dict[str, Any]:
        progress = self.server.review.progress()
        return asdict(progress) | {
            "sentence": progress.sentence,
            "map": self.server.review.map(),
        }

    def _send_json(self, answer: Any, *, status: int = 200) -> None:
        self._send(json.dumps(answer).encode(), "application/json", status=status)

    def _send(self, content: bytes, kind: str, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""
