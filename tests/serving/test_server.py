"""How a server lives: starts, ends, shares cores, keeps others out, and stands bad clients."""

import asyncio
import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from cutline.serving import gate, server

TOKEN = "correct-horse-battery"
HEAD = b"POST /caption HTTP/1.1\r\nHost: x\r\n"


def connect(running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=60)


def megabytes(running, name: str = "VmHWM") -> float:
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) / 1000


def count(running, *names: str) -> int:
    """The sum of some counters."""
    lines = running.ask("GET", "/metrics")[2].decode().splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines)
    return sum(int(told.get(name, told.get(f"cutline_{name}"))) for name in names)


def marked(number: int) -> list[bytes]:
    """Pictures that each get their own probability to the last digit: crops of the examples."""
    examples = [Image.open(path) for path in sorted((ROOT / "examples").glob("*.jpg"))]
    drawn = []
    for place in range(number):
        picture = examples[place % len(examples)]
        edge = 4 * (place // len(examples))
        file = io.BytesIO()
        picture.crop((edge, edge, *picture.size)).convert("RGB").save(file, "JPEG")
        drawn.append(file.getvalue())
    return drawn


# ------------------------------------------------------------------------------------- its life


def test_it_starts_within_a_second_of_processor_time_and_ends_well(start):
    running = start("--threads", "1")
    ticks = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    spent = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")

    assert spent < 1.0
    assert running.address.startswith("http://127.0.0.1:")
    assert running.stop() == 0


def test_what_was_accepted_is_answered_after_term_and_nothing_new_is(start, pictures):
    running, lake = start("--threads", "1"), pictures["lake.jpg"].read_bytes()
    with connect(running) as idle, connect(running) as half, ThreadPoolExecutor() as pool:
        half.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(lake) + lake[:1000])
        under_way = [pool.submit(running.ask, "POST", "/caption", lake) for _ in range(8)]
        while count(running, "cutline_queue_pictures", 'pictures_total{result="captioned"}') < 9:
            time.sleep(0.01)

        running.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        half.sendall(lake[1000:])

        assert [answer.result()[0] for answer in under_way] == [200] * 8
        assert half.recv(9999).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(ConnectionRefusedError):
            connect(running)
        assert running.process.wait(timeout=30) == 0


@pytest.mark.slow
def test_several_processes_share_the_port_and_the_counters(start, pictures, told):
    running, lake = start("--workers", "2", "--threads", "1"), pictures["lake.jpg"].read_bytes()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: running.ask("POST", "/caption", lake), range(32)))

    assert all(json.loads(body) == told["lake.jpg"] for _, _, body in answers)
    for _ in range(8):  # whichever process answers
        assert count(running, 'pictures_total{result="captioned"}') == 32
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
    first, *others = _serving(children)
    os.kill(int(first), signal.SIGKILL)
    assert len(others) == 1
    while running.process.poll() is None and len(_serving(children)) < 2:
        time.sleep(0.05)
    assert running.ask("GET", "/health")[0] == 200
    assert count(running, 'pictures_total{result="captioned"}') == 32
    assert running.stop() == 0


def _serving(children: Path) -> list[str]:
    """The process ids of the servers among the children."""
    ids = children.read_text().split()
    return [pid for pid in ids if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.slow
def test_processes_end_with_their_parent(start):
    running = start("--workers", "2", "--threads", "1")
    assert running.ask("GET", "/health")[0] == 200

    running.process.kill()

    for _ in range(400):
        try:
            connect(running).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.05)
    pytest.fail("a process goes on without its parent")


def test_an_address_in_use_is_one_sentence(server, run):
    code, _, said = run("serve", "--port", server.port)

    assert code == 1
    assert said.startswith(f"cutline: cannot listen on 127.0.0.1, port {server.port}: ")


