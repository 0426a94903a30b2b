"""`--model openai:` and `ollama:` against a real server process: cutline's own."""

import json
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from cutline.engines.server import _encode
from cutline.images.load import WholeView, open_image
from cutline.inference.captioner import load
from cutline.text.style import Style

MODELS = ("openai:{}/v1#cutline", "ollama:{}#cutline")
STYLE = Style(form="auto")


def caption_here(pictures: Iterable[Path]) -> list[tuple[str, str]]:
    """What this process says of the JPEGs that a server gets, and why it says nothing."""
    sent = [b64decode(_encode(open_image(path, WholeView()))) for path in pictures]
    return [(each.text, each.left_out) for each in load(threads=1).caption(sent, style=STYLE)]


@pytest.mark.parametrize("model", MODELS)
def test_a_server_gives_the_captions_of_this_process_without_a_confidence(
    server, pictures, run, model
):
    shown = [pictures[name] for name in ("lake.jpg", "otter.jpg", "page.png")]
    expected = caption_here(shown)
    if "ollama" in model:  # its API has no refusals
        expected[-1] = ("", "the model wrote nothing")

    code, out, err = run("caption", "-m", model.format(server.address), "--json", *shown)

    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["path"] for line in lines] == list(map(str, shown))
    assert [(line["caption"] or "", line.get("left_out", "")) for line in lines] == expected
    assert {(line["confidence"], line["log_prob"]) for line in lines} == {(None, None)}
    assert code == 0 and "3 answered" in err and "0 requests repeated" in err


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_library_whose_captioning_was_killed_is_not_asked_for_again(server, tmp_path, model):
    album = [tmp_path / f"{number:03}.png" for number in range(100)]
    for number, path in enumerate(album):
        Image.new("RGB", (60, 40), (2 * number, 255 - number, number)).save(path)
    out, before = tmp_path / "captions.jsonl", count_answers(server)
    named = ["-m", model.format(server.address), "--threads", "1", "--out", str(out)]
    command = [sys.executable, "-m", "cutline", "caption", *named, *map(str, album)]

    first = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while count_answers(server) == before:
        time.sleep(0.01)
    time.sleep(1.5)  # what was answered more than a second ago is in the journal
    first.kill()
    assert first.wait() < 0
    wasted = count_answers(server) - before
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
    asked = count_answers(server) - before
    subprocess.run(command, stderr=subprocess.DEVNULL, check=True)

    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["path"] for row in rows] == list(map(str, album))
    assert [row["caption"] or "" for row in rows] == [text for text, _ in caption_here(album)]
    assert len(album) <= asked < len(album) + wasted
    assert count_answers(server) - before == asked


def count_answers(server) -> int:
    return server.log.read_text().count("POST ")
