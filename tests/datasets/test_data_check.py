"""What `cutline data check` finds, and `--skip-bad` leaves out, each planted in a sound folder."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cutline.datasets.folder import Folder
from cutline.datasets.validation import check, find_copies, read


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve pictures, each with a caption beside it."""
    for number in range(12):
        Image.new("RGB", (16, 16), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"a man and a dog number {number} on the grass\n")
    return tmp_path


def list_problems(folder: Path) -> list[str]:
    found = [*check(Folder(folder)), *find_copies(read(Folder(folder)).examples)]
    return [f"{problem.file.name}: {problem.sentence}" for problem in found]


def test_a_sound_folder_has_no_problems(folder):
    assert list_problems(folder) == []


@pytest.mark.parametrize(
    ("caption", "sentence"),
    [
        ("<start> a dog on the grass", "2.txt: a caption of '2.png' contains the marker <start>"),
        ("a dog </s>", "2.txt: a caption of '2.png' contains the marker </s>"),
        ("a \0dog", "2.txt: a caption of '2.png' contains the control character U+0000"),
        ("собака на траве", "2.png: a caption is in Cyrillic script, but most are in Latin"),
        (
            "ein Hund und ein Mann auf dem Gras",
            "2.png: a caption is in the language de, but most are in en",
        ),
    ],
)
def test_a_strange_caption_is_a_warning(caption, sentence, folder):
    (folder / "2.txt").write_text(caption)

    [found] = list_problems(folder)

    assert found.startswith(sentence)
    assert len(list(Folder(folder))) == 12


def test_a_text_without_a_picture_is_a_warning(folder):
    (folder / "lost.txt").write_text("a man")

    assert list_problems(folder) == ["lost.txt: there is no picture of this name"]


def test_identical_pictures_in_two_splits_are_a_warning(folder):
    lines = [
        {
            "image": f"{n}.png",
            "caption": "a dog on the grass",
            "split": "test" if n > 9 else "train",
        }
        for n in range(12)
    ]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for number in (1, 11):
        (folder / f"{number}.png").write_bytes((folder / "0.png").read_bytes())

    assert list_problems(folder) == [
        "11.png: is in split test, but is the same picture as '0.png', which is in split train"
    ]


def test_what_is_invalid_is_left_out_and_listed(run, folder, tmp_path):
    lines = [
        {"image": f"{n}.png", "captions": ["a dog", "a man"], "split": "train"} for n in range(9)
    ]
    lines += [
        {"image": "none.png", "caption": "a dog"},
        {"image": "3.png", "captions": ["", "a cat"]},
    ]
    lines += [{"image": "4.png", "caption": "a cow", "split": "test"}]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{oh")

    kept = read(Folder(folder)).without_bad().examples
    assert [example.id for example in kept] == [f"{n}.png" for n in range(9) if n != 4]
    assert kept[3].captions == ("a dog", "a man", "a cat")

    refused, _, why = run("data", "show", folder, "--kind", "folder")
    code, out, listed = run("data", "show", folder, "--kind", "folder", "--skip-bad", "--json")
    assert (refused, code) == (1, 0)
    assert "(and 3 more)" in why
    assert sum(json.loads(out)["pictures"].values()) == 8
    assert listed.count("cutline: left out: ") == 4
