"""Reads pictures from request bodies: bytes, multipart forms, base64 in JSON.

URLs are rejected: the server never fetches anything.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import python_multipart as python_multipart  # starlette needs it, and imports it without failing
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cutline.serving.errors import RequestError

MAX_PICTURES = 16
"""Maximum number of pictures in one request."""
MAX_VALUES = 10_000
"""Maximum number of values in a JSON body: lists of lists take much more memory than text."""
_STRUCTURE = (b",", b"[", b"{")

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)
NO_URLS = "send the picture itself as base64 or a data: URL; this server does not fetch URLs"


class Upload(NamedTuple):
    """A picture, and its file name if the client sent one."""

    picture: bytes
    name: str | None = None


class _Parser(MultiPartParser):
    """Keeps files in memory instead of temporary files."""

    spool_max_size = 2**40


async def _read_body(request: Request) -> bytes:
    """The body, of which the request keeps no copy."""
    return b"".join([chunk async for chunk in request.stream()])


async def read_uploads(request: Request) -> list[Upload]:
    """Read the pictures in a multipart form, or a body that is a picture. Raises `RequestError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await read_form(request)
    if kind == "application/json" or kind.startswith("text/"):
        raise RequestError(
            415, f"send the bytes of a picture or multipart/form-data, not {kind[:50]}"
        )
    return [Upload(await _read_body(request))]


async def read_form(request: Request) -> list[Upload]:
    """Read the files in a multipart form. Raises `RequestError`."""

    async def whole() -> AsyncGenerator[bytes]:
        yield await _read_body(request)

    parser = _Parser(request.headers, whole(), max_files=MAX_PICTURES, max_fields=MAX_PICTURES)
    try:
        form: FormData = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(400, f"this is not a valid multipart form: {str(error)[:100]}") from None
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise RequestError(422, "the form contains no file; for example: curl -F image=@photo.jpg")
    return [Upload(await file.read(), file.filename) for file in files]


async def read_json(request: Request) -> dict[str, Any]:
    """Read a body that is a JSON object. Raises `RequestError`."""
    body = await _read_body(request)
    if sum(map(body.count, _STRUCTURE)) > MAX_VALUES:
        raise RequestError(400, f"a JSON body may contain at most {MAX_VALUES:,} values")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is not valid JSON, or nested too deeply") from None
    if not isinstance(content, dict):
        raise RequestError(400, "the body must be a JSON object")
    return content


def decode_picture(text: Any) -> bytes:
    """Decode a picture in base64 or a data: URL. Raises `RequestError`."""
    if not isinstance(text, str):
        raise RequestError(400, "a picture must be a string: base64 or a data: URL")
    head = DATA_URL.match(text)
    if not head and "://" in text[:20]:
        raise RequestError(400, NO_URLS)
    try:
        return b64decode(text[head.end() :] if head else text, validate=True)
    except (ValueError, binascii.Error):
        raise RequestError(400, f"this is not base64; {NO_URLS}") from None


def items_of(value: Any, name: str) -> list[Any]:
    """Check that a value in a JSON body is a list or missing. Raises `RequestError`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RequestError(400, f"{name} must be a list")
    return value
