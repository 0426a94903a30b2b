"""The pages in Chromium, used as a person would use them, by `tests/browser/pages.test.mjs`.

`.ci/programs` installs what this needs; without it the tests are skipped.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT
from cutline.images.load import View
from cutline.io.predictions import Candidate, Word
from cutline.reports.captions import write_report
from cutline.reports.comparison import write_comparison
from cutline.reports.dataset import Summary, render_summary, summarize
from cutline.reports.gallery import CaptionLine, Card, Order, write_gallery
from cutline.reports.training import write_training_report
from cutline.training.history import Epoch, Sample, keep_epoch
from cutline.types import Example

BROWSER = ROOT / "tests" / "browser"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
HOSTILE = '</script><img src=x onerror=alert(1)> "quoted" \U0001f436 \u05db\u05dc\u05d1 &amp;'
FEW, MANY = 10, 2000


def look(row: int, column: int) -> list[int]:
    """A gaze at one region of 7 x 7."""
    return [1000 * (place == (row, column)) for place in np.ndindex(7, 7)]


def tell(path: str, text: str, confidence: float, words: list[dict], **more: object) -> str:
    told = {"path": path, "caption": text, "confidence": confidence, "words": words, **more}
    return json.dumps(told)


def lines() -> list[str]:
    """Planted: where words looked, how sure captions are, what is broken."""
    first = [
        {"word": "a", "probability": 0.91, "gaze": [20] * 49},
        {"word": "dog", "probability": 0.62, "gaze": look(0, 0)},
        {"word": "'s", "probability": 0.5, "gaze": look(3, 3)},
        {"word": "toy", "probability": 0.4, "gaze": look(3, 3)},
        {"word": "on", "probability": 0.9, "gaze": look(0, 6)},
        {"word": "the", "probability": 0.9, "gaze": look(3, 0)},
        {"word": "grass", "probability": 0.8, "gaze": look(6, 6)},
    ]
    second = {"caption": "a cat", "confidence": 0.1, "words": first[:1]}
    second["words"] = [first[0], {"word": "cat", "probability": 0.1, "gaze": look(6, 0)}]
    text = "a dog's toy on the grass"
    return [
        tell("one.jpg", text, 0.9, first, best=[{"caption": text, "words": first}, second]),
        tell("two.jpg", "two dogs in grass", 0.1, [{"word": "two", "probability": 0.3}]),
        tell("three.jpg", "a red car", 0.4, []),
        json.dumps({"path": "hostile.jpg", "caption": HOSTILE}),
        json.dumps({"path": "ill.jpg", "error": "ill.jpg is damaged"}),
        json.dumps({"path": "gone.jpg", "caption": "a picture that went away"}),
        json.dumps({"path": "tall.jpg", "caption": "a tall picture"}),
        json.dumps({"path": "left.jpg", "caption": None, "left_out": "too unsure"}),
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of page, made from the example photographs."""
    folder = tmp_path_factory.mktemp("pages")
    photographs = sorted((ROOT / "examples").glob("*.jpg"))
    names = ["one", "two", "three", "hostile", "ill", "tall"]
    for name, photograph in zip(names, photographs[2:], strict=True):
        shutil.copy(photograph, folder / f"{name}.jpg")
    captions, other = folder / "captions.jsonl", folder / "other.jsonl"
    captions.write_text("\n".join(lines()))
    changed = "\n".join(lines()).replace("dog's toy", "cat").replace("a red car", "two people")
    other.write_text(changed.replace('{"word": "dog"', '{"word": "cat"'))
    references = {"one": ["a dog's toy on the grass", "a toy"], "two": ["a ball"], "three": ["car"]}
    for _ in write_report(captions, folder / "report.html", references=references):
        pass
    for _ in write_report(captions, folder / "crop.html", view=View(fit="crop")):
        pass
    for _ in write_comparison(captions, other, folder / "compare.html"):
        pass
    _write_learning(folder, photographs[0])
    _write_summary(folder, photographs)
    return folder


def _write_learning(folder: Path, photograph: Path) -> None:
    steps = [{"number": n, "epoch": n // 20, "loss": 5 / n, "seconds": 0.1} for n in range(1, 61)]
    (folder / "history.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    for epoch in range(3):
        sample = Sample(str(photograph), "a man" if epoch else "a a a", ("a person", "<b>"))
        scores = {"BLEU-4": 0.1 * epoch, "CIDEr-D": 0.2 * epoch}
        keep_epoch(folder, Epoch(epoch, 20 * (epoch + 1), 1.0, scores, True, (sample,)))
    write_training_report(folder, folder / "learning.html")


def _write_summary(folder: Path, photographs: list[Path]) -> None:
    examples = [Example(path.stem, path, ("a picture",), "train") for path in photographs[:3]]
    *_, summary = summarize(examples)
    assert isinstance(summary, Summary)
    page = "".join(render_summary(summary, examples, "Some data"))
    (folder / "data.html").write_text(page, encoding="utf8")


@pytest.fixture(scope="module")
def large_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of many and of few pictures as heavy as real ones: noise makes thumbnails of 6 kB."""
    folder = tmp_path_factory.mktemp("large")
    chance, drawn = np.random.default_rng(0), folder / "drawn"
    drawn.mkdir()
    for number in range(40):
        rough = chance.integers(256, size=(24, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(rough).resize((256, 192), Image.Resampling.BICUBIC)
        picture.save(drawn / f"{number}.png")
    texts = ["seven people walk a dog by the sea", "a man rides a bicycle down a hill today"]
    cards = []
    for number in range(MANY):
        gaze = chance.dirichlet([0.1] * 49)
        words = tuple(
            Word(word, 0.5, tuple(map(float, gaze))) for word in texts[number % 2].split()
        )
        candidate = Candidate(texts[number % 2], number / MANY, words)
        cards.append(
            Card(
                drawn / f"{number % 40}.png",
                f"{number}.png",
                lines=(CaptionLine(candidate),),
                sort_keys={"confidence": number / MANY},
                others=(candidate, candidate),
                references=("a reference",) * 5,
            )
        )
    orders = [Order("file order"), Order("lowest confidence first", "confidence")]
    for name, count in (("few", FEW), ("many", MANY)):
        list(write_gallery(cards[:count], folder / f"{name}.html", title=name, orders=orders))
    print(f"many.html: {(folder / 'many.html').stat().st_size / 1e6:.1f} MB")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("frames", [False, True], ids=["steps", "frames"])
def test_people_find_their_way_through_the_pages(request, frames):
    missing = [name for name in ("node", CHROMIUM) if shutil.which(name) is None]
    if not (BROWSER / "node_modules").exists():
        missing.append("`npm ci` in tests/browser")
    if missing:
        pytest.skip(f"no {', no '.join(missing)} (.ci/programs installs them)")

    pages = request.getfixturevalue("large_pages" if frames else "pages")
    chosen = ["--test-name-pattern=stutter"] if frames else []  # CI runs it alone, undisturbed
    given = {"PAGES": str(pages), "CHROMIUM": CHROMIUM, "FRAMES": "yes" if frames else "no"}
    done = subprocess.run(
        ["node", "--test", *chosen, str(BROWSER / "pages.test.mjs")],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )

    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.findall(r"^ *ok \d+ - (?!.*# SKIP)(.*)$", done.stdout, re.MULTILINE)
    assert any("stutter" in name for name in ran) == frames
    assert any("axe" in name for name in ran) != frames
