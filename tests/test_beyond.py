"""The evaluation beyond Flickr8k: its figures from planted captions, its tables, its sheet."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from cutline.evaluation.evaluate import Captioned
from cutline.inference.captioner import Captioner
from cutline.types import Caption, Example

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def beyond() -> ModuleType:
    spec = importlib.util.spec_from_file_location("beyond", BENCHMARKS / "beyond.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def captioned(text, *references, image=Path("x.jpg"), chance=0.5):
    caption = Caption(text, tuple(text.split()), -1.0, (-1.0,), chance=chance)
    return Captioned(Example(text, image, references, "test"), caption)


def test_a_set_without_references_is_asked_for_people_only(beyond):
    told = beyond.measure_set([captioned("a man in a room"), captioned("a bed in a room")])

    assert told["photographs"] == 2
    assert told["invented"]["person"] == 1
    assert "scores" not in told


def test_kept_captions_are_read_and_the_others_written(beyond, tmp_path):
    class Never(Captioner):
        card = {"fingerprint": "0123456789abcdef"}

        def __init__(self):
            pass

        def caption_each(self, pictures, **_):
            assert list(pictures) == []
            return iter([])

    file = tmp_path / "0123456789ab some.jsonl"
    file.write_text(
        '{"id": "a", "caption": "a dog", "confidence": 0.25}\n'
        '{"id": "b", "caption": "", "left_out": "not a photograph"}\n{"id": "c", "cap'
    )
    examples = [Example(name, Path("x.jpg"), ("a dog",), "test") for name in "ab"]

    first, second = beyond.caption_set(Never(), "some", examples, tmp_path)

    assert (first.text, first.answer.confidence) == ("a dog", 0.25)
    assert (second.text, str(second.answer)) == ("", "not a photograph")
    assert file.read_text().count("\n") == 2
    assert beyond.measure_set([first, second], ["BLEU", "CIDEr-D"])["invented"]["captions"] == 1


def test_confidence_is_measured_against_the_share_that_is_right(beyond):
    told = beyond.measure_confidence(np.array([0.9, 0.8, 0.4, 0.1]), np.array([1, 1, 0, 0], bool))

    assert told["area"] == 1 and told["right"] == 0.5
    assert (told["sure"], told["right of the sure"]) == (2, 1)
    assert told["risk"] == {"0.1": 0, "0.25": 0, "0.5": 0, "0.75": round(1 / 3, 4), "1": 0.5}
    assert told["calibration error"] == pytest.approx((0.1 + 0.2 + 0.4 + 0.1) / 4)


def test_what_was_seen_is_kept_picture_by_picture(beyond):
    results = {"package": {}}

    beyond.note_verdicts(results, "package", "rrpwh", "somebody")

    [told] = results["package"]["by eye"]
    assert [told[word] for word in ("right", "partly", "wrong", "harmful")] == [2, 1, 1, 1]
    assert (told["reader"], told["verdicts"]) == ("somebody", "rrpwh")


@pytest.mark.parametrize(("name", "verdicts"), [("package", "rx"), ("another", "rr")])
def test_verdicts_that_mean_nothing_are_refused(beyond, name, verdicts):
    with pytest.raises(SystemExit):
        beyond.note_verdicts({"package": {}}, name, verdicts, "somebody")


def test_the_sheet_has_every_photograph_and_its_caption(beyond, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    shown = [captioned(f"a red thing {n}", image=tmp_path / "red.png") for n in range(26)]

    pages = beyond.draw_sheets(shown, tmp_path / "sheet")

    assert [page.name for page in pages] == ["sheet-1.png", "sheet-2.png"]
    with Image.open(pages[1]) as page:
        assert page.getpixel((20, 20)) == (255, 0, 0)
        assert page.getpixel((page.width - 20, 20)) == (255, 255, 255)
    lines = (tmp_path / "sheet" / "captions.txt").read_text().splitlines()
    assert lines[25].split("\t") == ["26", "a red thing 25", "a red thing 25"]


def test_the_tables_of_the_page_are_those_of_the_results(beyond):
    results = json.loads(beyond.RESULTS.read_text())
    page = beyond.PAGE.read_text(encoding="utf8")

    assert f"<!-- beyond -->\n{beyond.write_tables(results)}\n<!-- /beyond -->" in page
