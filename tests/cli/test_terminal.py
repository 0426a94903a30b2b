"""Output cannot control a terminal; output to files and pipes is unchanged."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from cutline.cli.terminal import visible
from strange_models import WORDS, write_model

if sys.platform != "win32":
    import pty

EVIL = "\x1b]0;owned\x07\x1b[2J\u202egpj"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")


def on_a_terminal(*arguments: object) -> bytes:
    """What `cutline` with these arguments prints on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cutline", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 2**16):
                seen += piece
        except OSError:  # the terminal was closed
            pass
    os.close(ours)
    return seen


@pytest.fixture
def evil(tmp_path):
    """A picture and a model with names and words that would control a terminal."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / f"{EVIL}.png")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "b.png")
    (tmp_path / f"bad{EVIL}.jpg").write_bytes(b"")
    words = "\n".join([*WORDS[:4], "\x1b[31mred", "dog"])
    card = '{"title": "\\u001b]0;owned\\u0007", "calibration": null}'
    metadata = {"vocabulary": words, "card": card}
    return write_model(tmp_path / "m.onnx", metadata=metadata)


@pytest.mark.parametrize("command", ["caption", "card", "write", "caption of nothing", "option"])
def test_names_and_words_cannot_control_a_terminal(command, evil, tmp_path):
    asked = {
        "caption": ["caption", "-m", evil, tmp_path],
        "card": ["card", evil],
        "write": ["caption", "-m", evil, tmp_path, "--out", tmp_path / "c.jsonl", "--as", "txt"],
        "caption of nothing": ["caption", "-m", evil, tmp_path / f"no{EVIL}.png"],
        "option": ["caption", f"--{EVIL}"],
    }

    seen = on_a_terminal(*asked[command])

    plain = seen.replace(b"\x1b[A", b"")  # with which tqdm removes its own bar
    assert b"\\x1b" in plain
    assert b"\x1b" not in plain and b"\x07" not in plain
    assert "\u202e".encode() not in plain


def test_names_are_unchanged_in_a_pipe(evil, tmp_path):
    command = [sys.executable, "-m", "cutline", "caption", "-m", evil, tmp_path]

    told = subprocess.run(command, capture_output=True, text=True, check=False)

    assert f"{EVIL}.png\t\x1b[31mred dog" in told.stdout
    assert "\x1b" not in told.stderr and "\\x1b" in told.stderr


def test_printable_characters_are_unchanged():
    assert visible("größe 犬 \U0001f415 'x'") == "größe 犬 \U0001f415 'x'"
    assert visible("a\tb\nc\x7f\udce9", keep="\t") == "a\tb\\nc\\x7f\\udce9"
