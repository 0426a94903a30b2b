"""Files come whole or not at all, from a real server that does everything wrong."""

import hashlib
import io
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from cutline.datasets import download as fetching
from cutline.datasets.catalog import DOWNLOADABLE, STATE_FOLDER, get, get_all, plan
from cutline.datasets.download import DownloadProgress, RemoteFile, fetch
from cutline.datasets.unzip import unpack
from cutline.errors import DataError, FetchError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves `files`; how it misbehaves is in `fault`, and what it was asked in `asked`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file.zip": CONTENT}
        self.fault = ""
        self.asked: list[str] = []
        self.count = Counter[str]()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, fault = self.server, self.server.fault
        server.asked.append(self.headers.get("Range", "whole"))
        server.count[self.path] += 1
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        if fault == "goes in circles" or fault.startswith("redirects"):
            self.send_response(302)
            host = "http://[::1" if fault == "redirects to no address" else server.address
            self.send_header("Location", f"{host}{self.path}")
            self.send_header("Content-Length", str(10**18 * fault.endswith("endless body")))
            self.end_headers()
            return
        if fault == "busy at first" and server.count[self.path] <= 2:
            self.send_error(503)
            return
        start = 0
        if "Range" in self.headers and fault != "ignores ranges":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            start += 7 * (fault == "answers with another range")
            self.send_response(206)
            said = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", said)
        else:
            self.send_response(200)
        rest = content[start:]
        lie = {"says more": 1_000, "says less": -1_000}.get(fault, 0)
        if fault.startswith("length "):
            self.wfile.write(f"Content-Length: {fault.removeprefix('length ')}\r\n".encode())
            self.close_connection = True
        elif fault == "says nothing":
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(rest) + lie))
        self.end_headers()
        self._send(rest, fault)

    def _send(self, rest: bytes, fault: str) -> None:
        if fault in ("breaks off", "ignores ranges") and self.server.count[self.path] <= 3:
            self.wfile.write(rest[:700_000])
            self.close_connection = True
        elif fault == "stalls" and self.server.count[self.path] <= 2:
            self.wfile.write(rest[:700_000])
            self.wfile.flush()
            time.sleep(1.5)
            self.close_connection = True
        else:
            self.wfile.write(rest)
            self.close_connection = fault == "says more"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def remote(server: Server, content: bytes = CONTENT, name: str = "file.zip") -> RemoteFile:
    md5 = hashlib.md5(content).hexdigest()
    return RemoteFile(name, f"{server.address}/{name}", len(content), md5)


def bring(remote: RemoteFile, folder: Path) -> None:
    for _ in fetch(remote, folder, timeout=0.5, pause=0.01):
        pass


@pytest.mark.parametrize(
    "fault",
    [
        "",
        "breaks off",
        "stalls",
        "ignores ranges",
        "busy at first",
        "says more",
    ],
)
def test_a_file_comes_whole_whatever_the_server_does(fault, server, tmp_path):
    server.fault = fault

    bring(remote(server), tmp_path)

    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.zip"]


@pytest.mark.parametrize(
    "fault",
    [
        "says less",
        "answers with another range",
        "redirects with an endless body",
        "redirects to no address",
    ],
)
def test_a_file_that_cannot_come_whole_does_not_come(fault, server, tmp_path):
    server.fault = fault
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:1_000_000] if "range" in fault else b"")

    with pytest.raises(
        FetchError, match=r"file.zip (is not the expected file|cannot be downloaded)"
    ):
        bring(remote(server), tmp_path)

    assert not (tmp_path / "file.zip").exists()


