"""Models on the hub: the folder that is uploaded, and the real client against a stand-in."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import ModelCard

from conftest import ROOT
from cutline.inference.captioner import load

CAT = ROOT / "examples" / "cat.jpg"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """`me/caps` in `folder`, `me/gated` and nothing else, as the hub answers for files."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.asked = folder, list[str]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:  # noqa: N802  (as the class wants it)
        self.answer(body=False)

    def do_GET(self) -> None:  # noqa: N802
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = unquote(self.path)
        self.server.asked.append(f"{self.command} {path}")
        name, _, rest = path.lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        found = self.server.folder / file
        if name == "me/gated":
            self.send(403, {"X-Error-Code": "GatedRepo"})
        elif name != "me/caps":
            self.send(404, {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", "v1", COMMIT):
            self.send(404, {"X-Error-Code": "RevisionNotFound"})
        elif not found.is_file():
            self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            content = found.read_bytes()
            digest = f'"{hashlib.sha256(content).hexdigest()}"'
            self.send(200, {"X-Repo-Commit": COMMIT, "ETag": digest}, content, body=body)

    def send(
        self, status: int, headers: dict[str, str], content: bytes = b"", *, body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tiny, tmp_path_factory) -> Iterator[Hub]:
    from cutline.reports.hub_folder import write_hub_folder

    folder = tmp_path_factory.mktemp("hub") / "caps"
    write_hub_folder(load(tiny / "model.onnx"), folder, pictures=[CAT])
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_folder_has_what_the_hub_reads(hub, tiny):
    card = ModelCard.load(hub.folder / "README.md")

    names = {"model.onnx", "config.json", "README.md", "preview.jpg"}
    assert {path.name for path in hub.folder.iterdir()} == names
    assert (hub.folder / "model.onnx").read_bytes() == (tiny / "model.onnx").read_bytes()
    assert json.loads((hub.folder / "config.json").read_text())["model_type"] == "cutline"
    assert (card.data.library_name, card.data.pipeline_tag) == ("cutline", "image-to-text")
    scores = load(tiny).card["scores"]["validation"]["scores"]
    found = {each.metric_name: each.metric_value for each in card.data.eval_results}
    assert found == {name: round(100 * score, 2) for name, score in scores.items()}
    assert "preview.jpg" in card.text and "# Tiny" in card.text


def test_the_command_writes_the_folder_and_leaves_other_files_alone(run, tiny, tmp_path):
    model, folder = tiny / "model.onnx", tmp_path / "hub"
    assert run("export", model, "--to-hub-folder", folder, "--preview", CAT)[0] == 0
    assert run("export", model, "--to-hub-folder", folder)[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")

    code, _, err = run("export", model, "--to-hub-folder", tmp_path / "mine")

    assert code == 1 and "not known to be cutline's" in err
    assert (tmp_path / "mine" / "README.md").read_text() == "mine"


def caption(hub: Hub, home: Path, name: str, **more: str) -> tuple[int, str, str]:
    """What `cutline caption` says, with the real client."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **more,
    }  # fmt: skip
    command = [sys.executable, "-m", "cutline", "caption", "-m", name, str(CAT), "--any-picture"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_model_comes_from_the_hub_once_and_works_offline_then(hub, tiny, tmp_path):
    expected = load(tiny).caption(CAT).text

    first = caption(hub, tmp_path, "hf:me/caps@v1")
    downloads = [each for each in hub.asked if each.startswith("GET") and "model.onnx" in each]
    again = caption(hub, tmp_path, "hf:me/caps@v1", HF_HUB_OFFLINE="1")

    assert first[:2] == (0, f"{expected}\n"), first
    assert again[:2] == (0, f"{expected}\n"), again
    assert len(downloads) == 1
    assert sum("GET" in a and "model.onnx" in a for a in hub.asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:me/none", "me/none is not on the hub, or is private"),
        ("hf:me/gated", "me/gated is gated: accept its terms on huggingface.co"),
        ("hf:me/caps@v9", "me/caps has no such revision"),
        ("onnx:me/caps", "but a cutline"),
        ("offline", "is not in the cache of the hub, and the hub cannot be reached"),
    ],
)
def test_what_the_hub_does_not_give_is_one_sentence(hub, tmp_path, name, sentence):
    more = {"HF_ENDPOINT": "http://127.0.0.1:9"} if name == "offline" else {}

    code, out, err = caption(hub, tmp_path, "hf:me/caps" if more else name, **more)

    assert (code, out) == (1, "") and sentence in err
    assert err.startswith("cutline: ") and len(err.splitlines()) == 1
