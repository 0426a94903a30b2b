"""The pictures for `is this a photograph?` are made, listed, split, and made the same again."""

import json
import runpy
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from conftest import ROOT

pytest.importorskip("matplotlib")
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the script in this process; returns what its manifest says."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = str(BENCHMARKS / "refusal_pictures.py")

    def run(*arguments: str, out: str = "out") -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", [script, str(tmp_path / out), *arguments])
        runpy.run_path(script, run_name="__main__")
        lines = (tmp_path / out / "manifest.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty small pictures, one of them transparent, and a file that is none."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20):
        mode = "RGBA" if number == 0 else "RGB"
        Image.new(mode, (40 + number, 30)).save(folder / f"{number}.png")
    (folder / "readme.txt").write_text("no picture")
    return folder


@pytest.mark.slow
def test_pictures_of_a_folder_are_made_square_and_each_tenth_is_for_validation(
    make, folder: Path, tmp_path: Path
) -> None:
    lines = make("--files", f"icons/small={folder}")
    assert Counter(line["split"] for line in lines) == {"train": 18, "validation": 2}
    for line in lines:
        with Image.open(tmp_path / "out" / line["file"]) as picture:
            assert (picture.size, picture.mode) == ((224, 224), "RGB")


def test_a_kind_that_is_held_out_and_a_generator_that_is_unseen_are_only_for_the_test(
    make, folder: Path
) -> None:
    made = ["--files", f"maps/old={folder}", "--files", f"icons/rare={folder}"]
    lines = make(*made, "--unseen", "rare")
    assert {(line["kind"], line["split"]) for line in lines} == {
        ("maps", "test"),
        ("icons", "test"),
    }


def test_what_the_manifest_has_is_not_made_again_and_a_second_source_is_added(
    make, folder: Path
) -> None:
    first = make("--files", f"icons/one={folder}", "--most", "3")
    both = make("--files", f"icons/one={folder}", "--files", f"icons/two={folder}", "--most", "3")
    assert both[:3] == first
    assert [line["file"] for line in both] == [f"icons/{number:05d}.jpg" for number in range(6)]


def test_the_same_seed_makes_the_same_pictures(make, folder: Path, tmp_path: Path) -> None:
    arguments = ["--files", f"icons/small={folder}"]
    lines = make(*arguments, out="first")
    assert make(*arguments, out="second") == lines
    for line in lines:
        first, second = (tmp_path / out / line["file"] for out in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_kind_that_nobody_draws_is_told_with_the_nearest_that_is_drawn(make) -> None:
    with pytest.raises(SystemExit, match="'chart'.*did you mean charts"):
        make("--only", "chart")


def test_every_page_and_drawing_is_the_same_for_the_same_seed(monkeypatch) -> None:
    from random import Random

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = runpy.run_path(str(BENCHMARKS / "refusal_pictures.py"))
    for number, page in script["PAGES"].values():
        assert number > 0
        for seed in range(10):
            assert page(Random(seed)) == page(Random(seed))


def test_a_small_drawing_on_a_large_page_is_made_larger_and_an_empty_page_is_left_out(
    monkeypatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from refusal.wear import trimmed

    page = Image.new("RGB", (200, 200), "white")
    assert trimmed(page) is None
    page.paste("red", (10, 20, 14, 24))  # as large as the sign of a broken picture
    assert trimmed(page) is None
    page.paste("red", (10, 20, 70, 80))
    larger = trimmed(page)
    assert larger is not None
    assert (larger.size, larger.getpixel((190, 190))) == ((200, 200), (255, 0, 0))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_batch_of_pages_becomes_a_picture_of_each(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from refusal.browser import Tile, screenshots

    colours = [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    tiles = [Tile(f"<body style='background:rgb{colour}'>", 300, 200) for colour in colours]
    pictures = list(screenshots(tiles))
    assert [picture.getpixel((70, 50)) for picture in pictures] == colours
    assert [picture.size for picture in pictures] == [(150, 100)] * 3