def test_only_what_is_missing_is_asked_for(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:2_000_000])

    bring(remote(server), tmp_path)

    assert server.asked == ["bytes=2000000-"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_what_is_there_already_is_not_asked_for(server, tmp_path):
    (tmp_path / "file.zip").write_bytes(CONTENT)
    (tmp_path / "other.zip.part").write_bytes(CONTENT)
    server.files["/other.zip"] = CONTENT

    bring(remote(server), tmp_path)
    bring(remote(server, name="other.zip"), tmp_path)

    assert server.asked == ["bytes=3000000-"]
    assert (tmp_path / "other.zip").read_bytes() == CONTENT


def test_a_part_of_another_file_is_thrown_away_and_the_file_comes(server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1_000_000)

    bring(remote(server), tmp_path)

    assert server.asked == ["bytes=1000000-", "whole"]
    assert (tmp_path / "file.zip").read_bytes() == CONTENT


def test_a_wrong_file_is_one_sentence_and_no_file(server, tmp_path):
    server.files["/file.zip"] = CONTENT[:-1] + b"?"

    with pytest.raises(FetchError, match=r"is not the expected file: its MD5 is \w+, but should"):
        bring(remote(server), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_told_at_once(server, tmp_path):
    began = time.perf_counter()

    with pytest.raises(FetchError, match=r"absent.zip cannot be downloaded: 404 Not Found"):
        bring(remote(server, name="absent.zip"), tmp_path)

    assert time.perf_counter() - began < 1
    assert len(server.asked) == 1


def test_a_server_that_is_gone_is_told_and_what_came_is_kept(server, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/file.zip"
    (tmp_path / "file.zip.part").write_bytes(CONTENT[:5])

    with pytest.raises(FetchError, match=r"cannot be downloaded: .*refused.* \(5 bytes are kept"):
        bring(RemoteFile("file.zip", nobody, 10, "0" * 32), tmp_path)

    assert (tmp_path / "file.zip.part").read_bytes() == CONTENT[:5]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    was = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, was)


def test_a_full_disk_is_told_and_what_came_is_kept(server, tmp_path):
    with files_end_at(1_000_000), pytest.raises(FetchError, match="File too large"):
        bring(remote(server), tmp_path)
    bring(remote(server), tmp_path)

    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=1000000-"


# ------------------------------------------------------------------------------------ archives


def zipped(files: dict[str, bytes], **links: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in links.items():
            link = zipfile.ZipInfo(name)
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    return file.getvalue()


@pytest.mark.parametrize(
    "name", ["../up.txt", "/etc/root.txt", "a/../../up.txt", "C:/windows.txt", "..\\up.txt"]
)
def test_no_member_leaves_the_folder(name, tmp_path):
    archive = tmp_path / "hostile.zip"
    archive.write_bytes(zipped({"good.txt": b"good", name: b"bad"}))

    with pytest.raises(FetchError, match="would be written outside its folder"):
        list(unpack(archive, tmp_path / "in" / "side"))

    assert [path.name for path in tmp_path.rglob("*")] == ["hostile.zip"]


def test_links_and_bombs_are_refused(tmp_path):
    archive = tmp_path / "hostile.zip"
    archive.write_bytes(zipped({}, link="/etc/passwd"))
    with pytest.raises(FetchError, match="'link' is a link, not a file"):
        list(unpack(archive, tmp_path / "inside"))

    archive.write_bytes(zipped({"bomb": bytes(120 * 10**6)}))
    with pytest.raises(FetchError, match=r"would unpack to 0.1 GB, too much for its size"):
        list(unpack(archive, tmp_path / "inside"))

    assert not (tmp_path / "inside").exists()


def test_an_unpacking_that_was_stopped_goes_on(tmp_path):
    archive = tmp_path / "whole.zip"
    files = {f"train/{number}.jpg": bytes([number]) * 1_000 for number in range(20)}
    archive.write_bytes(zipped(files))

    events = unpack(archive, tmp_path)
    for _ in range(5):
        next(events)
    events.close()
    written = list(unpack(archive, tmp_path))

    assert len(written) == 15
    assert written[-1].done == written[-1].total == 20_000
    assert {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.glob("train/*")} == files


def test_a_damaged_archive_is_one_sentence(tmp_path):
    archive = tmp_path / "broken.zip"
    archive.write_bytes(zipped({"a.txt": b"a" * 5_000})[:-30])

    with pytest.raises(FetchError, match=r"broken.zip is damaged: "):
        list(unpack(archive, tmp_path))


# ------------------------------------------------------------------------------------ data sets


@pytest.fixture
def offered(server, monkeypatch) -> dict[str, bytes]:
    """A small data set on the server, under COCO's names."""
    files = {
        "/annotations/annotations.zip": zipped({"annotations/captions_train2014.json": b"{}"}),
        "/annotations/info.zip": zipped({"annotations/image_info_test2014.json": b"{}"}),
        "/zips/train.zip": zipped({f"train2014/{n}.jpg": bytes(n) for n in range(30)}),
    }
    server.files.update(files)
    remotes = {
        path.rsplit("/", 1)[1].removesuffix(".zip"): RemoteFile(
            path.rsplit("/", 1)[1], path[1:], len(content), hashlib.md5(content).hexdigest()
        )
        for path, content in files.items()
    }
    from cutline.datasets.catalog import DownloadableDataset

    monkeypatch.setitem(DOWNLOADABLE, "small", DownloadableDataset(server.address, remotes))
    return files


def test_a_data_set_is_one_folder_in_the_end(server, offered, tmp_path):
    todo = plan("small", tmp_path)
    assert todo.bytes_to_fetch == sum(map(len, offered.values()))

    events = list(get_all(todo.missing, tmp_path, timeout=1.0))

    assert not [event for event in events if isinstance(event, FetchError)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [STATE_FOLDER, "annotations", "train2014"]
    assert len(list((tmp_path / "annotations").iterdir())) == 2
    assert len(list((tmp_path / "train2014").iterdir())) == 30
    assert not list((tmp_path / STATE_FOLDER).glob("*.zip"))
    assert plan("small", tmp_path).missing == ()


def test_one_parcel_that_does_not_come_does_not_keep_the_others(server, offered, tmp_path):
    server.files["/zips/train.zip"] = b"wrong"

    events = list(get_all(plan("small", tmp_path).missing, tmp_path, timeout=1.0))

    [error] = [event for event in events if isinstance(event, FetchError)]
    assert "train.zip is not the expected file" in str(error)
    assert [p.name for p in plan("small", tmp_path).missing] == ["train.zip"]
    assert not (tmp_path / "train2014").exists()


def test_nothing_shows_under_its_final_name_before_it_is_whole(server, offered, tmp_path):
    [train] = plan("small", tmp_path, only=["train"]).missing

    for event in get(train, tmp_path):
        if event.done < 400:
            assert not (tmp_path / "train2014").exists()

    assert len(list((tmp_path / "train2014").iterdir())) == 30


def test_contents_are_checked_where_the_archive_has_no_checksum(server, tmp_path):
    server.files["/text.zip"] = zipped({"token.txt": b"changed"})
    expected = hashlib.sha256(b"right").hexdigest()
    text = RemoteFile(
        "text.zip", f"{server.address}/text.zip", 9, contents=f"{expected}  token.txt\n"
    )

    with pytest.raises(FetchError, match=r"is not the expected file: token.txt in it differs"):
        list(get(text, tmp_path))

    assert not (tmp_path / "token.txt").exists()


def test_data_sets_and_parts_that_do_not_exist_are_answered_with_the_nearest(tmp_path):
    with pytest.raises(
        DataError, match=r"no data set 'coco14' to download; did you mean 'coco2014'"
    ):
        plan("coco14", tmp_path)
    with pytest.raises(DataError, match=r"coco2014 has no part 'trian'; did you mean 'train'"):
        plan("coco2014", tmp_path, only=["trian"])


def test_addresses_are_those_of_a_valid_certificate_or_of_the_mirror(tmp_path):
    [official] = plan("coco2014", tmp_path, only=["val"]).files
    [mirrored] = plan("coco2014", tmp_path, only=["val"], mirror="http://nas.local/coco").files

    assert official.address.startswith("https://s3.amazonaws.com/images.cocodataset.org/zips/")
    assert mirrored.address == "http://nas.local/coco/zips/val2014.zip"
    assert fetching.MAX_ATTEMPTS > 3


# ----------------------------------------------------------------------------------- the command


@pytest.fixture
def pictured(server, offered) -> Server:
    """The data set on the server has real pictures, one of them damaged."""
    folder = ROOT / "examples"
    whole = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:3]]
    files = {f"train2014/{n}.jpg": content for n, content in enumerate(whole)}
    server.files["/zips/train.zip"] = zipped(files)
    server.files["/damaged"] = zipped({**files, "train2014/9.jpg": whole[0][:2_000]})
    return server


def _offer(server: Server, content: bytes) -> None:
    train = DOWNLOADABLE["small"].files["train"]
    server.files["/zips/train.zip"] = content
    md5 = hashlib.md5(content).hexdigest()
    DOWNLOADABLE["small"].files["train"] = replace(train, size=len(content), md5=md5)


def test_the_plan_says_what_it_costs_and_fetches_nothing(run, pictured, tmp_path):
    code, out, _ = run("data", "get", "small", "--out", tmp_path / "x", "--plan")

    assert code == 0
    assert "annotations.zip" in out
    assert "missing" in out
    assert "to download: 4 kB; needs up to 7 kB" in out
    assert pictured.asked == []
    assert not (tmp_path / "x").exists()


def test_one_command_fetches_all_and_a_second_one_nothing(run, pictured, tmp_path):
    _offer(pictured, pictured.files["/zips/train.zip"])

    code, _, err = run("data", "get", "small", "--out", tmp_path)
    asked = len(pictured.asked)
    again, out, _ = run("data", "get", "small", "--out", tmp_path)

    assert (code, again, asked, len(pictured.asked)) == (0, 0, 3, 3)
    assert "is complete" in err
    assert out.count("complete\n") == 3
    assert len(list((tmp_path / "train2014").iterdir())) == 3


def test_a_damaged_picture_is_named_and_the_exit_code_says_so(run, pictured, tmp_path):
    _offer(pictured, pictured.files["/damaged"])

    code, _, err = run("data", "get", "small", "--out", tmp_path)

    assert code == 1
    assert "9.jpg is truncated: the file ends before the picture does" in err


def test_a_wrong_file_is_one_sentence_and_the_others_come(run, pictured, tmp_path):
    pictured.files["/zips/train.zip"] = b"wrong"

    code, _, err = run("data", "get", "small", "--out", tmp_path)

    assert code == 1
    assert err.count("cutline: ") == 1
    assert "is not the expected file" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == [STATE_FOLDER, "annotations"]


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(run, small_disk):
    disk = small_disk("3m")

    code, _, err = run("data", "get", "coco2014", "--out", disk / "x")

    assert code == 1
    assert "needs up to 54.1 GB, and the disk has 3 MB left: choose parts with --only" in err
    assert not (disk / "x").exists()


# ------------------------------------------------------------------------- what else may go wrong


@pytest.mark.parametrize(
    "mirror", ["mirror.example.org/data", "nas:8000/data", "https://", "http://nas:99999/", "//["]
)
def test_a_mirror_that_is_no_address_is_told_before_anything_starts(mirror, run, tmp_path):
    code, out, err = run("data", "get", "flickr8k-text", "-o", tmp_path / "a", "--mirror", mirror)

    assert (code, out) == (1, "")
    assert f"the mirror {mirror!r} is not a URL such as https://" in err
    assert not (tmp_path / "a").exists()


def test_a_folder_on_the_disk_may_be_the_mirror(offered, tmp_path):
    for path, content in offered.items():
        (tmp_path / f"nas{path}").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"nas{path}").write_bytes(content)
    todo = plan("small", tmp_path / "here", mirror=(tmp_path / "nas").as_uri())

    events = list(get_all(todo.missing, todo.folder))

    assert not [event for event in events if isinstance(event, FetchError)]
    assert len(list((tmp_path / "here" / "train2014").iterdir())) == 30


def test_a_file_where_the_folder_should_be_is_told_before_anything_starts(run, pictured, tmp_path):
    (tmp_path / "file").write_text("of somebody's")

    for place in (tmp_path / "file", tmp_path / "file" / "x"):
        code, out, err = run("data", "get", "small", "-o", place)

        assert (code, out) == (1, "")
        assert f"cannot write into {place}: {tmp_path / 'file'} is a file" in err
    assert pictured.asked == []


def test_whatever_keeps_a_parcel_from_coming_is_told(server, offered, tmp_path):
    (tmp_path / "file").touch()
    files = plan("small", tmp_path).missing
    [other] = plan("small", tmp_path, only=["train"]).missing

    events = list(get_all(files, tmp_path / "file" / "x"))
    events += get_all([replace(other, address="no address")], tmp_path)

    assert [type(event) for event in events] == [FetchError] * 4
    assert "Not a directory" in str(events[0])
    assert str(tmp_path / "file" / "x") in str(events[0])
    assert str(events[3]) == "no address cannot be downloaded: unknown url type: 'no address'"


def test_a_mistake_of_our_own_is_not_hidden(server, tmp_path):
    wrong = remote(server)
    object.__setattr__(wrong, "name", None)  # as if somebody had not run mypy

    with pytest.raises(TypeError):
        list(get_all([wrong], tmp_path))


def test_some_files_at_a_time_are_at_least_one(run, tmp_path):
    code, _, err = run("data", "get", "coco2014", "-o", tmp_path / "x", "--at-once", "0")

    assert code == 2
    assert "Invalid value for '--at-once'" in err


def test_archives_with_the_same_folder_do_not_get_in_each_others_way(tmp_path):
    archives = {f"{n}.zip": zipped({f"same/{n}.txt": b"x"}) for n in range(4)}
    together = threading.Barrier(len(archives))

    def move(events: Iterator[DownloadProgress]) -> None:
        together.wait()
        assert not list(events)  # all that is left is to move what is unpacked

    with ThreadPoolExecutor(len(archives)) as pool:
        for turn in range(40):
            folder = tmp_path / str(turn)
            (folder / STATE_FOLDER).mkdir(parents=True)
            for name, content in archives.items():
                (folder / STATE_FOLDER / name).write_bytes(content)
            getting = [get(RemoteFile(name, "", 0), folder) for name in archives]
            for events in getting:
                assert [next(events).name, next(events).name][1].startswith("unpacking")
            list(pool.map(move, getting))

            assert len(list((folder / "same").iterdir())) == len(archives)


def _mark(content: bytes, place: int, value: int) -> bytes:
    """A one-member archive whose headers say something else (APPNOTE.TXT, 4.3.7 and 4.3.12)."""
    changed = bytearray(content)
    for header, before in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        changed[content.index(header) + before + place] = value
    return bytes(changed)


TEXT = zipped({"a.txt": CONTENT[:5_000].hex().encode()})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT[:35] + b"\xff" * 100 + TEXT[135:], "is damaged: Error -3 while decompressing"),
        (_mark(TEXT, 6, 1), "'a.txt' is encrypted"),
        (_mark(TEXT, 6, 32), "is damaged: compressed patched data"),
        (_mark(TEXT, 8, 12), "'a.txt' uses a compression other than deflate"),
        (zipped({".": b"x"}), "'.' would be written outside its folder"),
        (_mark(_mark(zipped({"x": b"x"}), 26, 0), 28, 1), "'' would be written outside its folder"),
        (zipped({"in/" + "ä" * 128: b"x"}), "the name 'in/ä+'... is too long"),
        (TEXT[:-6] + b"\xff\xff\xff\x00\x00\x00", "is damaged"),
        (
            zipped({"a": b"x", "a/b": b"x"}),
            "is damaged: it contains a file and a folder of the same name",
        ),
    ],
    ids=[
        "broken data",
        "encrypted",
        "patched",
        "bzip2",
        "the folder itself",
        "nameless",
        "long",
        "before the file",
        "file and folder",
    ],
)
def test_every_archive_that_cannot_be_unpacked_is_one_sentence(content, said, tmp_path):
    (tmp_path / "odd.zip").write_bytes(content)

    with pytest.raises(FetchError, match=rf"odd.zip:? {said}"):
        list(unpack(tmp_path / "odd.zip", tmp_path / "inside"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>Please sign in</html>", "text.zip is damaged: File is not a zip file"),
        (zipped({"token.txt": b"wrong"}), "token.txt in it differs"),
    ],
    ids=["no archive", "another file of the same size"],
)
def test_an_answer_that_is_something_else_is_not_kept(answer, said, server, tmp_path):
    expected = hashlib.sha256(b"right").hexdigest()
    text = RemoteFile(
        "text.zip", f"{server.address}/text.zip", 9, contents=f"{expected}  token.txt\n"
    )
    server.files["/text.zip"] = answer
    with pytest.raises(FetchError, match=said):
        list(get(text, tmp_path))

    server.files["/text.zip"] = zipped({"token.txt": b"right"})
    list(get(text, tmp_path))

    assert (tmp_path / "token.txt").read_bytes() == b"right"


