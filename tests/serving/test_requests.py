"""The own interface, what is refused and how: one sentence, the right status, no path of ours."""

import base64
import io
import json
import socket

import pytest
from PIL import Image

from conftest import ROOT

JSON = {"Content_Type": "application/json"}


def post_json(server, path: str, body: object):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    status, _, answer = server.ask("POST", path, text, **JSON)
    return status, json.loads(answer)


def form_of(*files: tuple[str, bytes]) -> tuple[bytes, str]:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n'
        % (name.encode(), content)
        for name, content in files
    ]
    return b"".join([*parts, b"--x--\r\n"]), "multipart/form-data; boundary=x"


# ---------------------------------------------------------------------------- the own interface


def test_the_address_says_what_is_wanted(server, pictures, run):
    lake = pictures["lake.jpg"]
    asked = "?best=3&gaze=true&max_chars=60&sentence=1&style=sentence"
    options = ["--best", 3, "--gaze", "--max-chars", 60, "--sentence", "--style", "sentence"]

    status, _, answer = server.ask("POST", f"/caption{asked}", lake.read_bytes())
    code, said, _ = run("caption", "--json", *options, lake)

    expected = json.loads(said)
    assert (status, code, expected.pop("path")) == (200, 0, str(lake))
    assert json.loads(answer) == expected
    assert len(expected["best"]) == 3 and "gaze" in expected["words"][0]


def test_a_page_is_captioned_on_request_and_an_unsure_caption_left_out(server, pictures):
    page, lake = (pictures[name].read_bytes() for name in ("page.png", "lake.jpg"))

    assert json.loads(server.ask("POST", "/caption?any_picture=1", page)[2])["caption"]
    unsure = json.loads(server.ask("POST", "/caption?min_confidence=0.9", lake)[2])
    assert unsure["caption"] is None and "less than 0.9" in unsure["left_out"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("gase=1", "did you mean 'gaze'"),
        ("gaze=perhaps", "invalid value for gaze"),
        ("best=0", "from 1 to"),
        ("best=nan", "invalid value for best"),
        ("min_confidence=nan", "from 0 to 1"),
        ("max_chars=3", "from 10 to"),
        ("style=haiku", "invalid value for style"),
        ("best=99", "that many candidates"),
    ],
)
def test_what_cannot_be_wanted_is_refused_with_a_sentence(server, pictures, query, sentence):
    status, _, answer = server.ask("POST", f"/caption?{query}", pictures["lake.jpg"].read_bytes())

    assert status in (400, 422)
    assert sentence in json.loads(answer)["error"]


def test_answers_fit_the_openapi_document(server, pictures):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(server.ask("GET", "/openapi.json")[2])
    answers = document["paths"]["/caption"]["post"]["responses"]
    form, kind = form_of(
        ("a.jpg", pictures["lake.jpg"].read_bytes()),
        ("page.png", pictures["page.png"].read_bytes()),
        ("broken.jpg", b"no picture"),
    )

    several = server.ask("POST", "/caption?gaze=1&best=2", form, Content_Type=kind)
    broken = server.ask("POST", "/caption", b"no picture")

    for status, _, body in (several, broken):
        schema = answers[str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(body), {**schema, "components": document["components"]})
    assert [each.get("path") for each in json.loads(several[2])] == [
        "a.jpg",
        "page.png",
        "broken.jpg",
    ]


def test_the_document_lists_every_parameter_and_every_one_works(server, pictures):
    document = json.loads(server.ask("GET", "/openapi.json")[2])
    values = {"integer": "10", "number": "0.5", "boolean": "true", "string": "auto"}
    lake = pictures["lake.jpg"].read_bytes()

    for parameter in document["paths"]["/caption"]["post"]["parameters"]:
        value = "2" if parameter["name"] == "best" else values[parameter["schema"]["type"]]
        assert server.ask("POST", f"/caption?{parameter['name']}={value}", lake)[0] == 200


def test_health_and_metrics(server, pictures):
    assert json.loads(server.ask("GET", "/health")[2]) == {"status": "ok"}

    def read() -> dict[str, float]:
        lines = server.ask("GET", "/metrics")[2].decode().splitlines()
        return {k: float(v) for k, v in (s.rsplit(" ", 1) for s in lines if s[0] != "#")}

    before = read()
    server.ask("POST", "/caption", pictures["lake.jpg"].read_bytes())
    server.ask("POST", "/caption", pictures["page.png"].read_bytes())
    server.ask("POST", "/caption", b"no picture")
    after = read()

    grown = {name for name in after if after[name] > before[name]}
    assert 'cutline_requests_total{interface="caption",status="200"}' in grown
    assert 'cutline_requests_total{interface="caption",status="422"}' in grown
    for result in ("captioned", "left_out", "failed"):
        assert f'cutline_pictures_total{{result="{result}"}}' in grown
    assert after["cutline_request_seconds_count"] - before["cutline_request_seconds_count"] == 2
    assert after["cutline_queue_pictures"] == after["cutline_queue_bytes"] == 0


# --------------------------------------------------------------------------- what is refused


def bomb(kind: str) -> bytes:
    """A few kilobytes that decode to 16 million pixels."""
    file = io.BytesIO()
    packed = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    Image.new("RGB", (4000, 4000)).save(file, kind, **packed)
    return file.getvalue()


@pytest.mark.parametrize(
    "kind",
    [
        "PNG",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("WEBP", "TIFF", "GIF", "AVIF")),
    ],
)
def test_pictures_that_would_fill_the_memory_are_refused(server, kind):
    status, _, answer = server.ask("POST", "/caption", bomb(kind))

    assert status == 422
    assert "memory for 16 megapixels" in json.loads(answer)["error"]


