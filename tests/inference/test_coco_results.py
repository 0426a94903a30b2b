"""A COCO list becomes a file that the evaluation server takes, also after a kill."""

import json
import signal
import subprocess
import sys

import pytest
from PIL import Image

from cutline.inference.captioner import load
from cutline.inference.coco_results import NAME, check, submit
from cutline.text.style import Style

OUT = "captions_test2014_cutline_results.json"


@pytest.fixture
def listed(tmp_path, drawn):
    """Forty pictures and their list."""
    (tmp_path / "test2014").mkdir()
    images = []
    for number, picture in enumerate(sorted(drawn.glob("*.png"))[:40]):
        name = f"COCO_test2014_{number:012}.png"
        (tmp_path / "test2014" / name).write_bytes(picture.read_bytes())
        images.append({"id": 7 * number + 1, "file_name": name})
    (tmp_path / "info.json").write_text(json.dumps({"images": images}))
    return tmp_path


def options(listed, tiny):
    return [
        "submit", listed / "info.json", "--model", tiny,
        "--images", listed / "test2014", "--out", listed / OUT,
    ]  # fmt: skip


def test_every_image_has_its_caption_in_the_servers_form(run, listed, tiny):
    code, _, err = run(*options(listed, tiny))

    results = json.loads((listed / OUT).read_text())
    assert code == 0
    assert "0 problems" in err
    assert [entry["image_id"] for entry in results] == [7 * n + 1 for n in range(40)]
    assert all(entry["caption"] for entry in results)
    assert check(results, listed / "info.json") == []
    assert sorted(p.name for p in listed.iterdir()) == [OUT, "info.json", "test2014"]


SLOWLY = """
import sys, time
from cutline.cli.main import main
from cutline.inference.captioner import Captioner
original = Captioner.caption_each
def slowly(self, *given, **more):
    for answer in original(self, *given, **more):
        print("one", file=sys.stderr, flush=True)
        time.sleep(0.15)
        yield answer
Captioner.caption_each = slowly
main()
"""


def caption_slowly(arguments, *, kill_after):
    """How many pictures were captioned before the process was killed, or ended."""
    count = 0
    command = [sys.executable, "-c", SLOWLY, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            count += line == "one\n"
            if count >= kill_after:
                process.send_signal(signal.SIGKILL)
    return count


@pytest.mark.slow
def test_killed_it_resumes_and_ends_the_same(run, listed, tiny):
    run(*options(listed, tiny))
    whole = (listed / OUT).read_text()
    (listed / OUT).unlink()

    counts = []
    for kill_after in (12, 12, 100):
        assert not (listed / OUT).exists()
        counts.append(caption_slowly(options(listed, tiny), kill_after=kill_after))

    assert (listed / OUT).read_text() == whole
    assert counts[-1] < 40 <= sum(counts)
    assert sorted(p.name for p in listed.iterdir()) == [OUT, "info.json", "test2014"]


def test_two_at_once_and_a_journal_of_another_kind_are_one_sentence(run, listed, tiny):
    journal = listed / f".{OUT}.journal"
    images = (listed / "info.json", listed / "test2014", listed / OUT)
    first = submit(load(tiny), *images)
    next(first)

    assert "another cutline process is using" in run(*options(listed, tiny))[2]
    first.close()
    assert not (listed / OUT).exists()
    journal.write_text('{"model": "of 0.1.0"}\n[1, "a dog"]\n')
    code, _, err = run(*options(listed, tiny))

    assert (code, "delete it; all pictures will then be captioned again" in err) == (1, True)


def test_a_damaged_picture_is_named_and_mended_next_time(run, listed, tiny):
    picture = sorted((listed / "test2014").iterdir())[5]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:50])

    code, _, err = run(*options(listed, tiny))
    picture.write_bytes(whole)
    again, _, _ = run(*options(listed, tiny))

    assert (code, again) == (1, 0)
    assert f"{picture.name} is" in err
    assert "the caption of image 36 is empty" in err
    assert check(json.loads((listed / OUT).read_text()), listed / "info.json") == []


