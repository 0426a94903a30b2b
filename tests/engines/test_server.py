"""Models behind servers that stall, lie, refuse and break off: no picture, no caption is lost."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from cutline.engines.http import Server
from cutline.engines.server import LOST, ServerEngine
from cutline.errors import ImageError, ModelError
from cutline.inference.captioner import Captioner, Engine
from cutline.inference.library import CaptionOptions, Finished, PictureDone, caption_library
from cutline.text.style import Style

SECONDS = 0.5
"""Time for one request."""
KINDS = ("openai", "ollama")
VERSIONS = {"dog:latest": "d1", "cat:latest": "c1"}
LISTS = {
    "openai": {"data": [{"id": name} for name in VERSIONS]},
    "ollama": {"models": [{"name": n, "digest": digest} for n, digest in VERSIONS.items()]},
}


def write_answer(kind: str, text: object) -> bytes:
    """The document in which a server sends a text."""
    openai = {
        "choices": [{"message": {"content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 4},
    }
    ollama = {"response": text, "prompt_eval_count": 100, "eval_count": 4}
    return json.dumps(openai if kind == "openai" else ollama).encode()


def read_picture(kind: str, body: dict) -> str:
    """The picture of a request, in base64."""
    if kind == "ollama":
        return body["images"][0]
    [message] = body["messages"]
    return message["content"][1]["image_url"]["url"].partition(",")[2]


class Rude(ThreadingHTTPServer):
    """A server of either API that answers request n as `behave(n, picture)` says."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave: Callable[[int, str], str] = lambda number, picture: "well"
        self.bodies: list[dict] = []
        self.tokens: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """The client has gone, as it should."""


class _Handler(BaseHTTPRequestHandler):
    server: Rude

    def log_message(self, *_: object) -> None:
        pass

    @property
    def kind(self) -> str:
        return "openai" if self.path.startswith("/v1/") else "ollama"

    def do_GET(self) -> None:  # noqa: N802  (as the class wants it)
        self.send(200, json.dumps(LISTS[self.kind]).encode())

    def do_POST(self) -> None:  # noqa: N802
        rude = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with rude.lock:
            rude.bodies.append(body)
            rude.tokens.append(self.headers["Authorization"])
            number = len(rude.bodies)
            rude.at_once += 1
            rude.most_at_once = max(rude.most_at_once, rude.at_once)
        try:
            WAYS[rude.behave(number, read_picture(self.kind, body))](self)
        finally:
            with rude.lock:
                rude.at_once -= 1

    def send(self, status: int, content: bytes, length: int | None = None, **more: str) -> None:
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def say(self, text: object) -> None:
        self.send(200, write_answer(self.kind, text))

    def break_off(self, *, told: bool) -> None:
        whole = write_answer(self.kind, TEXT)
        self.send(200, whole[:20], len(whole) if told else None)

    def trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        while not self.server.over.wait(0.05):
            self.wfile.write(b" ")
            self.wfile.flush()


TEXT = "A dog runs."
WAYS: dict[str, Callable[[_Handler], None]] = {
    "well": lambda h: h.say(TEXT),
    "slowly": lambda h: (time.sleep(0.1), h.say(TEXT)),
    "stalls": lambda h: h.server.over.wait(5),
    "trickles": _Handler.trickle,
    "too many requests": lambda h: h.send(429, b"", Retry_After="0"),
    "broken": lambda h: h.send(500, b'{"error": "out of memory"}'),
    "HTML": lambda h: h.send(200, b"<html><body>It works!</body></html>"),
    "half a JSON": lambda h: h.break_off(told=False),
    "breaks off": lambda h: h.break_off(told=True),
    "another shape": lambda h: h.send(200, b'{"choices": []}'),
    "a number": lambda h: h.say(7),
    "endless": lambda h: h.say("a" * 10**6),
    "a novel": lambda h: h.say("a " * 10**4),
    "deep": lambda h: h.send(200, b"[" * 100_000),
    "hangs up": lambda h: h.connection.close(),
    "no HTTP": lambda h: h.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n"),
}
PASSING = [way for way in WAYS if way not in ("well", "slowly")]
WAITING = ("stalls", "trickles")


@pytest.fixture
def rude() -> Iterator[Rude]:
    server = Rude()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def open_captioner(
    rude: Rude, model: str = "dog", kind: str = "ollama", **options: object
) -> Captioner:
    address = rude.address + "/v1" * (kind == "openai")
    server = Server(address, "secret", SECONDS, (0.01, 0.01))
    return Captioner(ServerEngine(kind, server, model, **options))


