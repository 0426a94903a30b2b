"""The web page at `/`: drop pictures, read captions. Without JavaScript, a form takes one file."""

from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.serving.errors import RequestError
from cutline.serving.payloads import Upload, read_form
from cutline.serving.service import Service
from cutline.version import __version__

ASSETS = files("cutline.serving") / "assets"
KINDS = {"page.css": "text/css", "page.js": "text/javascript"}
POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def routes(service: Service) -> list[Route]:
    """GET and POST /, and the assets of the page."""

    async def show(_: Request) -> Response:
        return _draw("")

    async def caption(request: Request) -> Response:
        try:
            [upload, *_] = await read_form(request)
            [result] = await service.describe([upload.picture])
        except RequestError as error:
            return _draw(_wrong(error.message), error.status)
        return _draw(_card(upload, result))

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in KINDS:
            raise RequestError(404, "not found")
        content = (ASSETS / name).read_bytes()
        return Response(content, media_type=KINDS[name])

    return [
        Route("/", show),
        Route("/", caption, methods=["POST"]),
        Route("/assets/{name}", asset),
    ]


def _draw(answer: str, status: int = 200) -> Response:
    page = Template((ASSETS / "page.html").read_text(encoding="utf8"))
    text = page.substitute(answer=answer, version=__version__)
    headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
    return Response(text, status, headers, "text/html")


def _wrong(sentence: str) -> str:
    return f'<li class="card"><p class="wrong">{escape(sentence)}</p></li>'


def _card(upload: Upload, result: dict[str, Any]) -> str:
    name = escape(upload.name or "")
    if "error" in result:
        return _wrong(f"{upload.name}: {result['error']}")
    text = escape(result["caption"] or result["left_out"])
    sure = f"confidence {100 * result['confidence']:.0f} %, " if result["caption"] else ""
    picture = b64encode(upload.picture).decode()  # browsers ignore the type and look at the bytes
    return (
        f'<li class="card"><div class="shown"><img src="data:image/jpeg;base64,{picture}" '
        f'alt="{text} (machine-written)"></div>'
        f'<p class="caption">{text}</p><p class="facts">{sure}{name}</p></li>'
    )