def test_an_unpacking_that_the_disk_is_too_full_for_keeps_what_came(server, tmp_path):
    server.files["/zips.zip"] = content = zipped({"a.txt": b"a" * 9_000, "b.txt": bytes(2_000_000)})
    zips = remote(server, content, "zips.zip")

    with files_end_at(1_000_000), pytest.raises(FetchError, match=r"zips.zip .*File too large"):
        list(get(zips, tmp_path))
    assert (tmp_path / STATE_FOLDER / "zips.zip").exists()
    assert (tmp_path / STATE_FOLDER / "zips.zip.unpacked" / "a.txt").exists()
    list(get(zips, tmp_path))

    assert server.asked == ["whole"]
    assert (tmp_path / "b.txt").stat().st_size == 2_000_000


def _put(path: Path, size: int) -> None:
    """A file that says it is so large, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def test_room_is_asked_for_only_for_what_is_still_to_come(tmp_path):
    _put(tmp_path / STATE_FOLDER / "train2017.zip.part", 19 * 10**9)

    todo = plan("coco2017", tmp_path, only=["train"])

    assert todo.bytes_to_fetch == 336_861_798
    assert todo.bytes_needed == 336_861_798 + 19_336_861_798


def test_no_room_is_asked_for_what_is_unpacked_already(tmp_path):
    _put(tmp_path / STATE_FOLDER / "train2017.zip", 19_336_861_798)
    _put(tmp_path / STATE_FOLDER / "train2017.zip.unpacked" / "train2017" / "1.jpg", 15 * 10**9)
    _put(tmp_path / STATE_FOLDER / "train2017.zip.unpacked" / "train2017" / "2.jpg", 4 * 10**9)

    todo = plan("coco2017", tmp_path, only=["train"])

    assert todo.bytes_to_fetch == 0
    assert todo.bytes_needed == 336_861_798


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes every call and answers none."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        listening.settimeout(20)
        yield listening


def test_ctrl_c_does_not_wait_for_a_silent_server(silent, tmp_path):
    mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
    # a shell that runs the tests in the background has its children ignore Ctrl-C
    heeds = "import signal as s; s.signal(s.SIGINT, s.default_int_handler)"
    command = [sys.executable, "-c", f"{heeds}; from cutline.cli.main import main; main()"]
    named = ["data", "get", "flickr8k-text", "--mirror", mirror, "-o", str(tmp_path)]
    process = subprocess.Popen([*command, *named], stdout=subprocess.PIPE)
    call, _ = silent.accept()
    began = time.perf_counter()

    try:
        process.send_signal(signal.SIGINT)

        assert process.wait(20) == 130
        assert time.perf_counter() - began < 5
    finally:
        process.kill()
        process.communicate()
        call.close()


@pytest.mark.slow
def test_a_server_that_goes_in_circles_is_one_line(server, tmp_path):
    server.fault = "goes in circles"

    with pytest.raises(
        FetchError, match="cannot be downloaded: The HTTP server returned"
    ) as raised:
        list(get(remote(server), tmp_path))

    assert str(raised.value).isprintable()


@pytest.mark.slow
def test_a_call_that_was_given_up_is_not_made_again(silent, tmp_path):
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"
    before, began = set(threading.enumerate()), time.perf_counter()

    events = get_all([RemoteFile("a.zip", address, 9)], tmp_path, timeout=0.3)
    next(events)
    events.close()
    assert time.perf_counter() - began < 3
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()


def test_a_mirror_that_never_ends_is_stopped(server, tmp_path):
    """A file of 9 bytes, of which 30 MB come, and no length is said."""
    server.files["/file.zip"] = CONTENT * 10
    server.fault = "says nothing"
    endless = RemoteFile("file.zip", f"{server.address}/file.zip", 9, "0" * 32)

    with pytest.raises(FetchError, match="it exceeds 10,000,009 bytes"):
        list(fetch(endless, tmp_path, pause=0.0))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", ["9" * 5_000, "²", "-5", "1" + "0" * 15])
def test_a_length_that_is_none_is_no_traceback(server, tmp_path, length):
    server.fault = f"length {length}"
    remote = RemoteFile("file.zip", f"{server.address}/file.zip", len(CONTENT), "0" * 32)

    with pytest.raises(FetchError):
        list(fetch(remote, tmp_path, timeout=0.2, pause=0.0))