@pytest.fixture
def album(tmp_path) -> list[Path]:
    (tmp_path / "album").mkdir()
    colours = ["red", "green", "blue", "black", "white", "pink"]
    paths = [tmp_path / "album" / f"{number}.png" for number in range(len(colours))]
    for path, colour in zip(paths, colours, strict=True):
        Image.new("RGB", (30, 20), colour).save(path)
    return paths


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_is_an_engine_without_probabilities(rude, album, kind):
    captioner = open_captioner(rude, kind=kind)

    caption = captioner.caption(album[0])

    assert isinstance(captioner.engine, Engine)
    assert (caption.text, caption.words) == ("A dog runs.", ("A", "dog", "runs."))
    assert (caption.confidence, caption.log_prob, caption.word_log_probs) == (None, None, ())
    assert rude.bodies[0]["model"] == "dog:latest"
    assert rude.tokens == ["Bearer secret"]
    assert "1 answered" in captioner.engine.usage and "100 tokens read" in captioner.engine.usage


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"content": None, "refusal": "not a photograph"}, "not a photograph"),
        ({"content": "", "refusal": None}, "the model wrote nothing"),
        ({"content": None, "reasoning": "Hmm."}, "the model wrote nothing"),
    ],
)
def test_a_refusal_is_an_answer(rude, album, message, why):
    rude.behave = lambda *_: "refuses"
    WAYS["refuses"] = lambda h: h.send(
        200, json.dumps({"choices": [{"message": message}]}).encode()
    )

    caption = open_captioner(rude, kind="openai").caption(album[0])

    assert (caption.text, caption.left_out, len(rude.bodies)) == ("", why, 1)


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param(kind, way, marks=[pytest.mark.slow] * (kind == "openai" and way in WAITING))
        for kind in KINDS
        for way in PASSING
    ],
)
def test_what_passes_is_asked_again(rude, album, kind, way):
    rude.behave = lambda number, _: way if number == 1 else "well"
    captioner = open_captioner(rude, kind=kind)

    assert captioner.caption(album[0]).text == "A dog runs."
    assert "1 requests repeated" in captioner.engine.usage


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "way",
    [
        "too many requests",
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in ("stalls", "broken", "HTML", "half a JSON", "a number", "hangs up")
        ),
    ],
)
def test_a_server_that_never_recovers_stops_captioning_and_the_next_run_has_everything(
    rude, album, tmp_path, way, kind
):
    rude.behave = lambda number, _: "well" if number <= 2 else way
    out = tmp_path / "captions.jsonl"
    captioner = open_captioner(rude, kind=kind, concurrent=1)

    with pytest.raises(ModelError, match=f"{LOST} pictures in a row were lost"):
        list(caption_library(captioner, album, out))

    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["caption"] for line in kept if "caption" in line] == ["A dog runs."] * 2
    assert f"{2 * LOST} requests repeated" in captioner.engine.usage
    rude.behave, before = lambda *_: "well", len(rude.bodies)
    again = list(caption_library(open_captioner(rude, kind=kind), album, out))
    assert again[-1] == Finished(captioned=len(album))
    assert len(rude.bodies) - before == len(album) - 2  # none was asked for twice


def test_a_picture_that_the_server_refuses_is_reported_and_the_others_are_captioned(
    rude, album, tmp_path
):
    captioner = open_captioner(rude)
    captioner.caption(album[2])
    bad = rude.bodies[0]["images"][0]
    rude.behave = lambda _, picture: "broken" if picture == bad else "well"

    events = list(caption_library(captioner, album, tmp_path / "out.jsonl"))

    assert events[-1] == Finished(captioned=len(album) - 1, failed=1)
    [lost] = [e for e in events if isinstance(e, PictureDone) and e.problem]
    assert lost.path == str(album[2])
    assert lost.problem.startswith(f"{album[2]}: ")
    assert "it answered 500 (out of memory)" in lost.problem
    [answer] = captioner.caption_each([album[2]])
    assert isinstance(answer, ImageError) and answer.kind == "unanswered"


def test_as_many_requests_are_under_way_as_are_wanted_and_the_order_stays(rude, album):
    rude.behave = lambda *_: "slowly"

    captions = open_captioner(rude, concurrent=3).caption(album)

    assert len(captions) == len(album)
    assert 1 < rude.most_at_once <= 3


