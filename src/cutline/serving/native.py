"""cutline's own API: POST /caption, and the OpenAPI document that describes it."""

from dataclasses import replace
from typing import Any, get_args

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.errors import DataError, nearest
from cutline.inference.library import CaptionOptions
from cutline.serving.errors import RequestError, json_response
from cutline.serving.payloads import MAX_PICTURES, read_uploads
from cutline.serving.service import Service
from cutline.text.style import MIN_CHARS, Form
from cutline.version import __version__

BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
MAX_BEST = 100
MAX_CHARS = 10_000


def routes(service: Service) -> list[Route]:
    """POST /caption, GET /openapi.json, GET /health, GET /metrics."""

    async def caption(request: Request) -> Response:
        options = read_options(request.query_params, service.options)
        uploads = await read_uploads(request)
        results = await service.describe([upload.picture for upload in uploads], options)
        named = [
            {"path": upload.name, **each} if upload.name else each
            for upload, each in zip(uploads, results, strict=True)
        ]
        if len(named) > 1:
            return json_response(named)
        return json_response(named[0], 422 if "error" in named[0] else 200)

    async def openapi(_: Request) -> Response:
        return json_response(OPENAPI)

    async def health(_: Request) -> Response:
        return json_response({"status": "ok"})

    async def metrics(_: Request) -> Response:
        text = service.metrics.as_text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return [
        Route("/caption", caption, methods=["POST"]),
        Route("/openapi.json", openapi),
        Route("/health", health),
        Route("/metrics", metrics),
    ]


def read_options(query: QueryParams, default: CaptionOptions) -> CaptionOptions:
    """Read the options in a query string: `?best=3&gaze=1&style=phrase`. Raises `RequestError`."""
    for name in query:
        if name not in PARAMETERS:
            raise RequestError(400, f"there is no parameter {name!r}{nearest(name, PARAMETERS)}")
    given = {name: _read_value(name, query[name]) for name in query}
    style = {"form": given.pop("style")} if "style" in given else {}
    style |= {
        name: given.pop(name) for name in ("max_chars", "sentence", "any_picture") if name in given
    }
    try:
        return replace(default, **given, style=replace(default.style, **style))
    except DataError as error:
        raise RequestError(400, str(error)) from None


def _read_value(name: str, text: str) -> Any:
    schema = PARAMETERS[name][0]
    kind = schema["type"]
    try:
        if kind == "boolean":
            return BOOLEANS[text.lower()]
        if kind == "string":
            if text not in schema["enum"]:
                raise KeyError(text)
            return text
        number = int(text) if kind == "integer" else float(text)
    except (KeyError, ValueError):
        raise RequestError(400, f"invalid value for {name}: {text[:50]!r}") from None
    if not schema["minimum"] <= number <= schema["maximum"]:
        raise RequestError(
            400, f"{name} must be from {schema['minimum']} to {schema['maximum']}, not {number}"
        )
    return number


# ------------------------------------------------------------------------- OpenAPI document

PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "best": (
        {"type": "integer", "minimum": 1, "maximum": MAX_BEST},
        "Number of candidates, returned under `best`.",
    ),
    "gaze": (
        {"type": "boolean"},
        "Return the attention of each word: the share of each region, in thousandths.",
    ),
    "min_confidence": (
        {"type": "number", "minimum": 0, "maximum": 1},
        "Leave out captions below this confidence.",
    ),
    "style": (
        {"type": "string", "enum": list(get_args(Form))},
        "Sentence, or phrase such as `a zebra`; auto: a phrase where unsure.",
    ),
    "max_chars": (
        {"type": "integer", "minimum": MIN_CHARS, "maximum": MAX_CHARS},
        "Maximum length of a caption, in characters.",
    ),
    "sentence": ({"type": "boolean"}, "Capitalize, and end with a full stop."),
    "any_picture": ({"type": "boolean"}, "Also caption drawings, documents and screenshots."),
}

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_WORD = {
    "type": "object",
    "properties": {
        "word": {"type": "string"},
        "probability": _PROBABILITY,
        "gaze": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["word", "probability"],
}
_CAPTION = {
    "type": "object",
    "description": "What `cutline caption --json` prints for a picture.",
    "properties": {
        "path": {"type": "string", "description": "The file name, for files in a form."},
        "caption": {"type": ["string", "null"]},
        "left_out": {
            "type": "string",
            "description": "Why there is no caption: `not a photograph`.",
        },
        "confidence": {**_PROBABILITY, "type": ["number", "null"]},
        "log_prob": {"type": ["number", "null"], "maximum": 0},
        "words": {"type": "array", "items": _WORD},
        "concepts": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"noun": {"type": "string"}, "probability": _PROBABILITY},
                "required": ["noun", "probability"],
            },
        },
        "photograph": _PROBABILITY,
        "best": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["caption", "confidence", "log_prob"],
}
_ERROR = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "error": {"type": "string"}},
    "required": ["error"],
}
_ERRORS = {
    "400": "Invalid parameter or body.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from a page of another site.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "415": "Unsupported content type.",
    "422": "The picture cannot be read, or the model does not support the parameters.",
    "503": "The server is busy: try again after `Retry-After` seconds.",
}


def _content(kind: str, name: str) -> dict[str, Any]:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _describe_caption() -> dict[str, Any]:
    picture = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"image": {"type": "array", "items": picture, "maxItems": MAX_PICTURES}},
    }
    body = {"application/octet-stream": {"schema": picture}, "image/*": {"schema": picture}}
    answers: dict[str, Any] = {
        status: {"description": text, "content": _content("application/json", "Error")}
        for status, text in _ERRORS.items()
    }
    answers["200"] = {
        "description": "The result for the picture; a list for several pictures in a form.",
        "content": _content("application/json", "Answer"),
    }
    return {
        "summary": "Caption a picture, or the pictures in a form.",
        "operationId": "caption",
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": schema}
            for name, (schema, text) in PARAMETERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {**body, "multipart/form-data": {"schema": form}},
        },
        "responses": answers,
    }


def _describe_text(summary: str, kind: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {kind: {}}}
    return {"get": {"summary": summary, "responses": {"200": answer}}}


OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "cutline", "version": __version__, "description": "Captions photographs."},
    "paths": {
        "/caption": {"post": _describe_caption()},
        "/health": _describe_text("Whether the server is up; needs no token.", "application/json"),
        "/metrics": _describe_text("Prometheus metrics.", "text/plain"),
    },
    "components": {
        "schemas": {
            "Caption": _CAPTION,
            "Error": _ERROR,
            "Answer": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Caption"},
                    {
                        "type": "array",
                        "items": {
                            "oneOf": [
                                {"$ref": "#/components/schemas/Caption"},
                                {"$ref": "#/components/schemas/Error"},
                            ]
                        },
                    },
                ]
            },
        },
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
    "security": [{}, {"token": []}],
}
"""The OpenAPI 3.1 document for this API."""
