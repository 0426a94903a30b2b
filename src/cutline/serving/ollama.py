"""Ollama's API, which photo libraries and home automation use: generate and chat.

As with Ollama, responses are streamed unless the request says otherwise. A picture without a
caption ("not a photograph") gets an empty text. The extra field `cutline` contains what
`cutline caption --json` prints for each picture.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from time import perf_counter_ns
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.serving.errors import RequestError, json_response
from cutline.serving.openai import NO_PICTURE, Results, text_of, tokens_of
from cutline.serving.payloads import decode_picture, items_of, read_json
from cutline.serving.service import NAME, Service
from cutline.version import __version__

OLLAMA_VERSION = "0.6.0"
"""The Ollama version whose API this is; some clients check it."""


def routes(service: Service) -> list[Route]:
    """/api/generate, /api/chat, /api/tags, /api/ps, /api/show and /api/version."""
    interface = _Ollama(service)
    return [
        Route("/api/generate", interface.generate, methods=["POST"]),
        Route("/api/chat", interface.chat, methods=["POST"]),
        Route("/api/tags", interface.tags),
        Route("/api/ps", interface.tags),
        Route("/api/show", interface.show, methods=["POST"]),
        Route("/api/version", interface.version),
    ]


class _Ollama:
    def __init__(self, service: Service) -> None:
        self._service, self._model = service, _describe(service)

    async def generate(self, request: Request) -> Response:
        body = await read_json(request)
        images = items_of(body.get("images"), "images")
        if not images and not body.get("prompt"):  # clients do this to load a model
            return json_response(_line(body, _response(""), done_reason="load"))
        return await self._answer(body, images, _response)

    async def chat(self, request: Request) -> Response:
        body = await read_json(request)
        messages = items_of(body.get("messages"), "messages")
        if not messages:
            return json_response(_line(body, _message(""), done_reason="load"))
        shown = [m["images"] for m in messages if isinstance(m, dict) and m.get("images")]
        return await self._answer(body, items_of(shown[-1], "images") if shown else [], _message)

    async def _answer(
        self, body: dict[str, Any], images: list[Any], say: Callable[[str], dict[str, Any]]
    ) -> Response:
        began = perf_counter_ns()
        if body.get("format"):
            raise RequestError(400, "this model writes captions, not JSON")
        if not images:
            raise RequestError(400, NO_PICTURE)
        pictures = [decode_picture(text) for text in images]
        images.clear()  # frees the base64 while the pictures wait
        results = await self._service.describe_all(pictures)
        text, last = text_of(results), {**_statistics(results, began), "cutline": results}
        if body.get("stream") is False:
            return json_response(_line(body, say(text), **last))
        lines = (_line(body, say(text), done=False), _line(body, say(""), **last))
        stream = "".join(f"{json.dumps(line)}\n" for line in lines)
        return Response(stream, media_type="application/x-ndjson")

    async def tags(self, _: Request) -> Response:
        return json_response({"models": [self._model]})

    async def show(self, _: Request) -> Response:
        return json_response(
            {
                "details": self._model["details"],
                "modified_at": self._model["modified_at"],
                "model_info": {"general.architecture": NAME},
                "template": "",
                "capabilities": ["completion", "vision"],
            }
        )

    async def version(self, _: Request) -> Response:
        return json_response({"version": OLLAMA_VERSION, "cutline": __version__})


def _response(text: str) -> dict[str, Any]:
    return {"response": text}


def _message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _describe(service: Service) -> dict[str, Any]:
    """The model, as /api/tags lists it."""
    card = service.captioner.card
    mark = str(card.get("fingerprint") or card.get("title") or NAME)
    details = {
        "parent_model": "",
        "format": "onnx",
        "family": NAME,
        "families": [NAME],
        "parameter_size": "",
        "quantization_level": str(card.get("precision", "fp32")),
    }
    return {
        "name": f"{NAME}:latest",
        "model": f"{NAME}:latest",
        "modified_at": _now(),
        "size": 0,
        "digest": sha256(mark.encode()).hexdigest(),
        "details": details,
    }


def _line(body: dict[str, Any], content: dict[str, Any], **more: Any) -> dict[str, Any]:
    model = str(body.get("model") or f"{NAME}:latest")
    return {"model": model, "created_at": _now(), **content, "done": True, **more}


def _statistics(results: Results, began: int) -> dict[str, Any]:
    spent = perf_counter_ns() - began
    return {
        "done_reason": "stop",
        "total_duration": spent,
        "load_duration": 0,
        "prompt_eval_count": 0,
        "prompt_eval_duration": 0,
        "eval_count": tokens_of(results),
        "eval_duration": spent,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