def test_a_name_that_the_server_would_not_take_is_refused_at_once(run, listed, tiny):
    arguments = [*options(listed, tiny)[:-1], listed / "results.json"]

    code, _, err = run(*arguments)

    assert code == 1
    assert "the evaluation server takes captions_SET_ALGORITHM_results.json" in err
    assert NAME.fullmatch(OUT)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"image_id": "1", "caption": "a"}, "entry 0 must be an image_id and a caption"),
        ({"image_id": 2, "caption": "a"}, "entry 0: there is no image 2"),
        ([1, "a"], "entry 0 must be an image_id and a caption"),
    ],
)
def test_what_the_server_would_refuse_is_told(entry, problem, tmp_path):
    (tmp_path / "info.json").write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')

    assert check([entry], tmp_path / "info.json") == [problem, "1 of 1 images have no caption"]


def test_an_empty_caption_is_one_problem(tmp_path):
    (tmp_path / "info.json").write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')

    problems = check([{"image_id": 1, "caption": ""}], tmp_path / "info.json")

    assert problems == ["entry 0: the caption of image 1 is empty"]


def test_a_folder_that_is_not_there_is_one_sentence(run, listed, tiny):
    (listed / "test2014").rename(listed / "elsewhere")

    code, _, err = run(*options(listed, tiny))

    assert code == 1
    assert f"there is no folder {listed / 'test2014'} with the pictures of info.json" in err
    assert "does not exist" not in err
    assert not (listed / OUT).exists()


def test_captions_read_as_they_are_wished_for(run, listed, tiny):
    code, _, _ = run(*options(listed, tiny), "--sentence", "--max-chars", "14")

    captions = [entry["caption"] for entry in json.loads((listed / OUT).read_text())]
    assert code == 0
    assert all(text[0].isupper() and text[-1] == "." and len(text) <= 14 for text in captions)


def test_the_option_of_before_says_where_it_went(run, listed):
    before = ("--coco", listed / "info.json", "--images", listed / "test2014")
    code, _, err = run("caption", *before, "--out", listed / OUT)

    assert code == 2
    assert f"--coco is now a command: cutline submit {listed / 'info.json'} --images" in err


def test_a_place_where_nothing_can_be_written_or_read_is_one_sentence(run, listed, tiny):
    nowhere = ("--out", listed / "nowhere" / OUT)
    assert "there is no folder" in run(*options(listed, tiny), *nowhere)[2]
    assert "cannot be read" in run("submit", listed, *options(listed, tiny)[2:])[2]


@pytest.mark.slow
def test_captions_of_two_models_are_not_mixed(run, listed, tiny):
    picture = sorted((listed / "test2014").iterdir())[5]
    whole = picture.read_bytes()
    picture.write_bytes(b"")  # so that the journal stays
    assert run(*options(listed, tiny))[0] == 1
    by_tiny = json.loads((listed / OUT).read_text())
    picture.write_bytes(whole)

    code, _, _ = run(*[a for a in options(listed, tiny) if a not in ("--model", tiny)])

    results = json.loads((listed / OUT).read_text())
    style = Style(any_picture=True)
    pictures = sorted((listed / "test2014").iterdir())
    assert code == 0
    assert [e["caption"] for e in results] == [
        c.text for c in load().caption(pictures, style=style)
    ]
    assert len(by_tiny) == 40
    assert results != by_tiny


def test_an_image_may_have_one_caption_only(tmp_path):
    (tmp_path / "info.json").write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')
    twice = [{"image_id": 1, "caption": "a"}] * 2

    assert check(twice, tmp_path / "info.json") == ["entry 1: image 1 has a caption already"]
    assert check({}, tmp_path / "info.json") == ["the file must hold a list"]


def test_a_list_that_is_none_is_one_sentence(run, tiny, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")

    code, _, err = run("submit", tmp_path / "a.png", "--model", tiny, "--out", tmp_path / OUT)

    assert code == 1
    assert "a.png is not a COCO image list" in err


def test_an_id_that_is_no_number_is_one_sentence(run, tiny, tmp_path):
    listed = tmp_path / "images.json"
    listed.write_text('{"images": [{"id": 1e999, "file_name": "a.png"}]}')

    code, _, err = run("submit", listed, "--model", tiny, "--out", tmp_path / OUT)

    assert code == 1
    assert "images.json is not a COCO image list" in err


def test_a_name_that_no_file_can_have_is_a_picture_that_failed(run, tiny, tmp_path):
    listed = tmp_path / "images.json"
    listed.write_text(json.dumps({"images": [{"id": 1, "file_name": "a\0b/c.png"}]}))

    code, _, err = run("submit", listed, "--model", tiny, "--out", tmp_path / OUT)

    assert code == 1
    assert "c.png cannot be read: embedded null byte" in err
