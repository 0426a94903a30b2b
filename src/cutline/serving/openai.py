"""OpenAI's API: chat completions and responses, also streamed, and the list of models.

Captions are complete when they arrive, so a stream is a complete answer split into events. A
picture without a caption ("not a photograph") is a refusal. The extra field `cutline` contains what
`cutline caption --json` prints for each picture.
"""

import json
from collections.abc import Iterable, Mapping
from time import time
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cutline.serving.errors import RequestError, json_response
from cutline.serving.native import MAX_BEST
from cutline.serving.payloads import decode_picture, items_of, read_json
from cutline.serving.service import NAME, Service

NO_PICTURE = "send a picture: this model only captions pictures"
Results = list[dict[str, Any]]


def routes(service: Service) -> list[Route]:
    """/v1/chat/completions, /v1/responses and /v1/models."""

    async def chat(request: Request) -> Response:
        body = await read_json(request)
        _check_format(body.get("response_format"))
        pictures = _pictures_of(items_of(body.pop("messages", None), "messages"))
        number = body.get("n") or 1
        if type(number) is not int or not 1 <= number <= MAX_BEST:
            raise RequestError(400, f"n must be between 1 and {MAX_BEST}")
        if number > 1 and len(pictures) > 1:
            raise RequestError(400, "n above 1 needs a single picture")
        results = await service.describe_all(pictures, best=number)
        answer = _Chat(results, str(body.get("model") or NAME))
        return _as_events(answer.chunks()) if body.get("stream") else json_response(answer.whole())

    async def responses(request: Request) -> Response:
        body = await read_json(request)
        text = body.get("text")
        _check_format(text.get("format") if isinstance(text, dict) else None)
        results = await service.describe_all(
            _pictures_of(items_of(body.pop("input", None), "input"))
        )
        answer = _response_of(results, str(body.get("model") or NAME))
        return _as_events(_events_of(answer)) if body.get("stream") else json_response(answer)

    async def models(_: Request) -> Response:
        return json_response({"object": "list", "data": [MODEL]})

    async def model(_: Request) -> Response:
        return json_response(MODEL)

    return [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/responses", responses, methods=["POST"]),
        Route("/v1/models", models),
        Route(f"/v1/models/{NAME}", model),
    ]


MODEL = {"id": NAME, "object": "model", "created": 0, "owned_by": "cutline"}


def _check_format(format: Any) -> None:
    kind = format.get("type") if isinstance(format, dict) else None
    if kind not in (None, "text"):
        raise RequestError(400, "this model writes captions, not JSON")


def _pictures_of(messages: list[Any]) -> list[bytes]:
    """The pictures of the last message that has any; earlier ones were answered before."""
    for message in reversed(messages):
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else []
        urls = [part.get("image_url") for part in parts if isinstance(part, dict)]
        given = [url.get("url") if isinstance(url, dict) else url for url in urls if url]
        if given:
            return [decode_picture(url) for url in given]
    raise RequestError(400, NO_PICTURE)


def text_of(results: Results) -> str:
    """The captions, one per line; empty where there is none."""
    return "\n".join(each["caption"] or "" for each in results).strip()


def refusal_of(results: Results) -> str | None:
    """Why there is no caption; None if there is one."""
    return (
        None if text_of(results) else "; ".join(str(each.get("left_out", "")) for each in results)
    )


def tokens_of(results: Results) -> int:
    """The number of words in the captions."""
    return sum(len(each.get("words", ())) for each in results)


class _Chat:
    """A chat completion, whole or in chunks; the candidates for a picture are its choices."""

    def __init__(self, results: Results, model: str) -> None:
        self._results = results
        self._choices = (
            [[each] for each in results[0]["best"]] if "best" in results[0] else [results]
        )
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time()), "model": model}

    def whole(self) -> dict[str, Any]:
        count = sum(map(tokens_of, self._choices))
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {
                    "index": index,
                    "message": {
                        "role": "assistant",
                        "content": None if refusal_of(results) else text_of(results),
                        "refusal": refusal_of(results),
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
                for index, results in enumerate(self._choices)
            ],
            "usage": {"prompt_tokens": 0, "completion_tokens": count, "total_tokens": count},
            "cutline": self._results,
        }

    def chunks(self) -> Iterable[Mapping[str, Any] | str]:
        for choice in self.whole()["choices"]:
            delta = {name: text for name, text in choice["message"].items() if text is not None}
            yield self._chunk(choice["index"], delta, None)
            yield self._chunk(choice["index"], {}, "stop")
        yield "[DONE]"

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "finish_reason": reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}


def _response_of(results: Results, model: str) -> dict[str, Any]:
    """A completed response with one message."""
    refusal, count = refusal_of(results), tokens_of(results)
    part: dict[str, Any] = {"type": "output_text", "text": text_of(results), "annotations": []}
    message = {
        "type": "message",
        "id": f"msg_{uuid4().hex}",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": refusal} if refusal else part],
    }
    return {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": int(time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": model,
        "output": [message],
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": count,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": count,
        },
        "cutline": results,
    }


def _events_of(response: dict[str, Any]) -> Iterable[Mapping[str, Any]]:
    [message] = response["output"]
    [part] = message["content"]
    kind = "refusal" if part["type"] == "refusal" else "output_text"
    text = part["refusal" if kind == "refusal" else "text"]
    empty = {**part, "refusal" if kind == "refusal" else "text": ""}
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    started = {**response, "status": "in_progress", "output": [], "usage": None}
    item = {**message, "status": "in_progress", "content": []}
    done = "refusal" if kind == "refusal" else "text"
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": empty},
        {"type": f"response.{kind}.delta", **place, "delta": text, "logprobs": []},
        {"type": f"response.{kind}.done", **place, done: text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": response},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _as_events(events: Iterable[Mapping[str, Any] | str]) -> Response:
    """Server-sent events."""
    lines = []
    for event in events:
        if isinstance(event, str):
            lines.append(f"data: {event}\n\n")
        else:
            name = f"event: {event['type']}\n" if "type" in event else ""
            lines.append(f"{name}data: {json.dumps(event)}\n\n")
    return Response("".join(lines), media_type="text/event-stream")
