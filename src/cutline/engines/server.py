"""Captioners behind a server: OpenAI's API (llama.cpp, vLLM, LM Studio …) and Ollama's.

Each picture is one request with a prompt and the picture as a JPEG of at most 1,024 pixels a side,
without metadata. Requests are repeated when the server is busy or its answer is garbled. A picture
that has no caption then is reported, and the next call tries it again; when that happens to
`LOST` pictures in a row, captioning stops.
"""

import io
import json
import os
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.engines.http import FailedError, Server
from cutline.engines.texts import PROMPT, as_text, choose, require_candidates
from cutline.errors import ImageError, ModelError, nearest
from cutline.images.load import WholeView
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Abilities, Caption

CONCURRENT = 4
"""Requests at a time."""
SECONDS = 120.0
"""Time for one request."""
TOKENS = 200
"""The longest answer, in tokens."""
LOST = 3
"""Pictures in a row without a caption after which captioning stops."""
KEY = "CUTLINE_API_KEY"
"""The environment variable with the bearer token; no other is read."""
OLLAMA = "http://127.0.0.1:11434"
QUALITY = 90


@dataclass(frozen=True, slots=True)
class Reply:
    """A text and the numbers of tokens that were read and written."""

    text: str
    read: int = 0
    written: int = 0
    refusal: str = ""
    """Why there is no text, if the server says so."""


@dataclass(frozen=True)
class Dialect:
    """How a kind of server is asked."""

    name: str
    path: str
    body: Callable[[str, str, str], dict[str, Any]]
    """Model, prompt and picture in base64 → the request."""
    reply: Callable[[Any], Reply]
    listing: str
    """Where the models are listed."""
    models: Callable[[Any], dict[str, str]]
    """The listing → the models, with what tells versions of one model apart."""


def _openai_body(model: str, prompt: str, picture: str) -> dict[str, Any]:
    content = [
        {"type": "text", "text": prompt},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}},
    ]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "messages": messages, "max_tokens": TOKENS, "temperature": 0}