def test_a_large_jpeg_is_none_of_them(server):
    assert server.ask("POST", "/caption?any_picture=1", bomb("JPEG"))[0] == 200


IMAGE_URL = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/private.jpg"}}
DEEP = "[" * 100 + "]" * 100
BASE64 = base64.b64encode(b"no picture").decode()


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/v1/chat/completions", {"messages": [{"content": [IMAGE_URL]}]}, "does not fetch URLs"),
        (
            "/v1/responses",
            {"input": [{"content": [{"type": "input_image", "image_url": "file:///etc/passwd"}]}]},
            "does not fetch URLs",
        ),
        ("/api/generate", {"images": ["https://example.com/a.jpg"]}, "does not fetch URLs"),
        ("/api/chat", {"messages": [{"images": ["/etc/passwd"]}]}, "not base64"),
        ("/models/cutline", {"inputs": "http://example.com/a.jpg"}, "does not fetch URLs"),
        ("/models/cutline", {"inputs": 7}, "must be a string"),
        ("/api/generate", {"images": [BASE64]}, "the file is not a picture"),
        ("/api/generate", {"images": "x"}, "images must be a list"),
        ("/api/generate", {"images": [BASE64], "format": "json"}, "JSON"),
        ("/api/generate", f'{{"images": {DEEP}}}', "must be a string"),
        ("/api/chat", "[" * 100_000, "at most 10,000 values"),
        ("/api/chat", "[" * 9_000, "nested too deeply"),
        ("/api/chat", "[" + "[]," * 100_000 + "[]]", "at most 10,000 values"),
        ("/api/chat", "[]", "must be a JSON object"),
        ("/api/chat", '{"a": ' + "9" * 10_000 + "}", "JSON"),
        ("/api/chat", b"\xff\xfe{", "JSON"),
        ("/v1/chat/completions", {"messages": 7}, "messages must be a list"),
        ("/v1/chat/completions", {"messages": [7, {"content": [7]}]}, "send a picture"),
        ("/v1/chat/completions", {"response_format": {"type": "json_object"}}, "JSON"),
    ],
)
def test_bodies_that_ask_for_anything_else_get_a_sentence(server, path, body, sentence):
    status, answer = post_json(server, path, body)

    assert status == 400
    error = answer["error"]
    assert sentence in (error["message"] if path.startswith("/v1/") else error)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (JSON, "{}", 415),
        ({"Content_Type": "text/html"}, "<p>", 415),
        ({"Content_Type": "multipart/form-data"}, "x", 400),
        ({"Content_Type": "multipart/form-data; boundary=x"}, "--y\r\n", 400),
        ({"Content_Type": "multipart/form-data; boundary=x"}, form_of()[0], 422),
        ({"Content_Type": "image/jpeg"}, b"", 422),
        ({"Content_Type": "image/jpeg"}, b"\xff\xd8\xff", 422),
    ],
)
def test_bodies_of_the_wrong_kind_are_refused(server, headers, body, status):
    answer = server.ask("POST", "/caption", body, **headers)

    assert answer[0] == status
    assert json.loads(answer[2])["error"]


def test_more_pictures_than_one_request_may_have(server):
    form, kind = form_of(*[("a.jpg", b"x")] * 17)

    assert server.ask("POST", "/caption", form, Content_Type=kind)[0] == 400


def test_unknown_addresses_and_methods(server):
    assert server.ask("GET", "/nothing")[0] == 404
    assert server.ask("GET", "/caption")[0] == 405
    assert server.ask("GET", "/assets/..%2fapp.py")[0] == 404
    assert server.ask("POST", "/api/pull", "{}")[0] == 404


def test_a_body_over_the_limit_is_refused_before_it_is_sent_and_counted(server):
    def rejected() -> int:
        text = server.ask("GET", "/metrics")[2].decode()
        return int(text.split('\ncutline_rejections_total{status="413"} ')[1].split()[0])

    before = rejected()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: 27000001\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert rejected() == before + 1


def test_chunks_without_an_end_are_refused_at_the_limit(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(b"POST /caption HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
        try:
            for _ in range(40):
                line.sendall(chunk)
        except OSError:  # it was closed while we sent
            pass
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_pages_of_other_sites_may_neither_ask_nor_read(server, pictures):
    lake = pictures["lake.jpg"].read_bytes()

    foreign = server.ask("POST", "/caption", lake, Sec_Fetch_Site="cross-site", Origin="http://x")
    own = server.ask("POST", "/caption", lake, Sec_Fetch_Site="same-origin", Origin="http://x")

    assert (foreign[0], own[0]) == (403, 200)
    assert "access-control-allow-origin" not in own[1]


def test_no_answer_names_a_place_on_the_disk(server, pictures):
    answers = [
        server.ask("GET", path)[2]
        for path in ("/", "/openapi.json", "/metrics", "/health", "/api/tags", "/v1/models", "/x")
    ]
    answers += [
        server.ask("POST", "/caption?best=99", pictures["lake.jpg"].read_bytes())[2],
        server.ask("POST", "/caption", b"no picture")[2],
        server.ask("POST", "/api/show", "{}", **JSON)[2],
    ]

    for answer in answers:
        assert (
            b"/src/" not in answer and b".onnx" not in answer and str(ROOT).encode() not in answer
        )


# ------------------------------------------------------------------------------------- the log


def test_a_line_a_request_and_no_escape_sequences(server):
    server.ask("GET", "/%1b%5B31m%0Ared?token=secret")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
        assert line.recv(1000).startswith(b"HTTP/1.1 400 ")

    log = server.log.read_bytes()
    assert b" GET /%1b%5B31m%0Ared 404 " in log
    assert b"\x1b" not in log and b"secret" not in log
