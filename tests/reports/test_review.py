"""Reviewing captions: verdicts are saved at once, kept by later runs, and served to nobody else."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import ROOT
from cutline.errors import DataError
from cutline.inference.captioner import load
from cutline.inference.library import caption_library
from cutline.io.predictions import PictureLocator, read_captions
from cutline.reports.review import Review
from cutline.reports.review_server import ReviewServer

BROWSER = ROOT / "tests" / "browser"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture
def captions(tiny, tmp_path) -> Path:
    """A real file of captions of the examples, which a small model wrote."""
    album = tmp_path / "album"
    album.mkdir()
    for photograph in sorted((ROOT / "examples").glob("*.jpg")):
        shutil.copy(photograph, album)
    return caption(tiny, album)


def caption(tiny: Path, album: Path) -> Path:
    out = album.parent / "captions.jsonl"
    list(caption_library(load(tiny), [str(album)], out))
    return out


def rows(captions: Path) -> list[dict]:
    return [json.loads(line) for line in captions.read_text().splitlines()]


def test_verdicts_are_in_the_file_and_later_runs_keep_them(captions, tiny):
    before = rows(captions)
    review = Review(captions)
    review.decide(0, "accepted")
    review.decide(1, "edited", "  a cat\non a sofa ")
    review.decide(2, "rejected")

    def check() -> None:
        accepted, edited, rejected, *others = rows(captions)
        assert accepted == before[0] | {"review": {"verdict": "accepted"}}
        assert (edited["caption"], edited["by"]) == ("a cat on a sofa", "human")
        assert "confidence" not in edited
        assert edited["review"] == {"verdict": "edited", "model_line": before[1]}
        assert (rejected["caption"], rejected["review"]["verdict"]) == ("", "rejected")
        assert others == before[3:]

    check()
    caption(tiny, captions.parent / "album")
    check()
    assert [each.human for each in read_captions(captions)][:4] == [False, True, True, False]


def test_a_verdict_can_be_taken_back_also_after_a_restart(captions):
    before = captions.read_bytes()
    for verdict in ("accepted", "edited", "rejected"):
        Review(captions).decide(0, verdict, "a caption")
        Review(captions).decide(0, None)
        assert captions.read_bytes() == before


def test_progress_tells_how_many_are_wrong_at_most(captions):
    review = Review(captions, sample=4)
    assert "Review the sample of 4" in review.progress().sentence

    for item in review.queue("sample"):
        review.decide(item, "accepted")
    review = Review(captions, sample=4)  # the sample stays the same in a new process
    progress = review.progress()

    assert (progress.sample_reviewed, progress.sample_wrong) == (4, 0)
    assert "at most 53%" in progress.sentence  # 1 - 0.05 ** (1 / 4)
    assert len(review.queue("unreviewed")) == len(review.queue("all")) - 4
    assert sorted(review.map()) == ["."] * (len(review.items) - 4) + ["a"] * 4


def test_what_another_program_wrote_meanwhile_stays(captions):
    review = Review(captions)
    others = rows(captions)
    others[3]["caption"] = "written by hand"
    captions.write_text("".join(json.dumps(row) + "\n" for row in others))

    review.decide(0, "accepted")

    assert rows(captions)[3]["caption"] == "written by hand"
    assert rows(captions)[0]["review"] == {"verdict": "accepted"}


@pytest.mark.parametrize(
    ("verdict", "text", "sentence"),
    [
        ("fine", "", "no verdict 'fine'"),
        ("edited", " ", "1 to 2,000 characters"),
        ("edited", "a" * 2001, "1 to 2,000 characters"),
    ],
)
def test_verdicts_that_make_no_sense_are_refused(captions, verdict, text, sentence):
    before = captions.read_bytes()

    with pytest.raises(DataError, match=sentence):
        Review(captions).decide(0, verdict, text)

    assert captions.read_bytes() == before


def test_files_that_cannot_be_reviewed_are_refused(tmp_path):
    (tmp_path / "c.csv").write_text("path,caption\n")
    (tmp_path / "c.jsonl").write_text('{"path": "a.jpg", "error": "damaged"}\n')
    for name, sentence in (("c.csv", "only .jsonl"), ("c.jsonl", "no captions")):
        with pytest.raises(DataError, match=sentence):
            Review(tmp_path / name)


@pytest.fixture
def server(captions) -> Iterator[ReviewServer]:
    with ReviewServer(Review(captions), PictureLocator(captions)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: ReviewServer, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"} | headers
    content = None if body is None else json.dumps(body)
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port)) as connection:
        connection.request("GET" if body is None else "POST", path, content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_server_answers_with_pictures_items_and_verdicts(server, captions):
    base = f"/{server.token}"
    assert b"Review of captions.jsonl" in ask(server, f"{base}/")[1]
    told = json.loads(ask(server, f"{base}/items?queue=all")[1])
    assert told["total"] == len(told["items"]) == len(rows(captions))
    status, picture = ask(server, f"{base}/picture/{told['items'][0]['item']}")
    assert (status, picture[:4], picture[8:12]) == (200, b"RIFF", b"WEBP")

    wanted = {"item": 1, "verdict": "edited", "caption": "a cat"}
    status, content = ask(server, f"{base}/verdict", wanted)

    assert status == 200
    assert json.loads(content)["progress"]["verdicts"]["edited"] == 1
    assert rows(captions)[1]["caption"] == "a cat"


def test_strangers_and_senseless_requests_get_nothing(server, captions):
    before = captions.read_bytes()
    base = f"/{server.token}"
    verdict = {"item": 0, "verdict": "accepted"}
    assert ask(server, "/")[0] == ask(server, "/guess/items")[0] == 404
    assert ask(server, f"{base}/items", Host="evil.example")[0] == 404
    assert ask(server, f"{base}/verdict", verdict, Host="evil.example")[0] == 404
    assert ask(server, f"{base}/verdict", verdict, **{"Content-Type": "text/plain"})[0] == 400
    assert ask(server, f"{base}/verdict", [1])[0] == 400
    assert ask(server, f"{base}/verdict", {"item": 99, "verdict": "accepted"})[0] == 400
    assert ask(server, f"{base}/verdict", {"item": 0, "caption": "a" * 200_000})[0] == 400
    assert ask(server, f"{base}/picture/../../etc/passwd")[0] == 400
    assert ask(server, f"{base}/nothing")[0] == 404
    assert captions.read_bytes() == before


def test_the_command_serves_until_it_is_stopped(captions):
    command = [sys.executable, "-m", "cutline", "review", str(captions), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline()
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/\n", address)
    assert found
    with closing(http.client.HTTPConnection("127.0.0.1", int(found[1]))) as connection:
        connection.request("GET", f"/{found[2]}/progress")
        assert json.loads(connection.getresponse().read())["captions"] == len(rows(captions))
    process.terminate()
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "of 8 reviewed" in said


@pytest.mark.slow
def test_people_review_by_keyboard_in_a_browser(server, captions, tmp_path):
    missing = [name for name in ("node", CHROMIUM) if shutil.which(name) is None]
    if missing or not (BROWSER / "node_modules").exists():
        pytest.skip("no node, Chromium or `npm ci` in tests/browser (.ci/programs installs them)")
    done = subprocess.run(
        ["node", "--test", str(BROWSER / "review.test.mjs")],
        env={**os.environ, "REVIEW": server.url, "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = {row["path"]: row.get("review", {}).get("verdict") for row in rows(captions)}
    assert sorted(filter(None, verdicts.values())) == ["accepted", "edited", "rejected"]
    assert "a picture of my sofa" in {row["caption"] for row in rows(captions)}
