"""Request bodies to pictures: bytes, multipart forms, JSON with base64.

Nothing is fetched: an address in place of a picture is refused.
"""

import binascii
import json
import re
from base64 import b64decode
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cutline.serving.errors import RequestError

MOST_PICTURES = 16
"""In one request."""
MOST_VALUES = 10_000
"""Values in a JSON body: millions of empty lists would take a hundred times their size."""
_STRUCTURE = (b",", b"[", b"{")

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.ASCII | re.IGNORECASE)
NO_FETCHING = (
    "send the picture itself, as a data: URL or in base64: this server fetches no addresses"
)


class Upload(NamedTuple):
    """A picture, and what the client calls it."""

    picture: bytes
    name: str | None = None


class _Parser(MultiPartParser):
    """Keeps files in memory: no picture is ever on the server's disk."""

    spool_max_size = 2**40


async def read_uploads(request: Request) -> list[Upload]:
    """The pictures of a body that is one, or of a multipart form. Raises `RequestError`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await read_form(request)
    if kind == "application/json" or kind.startswith("text/"):
        raise RequestError(415, f"send a picture's bytes or multipart/form-data, not {kind[:50]}")
    return [Upload(await request.body())]


async def read_form(request: Request) -> list[Upload]:
    """The files of a multipart form. Raises `RequestError`."""

    async def whole() -> AsyncGenerator[bytes]:
        yield await request.body()

    parser = _Parser(request.headers, whole(), max_files=MOST_PICTURES, max_fields=MOST_PICTURES)
    try:
        form: FormData = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(400, f"this is no multipart form: {str(error)[:100]}") from None
    files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
    if not files:
        raise RequestError(422, "the form has no file: curl -F image=@photo.jpg")
    return [Upload(await file.read(), file.filename) for file in files]


async def read_json(request: Request) -> dict[str, Any]:
    """A body that is a JSON object. Raises `RequestError`."""
    body = await request.body()
    if sum(map(body.count, _STRUCTURE)) > MOST_VALUES:
        raise RequestError(400, f"a JSON body has at most {MOST_VALUES:,} values")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "the body is no JSON, or nested too deeply") from None
    if not isinstance(told, dict):
        raise RequestError(400, "the body must be a JSON object")
    return told


def decode_picture(text: Any) -> bytes:
    """The picture in a data: URL or in base64. Raises `RequestError`."""
    if not isinstance(text, str):
        raise RequestError(400, "a picture must be text: base64 or a data: URL")
    head = DATA_URL.match(text)
    if not head and "://" in text[:20]:
        raise RequestError(400, NO_FETCHING)
    try:
        return b64decode(text[head.end() :] if head else text, validate=True)
    except (ValueError, binascii.Error):
        raise RequestError(400, f"this is no base64; {NO_FETCHING}") from None


def items_of(value: Any, name: str) -> list[Any]:
    """A list of a JSON body; empty where there is none. Raises `RequestError`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise RequestError(400, f"{name} must be a list")
    return value
