"""The answers of named pictures: in order, whoever gives them; addresses only if wanted."""

import http.server
import threading
from functools import partial

import pytest

from albums import draw
from cutline.cli.answers import answer_each
from cutline.errors import DataError, ImageError
from cutline.types import Caption, ExistingText


def captions(sources):
    """A caption that names its source; reads two ahead, as the captioner does."""
    sources = list(sources)
    for source in sources:
        yield Caption(str(source), (), 0.0, ())


def test_answers_come_in_the_order_of_the_names_whoever_gives_them(tmp_path):
    names = [f"{number}.jpg" for number in range(20)]
    wrong = dict.fromkeys(("0.jpg", "7.jpg"), DataError("no"))
    own = {f"{n}.jpg": ExistingText(f"text {n}", "", tmp_path) for n in (3, 4, 19)}
    found = [(name, wrong.get(name)) for name in names]

    answers = list(answer_each(found, captions, lambda path: own.get(path.name)))

    assert [path for path, _ in answers] == names
    said = {path: a.text if isinstance(a, Caption) else a for path, a in answers}
    assert said == {name: own.get(name) or wrong.get(name) or name for name in names}


def test_without_the_option_an_address_is_not_opened(run, tiny):
    code, _, err = run("caption", "http://127.0.0.1:1/?a[1].jpg", "--model", tiny)

    assert code == 1
    assert "is an address: `cutline caption --allow-urls` downloads it" in err
    assert "--out or --as" in run("caption", "http://a", "--allow-urls", "--out", "a.jsonl")[2]


@pytest.fixture
def host(tmp_path):
    """A server on this machine with a picture, and the requests that it got."""
    draw(tmp_path / "a.png")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(args)

    handler = partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/a.png", asked
        server.shutdown()


def test_a_private_host_is_refused_and_the_other_pictures_go_on(run, tiny, host, tmp_path):
    address, asked = host
    picture = tmp_path / "a.png"

    code, out, err = run("caption", address, picture, "--allow-urls", "--model", tiny)

    assert (code, out.startswith(f"{picture}\t"), out.count("\n")) == (1, True, 1)
    assert "127.0.0.1 is refused: 127.0.0.1 is not a public address" in err
    assert asked == []


def test_what_is_downloaded_is_captioned(host):
    """As on a public host: only the check of the address is another one."""
    from cutline.alttext.fetch import fetch_picture

    address, asked = host
    fetch = partial(fetch_picture, allowed=lambda ip: True)

    [(path, answer)] = answer_each([(address, None)], captions, fetch=fetch)

    assert (path, answer.text.startswith("b'\\x89PNG"), len(asked)) == (address, True, 1)
    assert not isinstance(answer, ImageError)
