"""The clients that people use, against a running server: all get what the command line says."""

import base64
import importlib
import json
import shutil
import subprocess

import pytest

NAMES = ["lake.jpg", "otter.jpg", "page.png"]
"""A sentence, a phrase in place of a doubtful sentence, and what is not a photograph."""


def need(name: str):
    return pytest.importorskip(name, reason=f"{name} is not installed (pip install -e '.[dev]')")


def data_url(path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"


def curl(*arguments: object) -> str:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", "--max-time", "60", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def openai(server):
    with need("openai").OpenAI(base_url=f"{server.address}/v1", api_key="any") as client:
        yield client


@pytest.fixture(scope="module")
def ollama(server):
    client = need("ollama").Client(host=server.address)
    yield client
    client._client.close()


def test_curl_gets_what_the_command_line_says_of_a_sentence_a_phrase_and_a_refusal(
    server, pictures, told
):
    for name in pictures:
        answer = curl("--data-binary", f"@{pictures[name]}", f"{server.address}/caption")
        assert json.loads(answer) == told[name]

    assert told["otter.jpg"]["caption"] == "an animal"
    assert told["page.png"]["left_out"] == "not a photograph"


def test_curl_sends_several_files_in_a_form_and_gets_each_by_its_name(server, pictures, told):
    files = [part for path in pictures.values() for part in ("-F", f"image=@{path}")]

    answer = json.loads(curl(*files, f"{server.address}/caption"))

    assert answer == [{"path": name, **told[name]} for name in pictures]


@pytest.mark.parametrize("name", NAMES)
def test_openai_chat_whole_and_streamed(openai, pictures, told, name):
    parts = [
        {"type": "text", "text": "Describe this picture."},
        {"type": "image_url", "image_url": {"url": data_url(pictures[name])}},
    ]
    given = {"model": "cutline", "messages": [{"role": "user", "content": parts}]}

    answer = openai.chat.completions.create(**given)
    streamed = list(openai.chat.completions.create(**given, stream=True))

    message = answer.choices[0].message
    assert message.content == told[name]["caption"]
    assert message.refusal == told[name].get("left_out")
    assert answer.model_extra["cutline"] == [told[name]]
    assert answer.usage.completion_tokens == len(told[name].get("words", []))
    deltas = [chunk.choices[0].delta for chunk in streamed]
    assert "".join(d.content or "" for d in deltas) == (told[name]["caption"] or "")
    assert "".join(d.refusal or "" for d in deltas) == told[name].get("left_out", "")
    assert streamed[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", NAMES)
def test_openai_responses_whole_and_streamed(openai, pictures, told, name):
    parts = [
        {"type": "input_text", "text": "Describe this picture."},
        {"type": "input_image", "image_url": data_url(pictures[name])},
    ]
    given = {"model": "cutline", "input": [{"role": "user", "content": parts}]}

    answer = openai.responses.create(**given)
    with openai.responses.stream(**given) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()

    for each in (answer, streamed):
        assert each.output_text == (told[name]["caption"] or "")
        [part] = each.output[0].content
        assert getattr(part, "refusal", None) == told[name].get("left_out")
        assert each.model_extra["cutline"] == [told[name]]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


def test_openai_asks_for_candidates_and_lists_models(openai, pictures):
    url = {"type": "image_url", "image_url": {"url": data_url(pictures["lake.jpg"])}}
    message = {"role": "user", "content": [url]}

    answer = openai.chat.completions.create(model="cutline", messages=[message], n=3)

    assert len({choice.message.content for choice in answer.choices}) == 3
    assert [model.id for model in openai.models.list()] == ["cutline"]
    assert openai.models.retrieve("cutline").owned_by == "cutline"


def test_openai_raises_its_own_error_with_our_sentence(openai):
    asked = {"model": "cutline", "messages": [{"role": "user", "content": "Hello"}]}

    with pytest.raises(importlib.import_module("openai").BadRequestError, match="send a picture"):
        openai.chat.completions.create(**asked)


@pytest.mark.parametrize("name", NAMES)
def test_ollama_generates_from_bytes_and_paths_whole_and_streamed(ollama, pictures, told, name):
    given = {"model": "cutline", "prompt": "Describe this picture."}
    path = pictures[name]

    whole = ollama.generate(**given, images=[path.read_bytes()])
    streamed = list(ollama.generate(**given, images=[str(path)], stream=True))

    text = told[name]["caption"] or ""
    assert whole.response == "".join(part.response for part in streamed) == text
    assert whole.done and streamed[-1].done and not streamed[0].done
    assert whole.eval_count == len(told[name].get("words", []))


@pytest.mark.parametrize("name", NAMES)
def test_ollama_chats_whole_and_streamed(ollama, pictures, told, name):
    message = {"role": "user", "content": "Describe it.", "images": [pictures[name]]}
    given = {"model": "cutline:latest", "messages": [message]}

    whole = ollama.chat(**given)
    streamed = list(ollama.chat(**given, stream=True))

    text = told[name]["caption"] or ""
    assert whole.message.content == "".join(part.message.content for part in streamed) == text


def test_ollama_lists_and_shows_the_model(ollama):
    assert [model.model for model in ollama.list().models] == ["cutline:latest"]
    assert "vision" in ollama.show("cutline").capabilities
    assert ollama.generate("cutline").done_reason == "load"


def test_ollama_streams_unless_it_is_told_not_to(server, pictures, told):
    body = {"images": [base64.b64encode(pictures["lake.jpg"].read_bytes()).decode()]}

    answer = curl("-d", json.dumps({**body, "prompt": "?"}), f"{server.address}/api/generate")

    first, last = map(json.loads, answer.splitlines())
    assert first["response"] == told["lake.jpg"]["caption"] and not first["done"]
    assert last["response"] == "" and last["cutline"] == [told["lake.jpg"]]
    assert "version" in json.loads(curl(f"{server.address}/api/version"))


@pytest.mark.parametrize("name", NAMES)
def test_hugging_face_gets_text_from_bytes_and_paths(server, pictures, told, name):
    client = need("huggingface_hub").InferenceClient(token="any")
    given = {"model": f"{server.address}/models/cutline"}

    answers = [
        client.image_to_text(pictures[name].read_bytes(), **given),
        client.image_to_text(str(pictures[name]), **given),
    ]

    assert [each.generated_text for each in answers] == [told[name]["caption"] or ""] * 2


def test_hugging_face_chats_and_posts_json(server, pictures, told):
    client = need("huggingface_hub").InferenceClient(base_url=server.address, token="any")
    url = data_url(pictures["lake.jpg"])
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}

    answer = client.chat_completion([message])

    assert answer.choices[0].message.content == told["lake.jpg"]["caption"]
    body = json.dumps({"inputs": url.partition(",")[2], "parameters": {}})
    posted = server.ask("POST", "/models/cutline", body, Content_Type="application/json")
    assert json.loads(posted[2])[0]["cutline"] == told["lake.jpg"]


def test_ibm_max_gets_three_captions_and_none_of_what_is_no_photograph(server, pictures, told):
    where = f"{server.address}/model/predict"

    lake = json.loads(curl("-F", f"image=@{pictures['lake.jpg']}", where))
    page = json.loads(curl("-F", f"image=@{pictures['page.png']}", where))

    assert [each["index"] for each in lake["predictions"]] == ["0", "1", "2"]
    assert lake["predictions"][0]["caption"] == told["lake.jpg"]["caption"]
    assert lake["predictions"][0]["probability"] == told["lake.jpg"]["confidence"]
    assert (page["status"], page["predictions"]) == ("ok", [])
    assert page["cutline"]["left_out"] == "not a photograph"
