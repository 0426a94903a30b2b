"""Servers of strangers: what they answer is made from seeds; who asks is `cutline`'s own client."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from random import Random

from hostile.material import Material
from hostile.mutations import TEXTS, mutate_bytes

LENGTH = 50_000
"""Bytes that a whole answer has."""


class Server:
    """A socket on this machine that answers each request with the next of its answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._socket.getsockname()[1]
        self.answers: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            asking, _ = self._socket.accept()
            with asking, suppress(OSError):
                asking.settimeout(1)
                asking.recv(4_096)
                if self.answers:
                    asking.sendall(
                        self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    )


def make_answers(dice: Random, folder: Path, material: Material) -> Path:
    """One to three answers to be given one after the other, in a file for each."""
    for number in range(dice.choice((1, 1, 2, 3))):
        (folder / f"answer-{number}").write_bytes(_answer(dice, material))
    return folder


def answers_in(folder: Path) -> list[bytes]:
    """Those of an input, in order."""
    return [path.read_bytes() for path in sorted(folder.glob("answer-*"))]


def _answer(dice: Random, material: Material) -> bytes:
    status = dice.choice(
        ("200 OK", "200 OK", "206 Partial Content", "302 Found", "404 No", "500 X")
    )
    body = dice.choice((material.picture, bytes(LENGTH), b"", bytes(LENGTH * 3)))
    length = dice.choice((len(body), len(body), LENGTH, 0, -1, 10**18, "x", "9" * 5_000))
    kinds = ("image/png", "image/png", "text/html", "", "image/\x1b[2J", "application/zip")
    heads = [f"Content-Length: {length}", f"Content-Type: {dice.choice(kinds)}"]
    start = dice.choice((0, 0, 10, LENGTH, -5, 10**30))
    heads.append(f"Content-Range: bytes {start}-{LENGTH - 1}/{dice.choice((LENGTH, '*', 0, -1))}")
    if status.startswith("302"):
        addresses = (
            "/again",
            "file:///etc/passwd",
            "http://[::1",
            "//",
            "",
            "ftp://x/",
            "http://\0/",
        )
        heads.append(f"Location: {dice.choice((*addresses, *TEXTS[:6]))}")
    if dice.random() < 0.2:
        heads.append("Transfer-Encoding: chunked")
        body = b"%x\r\n" % dice.choice((len(body), 2**62, 0)) + body + b"\r\n0\r\n\r\n"
    if dice.random() < 0.1:
        heads += [f"X-{n}: {'y' * 600}" for n in range(dice.choice((50, 150)))]
    head = "\r\n".join([f"HTTP/1.1 {status}", *heads, "Connection: close", "", ""])
    content = head.encode("utf8", "replace") + body
    return mutate_bytes(dice, content) if dice.random() < 0.5 else content
