"""Error responses, in the format of the API that the client uses."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


class RequestError(Exception):
    """A request that is rejected: an HTTP status and one sentence for the client."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] = {}) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers


def error_response(path: str, error: RequestError) -> Response:
    """The response for an error: the formats of OpenAI and IBM MAX, else `{"error": sentence}`."""
    body: dict[str, Any] = {"error": error.message}
    if path.startswith("/v1/"):
        kind = "invalid_request_error" if error.status < 500 else "server_error"
        about = {"message": error.message, "type": kind, "param": None, "code": None}
        body = {"error": about}
    elif path.startswith("/model/"):
        body = {"status": "error", "message": error.message}
    return json_response(body, error.status, error.headers)


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response in UTF-8."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False)
    # a file name from a client may contain a lone surrogate, which UTF-8 cannot encode
    content = text.encode("utf8", "backslashreplace")
    return Response(content, status, headers, "application/json")