@pytest.mark.parametrize("name", ["uvicorn", "python_multipart"])
def test_a_missing_package_is_one_sentence(name):
    code = (
        "import sys; sys.modules[sys.argv.pop()] = None\nfrom cutline.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "serve", name]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"serving needs {name}: pip install 'cutline[serve]'" in done.stderr


def test_a_model_that_is_none_is_one_sentence(run, tmp_path):
    code, _, said = run("serve", "--port", 0, "--model", tmp_path / "none")

    assert (code, said.strip()) == (1, f"cutline: there is no model {tmp_path / 'none'}")


# ------------------------------------------------------------------------------------- its door


def test_a_token_is_asked_for_everywhere_but_of_health(start, pictures, tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    running = start("--threads", "1", "--token-file", tmp_path / "token", "--json-logs")
    lake = pictures["lake.jpg"].read_bytes()
    basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    wrong = ["", TOKEN, f"Bearer {TOKEN}x", "Bearer", "Basic !", "Basic YQ==", "Bearer \xe9"]

    for shown in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert running.ask("POST", "/caption", lake, Authorization=shown)[0] == 200
    for shown in wrong:
        status, headers, _ = running.ask("POST", "/caption", lake, Authorization=shown)
        assert status == 401 and headers["WWW-Authenticate"].startswith("Basic")
    for path in ("/", "/metrics", "/v1/models", "/api/tags", "/openapi.json"):
        assert running.ask("GET", path)[0] == 401
    assert running.ask("GET", "/health")[0] == 200
    running.stop()
    lines = [json.loads(line) for line in running.log.read_text().splitlines()[1:]]
    assert {"time", "client", "method", "path", "status", "seconds"} == set(lines[0])
    assert [line["status"] for line in lines[:4]] == [200, 200, 200, 401]
    assert TOKEN not in running.log.read_text()


def test_a_short_token_is_refused(run, tmp_path):
    (tmp_path / "token").write_text("secret")

    code, _, said = run("serve", "--port", 0, "--token-file", tmp_path / "token")

    assert code == 1 and "at least 16 ASCII characters" in said


def test_allowed_origins_and_other_machines_may_ask(start, pictures):
    running = start("--threads", "1", "--cors", "https://photos.example", "--host", "0.0.0.0")
    lake = pictures["lake.jpg"].read_bytes()
    ours = {"Sec_Fetch_Site": "cross-site", "Origin": "https://photos.example"}

    status, headers, _ = running.ask("POST", "/caption", lake, **ours)
    before = running.ask("OPTIONS", "/caption", None, Access_Control_Request_Method="POST", **ours)
    others = running.ask("POST", "/caption", lake, **{**ours, "Origin": "https://other.example"})

    assert (status, before[0], others[0]) == (200, 200, 403)
    assert headers["Access-Control-Allow-Origin"] == "https://photos.example"
    assert "Access-Control-Allow-Origin" not in others[1]
    assert "anyone who can connect can use this server" in running.log.read_text()


# ---------------------------------------------------------------------------------- many clients


@pytest.mark.slow
def test_each_answer_belongs_to_its_picture_however_many_ask(start):
    """And an overloaded server says so; whoever waits as it says is served in the end."""
    from cutline import Style, load

    running, pictures = start(), marked(40)
    style = Style(form="auto")
    expected = [answer.as_json() for answer in load().caption_each(pictures, style=style)]
    assert len({each["log_prob"] for each in expected}) > 35
    refused = 0

    def ask(number: int) -> None:
        nonlocal refused
        while True:
            status, headers, body = running.ask("POST", "/caption", pictures[number % 40])
            if status == 200:
                assert json.loads(body) == expected[number % 40]
                return
            assert (status, headers["Connection"]) == (503, "close")
            refused += 1
            time.sleep(int(headers["Retry-After"]))

    with ThreadPoolExecutor(96) as pool:
        list(pool.map(ask, range(120)))
    assert refused
    assert count(running, "queue_pictures") == 0


# ----------------------------------------------------------------------------------- bad clients


@pytest.mark.slow
def test_clients_that_are_slow_are_ended_and_others_served(start, pictures):
    """All at once, since each takes ten seconds."""
    running, lake = start("--threads", "1"), pictures["lake.jpg"].read_bytes()
    lines = [connect(running) for _ in range(5)]
    silent, head, drip, body, chunks = lines
    head.sendall(HEAD[:20])
    body.sendall(HEAD + b"Content-Length: 1000\r\n\r\n123")
    chunks.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    began = time.monotonic()

    def drip_slowly() -> None:
        for number in range(30):
            try:
                drip.sendall(b"POST /caption HTTP/1.1\r\nX-Header: aaaaaaaaaa"[number : number + 1])
                chunks.sendall(b"1\r\nx\r\n")
            except OSError:
                return
            time.sleep(1)

    threading.Thread(target=drip_slowly, daemon=True).start()

    assert running.ask("POST", "/caption", lake)[0] == 200
    assert silent.recv(100) == b""
    for line in (head, drip, body, chunks):
        assert line.recv(100).startswith(b"HTTP/1.1 408 ")
        line.close()
    assert server.HEAD_SECONDS - 1 < time.monotonic() - began < 2 * gate.BODY_SECONDS
    silent.close()


@pytest.mark.slow
def test_a_client_that_asks_and_never_reads_holds_no_room(start, pictures):
    running, lake = start("--threads", "1"), pictures["lake.jpg"].read_bytes()
    with connect(running) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        form = b"".join(
            b'--x\r\nContent-Disposition: form-data; name="i"; filename="a"\r\n\r\n%s\r\n' % lake
            for _ in range(8)
        )
        head = HEAD.replace(b"caption", b"caption?gaze=1&best=3")
        kind = b"Content-Type: multipart/form-data; boundary=x\r\n"
        sent = form + b"--x--\r\n"
        line.sendall(head + kind + b"Content-Length: %d\r\n\r\n" % len(sent) + sent)
        while count(running, 'pictures_total{result="captioned"}') < 8:
            time.sleep(0.05)

        assert count(running, "queue_pictures") == 0


@pytest.mark.slow
def test_more_connections_than_there_may_be_are_closed(start):
    running = start("--threads", "1")
    lines = [connect(running) for _ in range(server.MAX_CONNECTIONS + 20)]
    time.sleep(1)

    closed = 0
    for line in lines:
        line.setblocking(False)
        with suppress(BlockingIOError):
            closed += line.recv(1) == b""
        line.close()
    assert closed == 20
    time.sleep(0.5)
    assert running.ask("GET", "/health")[0] == 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_bounded_whatever_comes(start):
    running = start()
    stop = time.monotonic() + 10

    async def abuse() -> None:
        await asyncio.gather(*(_abuse(running.port, body, stop) for body in _abuses() * 4))

    asyncio.run(abuse())
    assert running.ask("GET", "/health")[0] == 200
    print(f"{megabytes(running):.0f} MB at most, {megabytes(running, 'VmRSS'):.0f} MB now")
    assert megabytes(running) < 600  # 489 to 553 MB were measured; 500 is the aim


def _abuses() -> list[bytes]:
    """Whole requests, each of which is meant to take as much memory as it can."""
    noise = np.random.default_rng(0).bytes(26_000_000)
    bodies = [noise, b"[" + b"[]," * 8_000_000 + b"[]]", b'{"images": ["' + b"A" * 26_000_000]
    for kind, mode, size in [
        ("WEBP", "RGBA", 3500),
        ("TIFF", "F", 3500),
        ("PNG", "RGBA", 3500),
        ("PNG", "I;16", 3500),
        ("JPEG", "CMYK", 4990),
        ("AVIF", "RGB", 3500),
        ("JPEG2000", "RGB", 3500),
        ("PNG", "RGB", 9000),
    ]:
        file = io.BytesIO()
        more = {"compression": "tiff_deflate"} if kind == "TIFF" else {"progressive": True}
        Image.new(mode, (size, size)).save(file, kind, **more)
        bodies.append(file.getvalue())
    requests = []
    for number, body in enumerate(bodies):
        path = b"/caption" if number not in (1, 2) else b"/api/generate"
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path, len(body))
        requests.append(head + body)
    return requests


async def _abuse(port: int, request: bytes, stop: float) -> None:
    while time.monotonic() < stop:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(OSError):
            writer.write(request)
            await asyncio.wait_for(reader.read(100), 60)
        writer.close()
