"""Pictures of strangers: from public addresses only, whatever a page or a server tries."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from cutline.alttext.fetch import Limits, _Connection, fetch_picture, is_public
from cutline.errors import FetchError

PICTURE = b"\x89PNG" + bytes(5000)


class Server(ThreadingHTTPServer):
    """Serves a picture, and much that is none; `asked` are the paths and hosts it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.path.startswith("/late/"):
            self.server.over.wait(0.3)
            self.send_response(302)
            self.send_header("Location", "/late/")
            self.end_headers()
            return
        if self.path == "/missing.png":
            self.send_error(404)
            return
        self.send_response(200)
        kind = "text/html" if self.path == "/page.html" else "image/png"
        self.send_header("Content-Type", kind)
        if self.path == "/short.png":
            self.send_header("Content-Length", str(len(PICTURE) + 1_000))
        if self.path == "/slow.png":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            while not self.server.over.wait(0.05):  # something comes often enough for any patience
                self.wfile.write(b"X-Header: a\r\n")
        self.end_headers()
        self.wfile.write(PICTURE * (20 if self.path == "/large.png" else 1))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def anywhere(address: str) -> bool:
    return True


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.1",
        "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
        "2002:7f00:1::1", "2001:0:7f00:1::1", "fec0::1",
    ],
)  # fmt: skip
def test_what_is_not_of_the_public_internet_is_refused(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"])
def test_what_is_of_the_public_internet_is_not(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]",
     "[::ffff:127.0.0.1]", "0", "user@127.0.0.1"],
)  # fmt: skip
def test_however_our_own_machine_is_spelt_it_is_not_asked(server, host):
    port = server.server_address[1]

    with pytest.raises(FetchError, match="is not a public address|cannot be downloaded"):
        fetch_picture(f"http://{host}:{port}/a.png")

    assert server.asked == []


def test_a_picture_comes_as_it_is(server):
    assert fetch_picture(f"{server.address}/ä b.png?c=d\r\ne", allowed=anywhere) == PICTURE
    assert server.asked == [("/%C3%A4%20b.png?c=de", f"127.0.0.1:{server.server_address[1]}")]


def test_a_redirect_is_led_the_same_way(server):
    asked = list[str]()

    def only_the_first(address: str) -> bool:
        asked.append(address)
        return len(asked) < 2

    assert fetch_picture(f"{server.address}/to//a.png", allowed=anywhere) == PICTURE
    with pytest.raises(FetchError, match=r"localhost is refused: \S+ is not a public"):
        fetch_picture(f"{server.address}/to/http://localhost/a.png", allowed=only_the_first)
    with pytest.raises(FetchError, match="file:///etc/passwd is not an http or https address"):
        fetch_picture(f"{server.address}/to/file:///etc/passwd", allowed=anywhere)
    with pytest.raises(FetchError, match="is redirected more than 4 times"):
        fetch_picture(f"{server.address}/to//to//to//to//to//a.png", allowed=anywhere)


def test_the_address_that_was_found_allowed_is_the_one_connected_to(server, monkeypatch):
    """The name server would answer otherwise the second time; it is not asked a second time."""
    resolve, asked = socket.getaddrinfo, list[str]()

    def answer(host: str, *rest: object, **options: object):
        asked.append(host)
        names = {"example.org": "127.0.0.1" if len(asked) == 1 else "192.0.2.1"}
        return resolve(names.get(host, host), *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    port = server.server_address[1]

    assert fetch_picture(f"http://example.org:{port}/a.png", allowed=anywhere) == PICTURE

    assert asked.count("example.org") == 1
    assert server.asked == [("/a.png", f"example.org:{port}")]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_must_be_one_that_is_trusted(server, tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", "key.pem", "-out", "own.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)

    with pytest.raises(FetchError, match="certificate verify failed"):
        fetch_picture(f"https://localhost:{server.server_address[1]}/a.png", allowed=anywhere)

    assert server.asked == []


def test_a_name_of_which_one_address_is_private_is_refused(server, monkeypatch):
    port = server.server_address[1]
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("1.1.1.1", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(FetchError, match=r"example.org is refused: 10\.0\.0\.1"):
        fetch_picture("http://example.org/a.png")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/missing.png", "missing.png cannot be downloaded: 404"),
        ("/page.html", "page.html is text/html, not an image"),
        ("/large.png", "large.png is larger than 0.05 megabytes"),
        ("/slow.png", "slow.png took longer than 0.5 seconds"),
    ],
)
def test_what_does_not_come_as_it_should_is_one_sentence(server, path, sentence):
    limits = Limits(size=50_000, seconds=0.5)
    begun = time.monotonic()

    with pytest.raises(FetchError, match=sentence):
        fetch_picture(server.address + path, allowed=anywhere, limits=limits)

    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    "address",
    ["ftp://x.org/a.png", "http:///a.png", "http://[::1/a.png", "http://x.org:99999/a.png",
     "http://" + "a" * 300 + ".org/a.png", "http://a..b/"],
)  # fmt: skip
def test_an_address_that_is_none_is_one_sentence(address):
    with pytest.raises(FetchError):
        fetch_picture(address)


def test_a_request_given_up_while_it_was_being_connected_does_not_go_on(server):
    port = server.server_address[1]
    connection = _Connection(urlsplit(server.address), port, "127.0.0.1", 5.0)

    connection.abandon()
    with pytest.raises(TimeoutError):
        connection.request("GET", "/slow.png")
    connection.close()

    assert server.asked == []


def test_a_server_that_is_not_there_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a.png"

        with pytest.raises(FetchError, match="cannot be downloaded: .*refused"):
            fetch_picture(address, allowed=anywhere)


def test_the_time_is_one_for_all_redirects(server):
    """Each answer comes in time, all together do not."""
    begun = time.monotonic()

    with pytest.raises(FetchError, match=r"took longer than 0\.5 seconds"):
        fetch_picture(f"{server.address}/late/", allowed=anywhere, limits=Limits(seconds=0.5))

    assert time.monotonic() - begun < 3


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    begun = time.monotonic()

    with pytest.raises(FetchError, match=r"slow.example/a.png took longer than 0\.2 seconds"):
        fetch_picture("http://slow.example/a.png", limits=Limits(seconds=0.2))

    assert time.monotonic() - begun < 3
    over.set()


def test_a_picture_that_comes_short_is_no_picture(server):
    with pytest.raises(FetchError, match=r"is truncated: 5,004 of 6,004 bytes arrived"):
        fetch_picture(f"{server.address}/short.png", allowed=anywhere)