def _openai_reply(document: Any) -> Reply:
    message, usage = document["choices"][0]["message"], document.get("usage") or {}
    read, written = (_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    text = message["content"]  # null: refused, or nothing written but thoughts
    refusal = message.get("refusal") or ""
    return Reply("" if text is None else as_text(text), read, written, as_text(refusal))


def _ollama_body(model: str, prompt: str, picture: str) -> dict[str, Any]:
    options = {"temperature": 0, "num_predict": TOKENS}
    asked = {"model": model, "prompt": prompt, "images": [picture], "options": options}
    return {**asked, "stream": False, "think": False}


def _ollama_reply(document: Any) -> Reply:
    read, written = (_count(document.get(name)) for name in ("prompt_eval_count", "eval_count"))
    return Reply(as_text(document["response"]), read, written)


def _ollama_models(document: Any) -> dict[str, str]:
    return {str(each["name"]): str(each.get("digest", "")) for each in document["models"]}


def _count(number: Any) -> int:
    return number if isinstance(number, int) and 0 <= number < 10**9 else 0


DIALECTS = {
    "openai": Dialect(
        "OpenAI",
        "/chat/completions",
        _openai_body,
        _openai_reply,
        "/models",
        lambda document: {str(each["id"]): "" for each in document["data"]},
    ),
    "ollama": Dialect(
        "Ollama", "/api/generate", _ollama_body, _ollama_reply, "/api/tags", _ollama_models
    ),
}


@dataclass
class _Tally:
    """Numbers of the requests so far, shared by all threads."""

    pictures: int = 0
    repeated: int = 0
    read: int = 0
    written: int = 0
    lost: int = 0
    """Pictures without a caption since the last caption."""
    began: float = field(default_factory=time.monotonic)
    lock: Any = field(default_factory=Lock, repr=False)


class ServerEngine:
    """A model behind a server. Raises `ModelError` if the server is away or has no such model."""

    view = WholeView()
    """At most 1,024 pixels a side."""

    def __init__(
        self,
        kind: str,
        server: Server,
        model: str,
        *,
        prompt: str | None = None,
        concurrent: int | None = None,
    ) -> None:
        self._dialect, self._server = DIALECTS[kind], server
        self._prompt, self._tally = prompt or PROMPT, _Tally()
        self._model, version = _find_model(self._dialect, server, model)
        about = [kind, server.address, self._model, version, self._prompt, TOKENS]
        self.card: Mapping[str, Any] = {
            "title": f"{self._model} ({server.address})",
            "fingerprint": sha256(json.dumps(about).encode()).hexdigest(),
        }
        self.abilities = Abilities(batch=1, workers=concurrent or CONCURRENT)

    @property
    def on_one_core(self) -> "ServerEngine":
        """The engine itself: the work is done elsewhere."""
        return self

    @property
    def usage(self) -> str:
        """Rate and tokens so far: what a bill is computed from."""
        tally = self._tally
        if not tally.pictures:
            return ""
        seconds = max(time.monotonic() - tally.began, 1e-3)
        tokens = f"; {tally.read:,} tokens read, {tally.written:,} written" if tally.read else ""
        return (
            f"{self._model}: {tally.pictures:,} answered in {seconds:,.0f} s "
            f"({tally.pictures / seconds:.2g} a second), {tally.repeated:,} requests repeated"
            f"{tokens}"
        )

    def caption(
        self, pixels: Sequence[NDArray[np.uint8]], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> list[Caption | ImageError]:
        """The server's caption of each picture, or why there is none.

        Raises `ModelError` if the server refuses to work, or `LOST` pictures in a row are lost.
        """
        require_candidates(best, 1)
        return [self._caption(picture, style) for picture in pixels]

    def _caption(self, picture: NDArray[np.uint8], style: Style) -> Caption | ImageError:
        body = self._dialect.body(self._model, self._prompt, _encode(picture))
        dialect, tally = self._dialect, self._tally
        try:
            reply, repeated = self._server.ask_again(dialect.path, body, dialect.reply)
        except FailedError as error:
            return self._lose(error)
        with tally.lock:
            tally.lost = 0
            tally.pictures += 1
            tally.repeated += repeated
            tally.read += reply.read
            tally.written += reply.written
        words = tuple(reply.text.split())
        caption = Caption(reply.text, words, None, (), left_out=reply.refusal)
        return choose([caption], 1, style)

    def _lose(self, error: FailedError) -> ImageError:
        """The answer for a picture without a caption; raises `ModelError` after too many."""
        _refuse_hopeless(error, self._server, self._model)
        with self._tally.lock:
            self._tally.repeated += error.repeated
            self._tally.lost += 1
            lost = self._tally.lost
        why = f"{self._server.address} gave no caption: {error}"
        if lost >= LOST:
            raise ModelError(f"{why}; {lost} pictures in a row were lost, so captioning stops here")
        return ImageError(why, kind="unanswered")


def _encode(picture: NDArray[np.uint8]) -> str:
    """A picture as a JPEG in base64."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY)
    return b64encode(stream.getvalue()).decode()


def _refuse_hopeless(error: FailedError, server: Server, model: str) -> None:
    """Raise `ModelError` for a failure that every picture would share."""
    if error.status in (401, 403):
        raise ModelError(
            f"{server.address} refuses access: put its token into the variable {KEY} ({error})"
        ) from None
    if error.status in (404, 405) or 300 <= error.status < 400:
        raise ModelError(
            f"{server.address} has no model {model!r}, or is not the address of an API: {error}"
        ) from None


def _find_model(dialect: Dialect, server: Server, model: str) -> tuple[str, str]:
    """The full name of a model and its version, from the server's list.

    A server of OpenAI's API need not have a list; then the name is taken as it is.
    """
    try:
        known = server.ask(dialect.listing, None, dialect.models)
    except FailedError as error:
        if not error.status or error.status in (401, 403):
            _refuse_hopeless(error, server, model)
            raise ModelError(
                f"no {dialect.name} server answers at {server.address}: {error}"
            ) from None
        known = {}
    names = [model] if model else list(known) if len(known) == 1 else []
    for name in (*names, *(f"{name}:latest" for name in names)):
        if name in known:
            return name, known[name]
    if not model:
        raise ModelError(f"{server.address} has several models: add #MODEL{nearest(model, known)}")
    if known:
        raise ModelError(f"{server.address} has no model {model!r}{nearest(model, known)}")
    return model, ""


def open_server(
    kind: str,
    name: str,
    *,
    prompt: str | None = None,
    concurrent: int | None = None,
    seconds: float | None = None,
) -> ServerEngine:
    """The engine for `http://host:port/v1#model` (OpenAI's API), or `model` or an address (Ollama).

    Raises `ModelError` for an address or model that is not there.
    """
    address, _, model = name.partition("#")
    if kind == "ollama" and "://" not in name:
        address, model = OLLAMA, name
    server = Server(address, os.environ.get(KEY, ""), seconds or SECONDS)
    return ServerEngine(kind, server, model, prompt=prompt, concurrent=concurrent)