def test_captions_of_different_models_and_prompts_never_mix(rude, album, tmp_path):
    out = tmp_path / "captions.jsonl"

    def fingerprints(**which: str) -> set[str]:
        captioner = open_captioner(rude, **which)
        list(caption_library(captioner, album, out))
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        return {row["model"]["fingerprint"] for row in rows}

    seen = [fingerprints(), fingerprints(model="cat"), fingerprints(prompt="Name the colour.")]

    assert [len(each) for each in seen] == [1, 1, 1] and len(set.union(*seen)) == 3
    asked = len(rude.bodies)
    assert fingerprints() == seen[0] and len(rude.bodies) == asked == 3 * len(album)


def test_a_style_keeps_what_fits_and_says_why_the_rest_is_missing(rude, album, tmp_path):
    captioner = open_captioner(rude)

    def ask(**style: object) -> tuple[str, str]:
        caption = captioner.caption(album[0], style=Style(**style))
        return caption.text, caption.left_out

    assert ask(max_chars=11) == ("A dog runs.", "")
    assert ask(max_chars=10) == ("", "no whole caption has 10 characters or fewer")
    assert ask(avoid=frozenset(["dog"])) == ("", "it has the word 'dog', which is to be avoided")
    assert ask(sentence=True) == ("A dog runs.", "")
    options = CaptionOptions(style=Style(max_chars=10))
    *_, finished = caption_library(captioner, album[:1], tmp_path / "out.jsonl", options)
    assert finished == Finished(unsure=1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ollama:{address}#horse", "has no model 'horse'; there are 'cat:latest', 'dog:latest'"),
        (
            "ollama:{address}",
            "has several models: add #MODEL; there are 'cat:latest', 'dog:latest'",
        ),
        ("openai:{address}/v1#horse", "has no model 'horse'; there are 'cat:latest', 'dog:latest'"),
        ("openai:{address}#dog", "its answer is not understood ("),
        ("openai:http://127.0.0.1:9/v1#dog", "no OpenAI server answers at http://127.0.0.1:9/v1: "),
        ("ollama:http://127.0.0.1:9#dog", "no Ollama server answers at http://127.0.0.1:9: "),
        ("openai:ftp://a.b/v1#dog", "is no address of a server"),
        ("openai:http://a.b:x/v1#dog", "is no address of a server"),
        ("hf:none/of/these", "is neither a folder nor a name such as owner/name@revision"),
        ("hf:./none", "is neither a folder nor a name"),
        ("onnx:", "is neither a folder nor a name"),
    ],
)
def test_a_name_that_is_no_model_is_one_sentence(rude, album, run, name, sentence):
    code, out, err = run("caption", "-m", name.format(address=rude.address), album[0])

    assert (code, out) == (1, "")
    assert sentence in err and err.startswith("cutline: ") and err.count("\n") == 0


def test_commands_say_what_the_model_cannot_do(rude, album, run, tmp_path):
    model = f"ollama:{rude.address}#dog"

    code, out, err = run("caption", "-m", model, album[0], "--gaze", "--style", "phrase", "--json")

    assert code == 0 and json.loads(out)["confidence"] is None
    assert "does not say where it looked" in err and "writes sentences, not phrases" in err
    for line, sentence in {
        f"caption -m {model} {album[0]} --best 2": "one candidate per picture, not 2",
        f"caption -m {model} {album[0]} --min-confidence 0.5": "does not say how sure it is",
        f"gaze -m {model} {album[0]} -o {tmp_path}/gaze.png": "does not say where it looked",
        f"inspect -m {model} --data {tmp_path}": "not a model that cutline trained",
        f"calibrate -m {model} --data {tmp_path}": "not a model that cutline trained",
        f"web -m {model} {tmp_path}/web --runtime {tmp_path}": "",
    }.items():
        code, out, err = run(*line.split())
        assert code == 1 and sentence in err and err.count("cutline: ") == 1, (line, err)


def test_a_prompt_comes_from_a_file(rude, album, run, tmp_path):
    (tmp_path / "prompt.txt").write_text("What is it?\n")
    model = f"ollama:{rude.address}#dog"

    assert run("caption", "-m", model, album[0], "--prompt", tmp_path / "prompt.txt")[0] == 0

    assert rude.bodies[0]["prompt"] == "What is it?"
    assert "cannot be read" in run("caption", "-m", model, album[0], "--prompt", "none")[2]
