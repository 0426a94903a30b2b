"""A real server process for every test of this folder; nothing is mocked."""

import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image, ImageDraw

from conftest import ROOT


@dataclass
class Server:
    """A running `cutline serve`."""

    process: subprocess.Popen
    address: str
    seconds: float
    """From the start of the process to the address."""
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return urlsplit(self.address).port

    def ask(self, method: str, path: str, body: object = None, **headers: str):
        """Status, headers and body of one request; header names have _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**self.headers, **named})
        answer = connection.getresponse()
        told = answer.status, answer.headers, answer.read()
        connection.close()
        return told

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


Start = Callable[..., Server]


def start_server(log: Path, *options: str, **environment: str) -> Server:
    """`cutline serve` on a free port, when it has told its address."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "cutline", "serve", "--port", "0", *map(str, options)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stderr=file, stdout=subprocess.DEVNULL, env={**os.environ, **environment}
        )
    while time.perf_counter() < began + 60:
        told = [line for line in log.read_text().splitlines() if line.startswith("http://")]
        if told or process.poll() is not None:
            break
        select.select([], [], [], 0.01)
    assert told, log.read_text()
    return Server(process, told[0].rstrip("/"), time.perf_counter() - began, log)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests that leave it as it is."""
    running = start_server(tmp_path_factory.mktemp("server") / "log", "--threads", "1")
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers with options of their own."""
    running: list[Server] = []

    def begin(*options: str, **environment: str) -> Server:
        running.append(start_server(tmp_path / f"log{len(running)}", *options, **environment))
        return running[-1]

    yield begin
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The examples, one of which gets a phrase for its caption, and a page of text."""
    page = tmp_path_factory.mktemp("pictures") / "page.png"
    drawn = Image.new("RGB", (600, 800), "white")
    for line in range(40, 760, 18):
        ImageDraw.Draw(drawn).text((40, line), "The quick brown fox jumps over it. " * 2, "black")
    drawn.save(page)
    return {path.name: path for path in (*sorted((ROOT / "examples").glob("*.jpg")), page)}


@pytest.fixture(scope="session")
def told(pictures: dict[str, Path]) -> dict[str, dict]:
    """What `cutline caption --json` says of each, but for the path."""
    command = [sys.executable, "-m", "cutline", "caption", "--json", *map(str, pictures.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = map(json.loads, done.stdout.splitlines())
    return {Path(line.pop("path")).name: line for line in lines}
