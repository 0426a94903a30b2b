"""Two files of captions side by side: the words that differ, and what changed most first."""

import json
import re
import shutil

import pytest

from conftest import ROOT
from cutline.errors import DataError
from cutline.io.predictions import Candidate, Prediction
from cutline.reports.comparison import mark_changes, pair_up, write_comparison


def predict(**captions: str) -> list[Prediction]:
    return [Prediction(f"{name}.jpg", Candidate(text)) for name, text in captions.items()]


def write(path, **captions: str):
    lines = ({"path": f"{name}.jpg", "caption": text} for name, text in captions.items())
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def order(page: str) -> list[str]:
    return [part.split("</h2>")[0] for part in page.split('<h2 dir="auto">')[1:]]


def test_words_that_the_other_lacks_are_marked():
    one, other = mark_changes(
        ["a", "dog", "runs", "on", "grass"], ["a", "cat", "runs", "on", "the", "grass"]
    )

    assert one == (False, True, False, False, False)
    assert other == (False, True, False, False, True, False)


def test_what_changed_most_comes_first(tmp_path):
    one = write(tmp_path / "a.jsonl", same="a dog", some="a red dog runs", all="two people", x="x")
    other = write(tmp_path / "b.jsonl", all="a car", same="a dog", some="a blue dog runs")

    list(write_comparison(one, other, tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert order(page) == ["all.jpg", "some.jpg", "same.jpg"]
    assert "2 of 3 captions differ" in page
    assert "a <mark>red</mark> dog runs" in page
    assert "a <mark>blue</mark> dog runs" in page


def test_a_sentence_of_the_same_words_is_shown_as_written_and_counted_apart(tmp_path):
    named = {"a": "a dog runs", "b": "a cat"}
    lines = [
        {"path": name, "caption": text, "words": [{"word": word} for word in text.split()]}
        for name, text in named.items()
    ]
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("\n".join(map(json.dumps, lines)))
    lines[0] |= {"caption": "A dog runs."}
    lines[1] |= {"caption": "A bird.", "words": [{"word": "a"}, {"word": "bird"}]}
    other.write_text("\n".join(map(json.dumps, lines)))

    list(write_comparison(one, other, tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert "1 of 2 captions differ, 1 more only in capitals or punctuation." in page
    assert "A <mark>bird.</mark>" in page
    assert "A dog runs." in page


def test_with_references_the_score_says_what_changed_and_who_is_better(tmp_path):
    one = write(tmp_path / "a.jsonl", worse="a dog runs fast", same="a red car", none="a b c")
    other = write(tmp_path / "b.jsonl", worse="the cat", same="a red car", none="d e f")
    references = {"worse": ["a dog runs fast"], "same": ["a red car"]}

    list(write_comparison(one, other, tmp_path / "page.html", references=references))

    page = (tmp_path / "page.html").read_text()
    assert order(page) == ["worse.jpg", "same.jpg", "none.jpg"]
    assert 'data-gain="-10"' in page
    assert "a is better by" in page


def test_pictures_in_other_folders_are_the_same_by_their_names():
    [pair] = pair_up(
        [Prediction("here/a.jpg", Candidate("one"))],
        [Prediction("there/a.jpg", Candidate("two")), *predict(b="three")],
        "both",
    )

    assert (pair.one.path, pair.other.path) == ("here/a.jpg", "there/a.jpg")


def test_files_that_do_not_fit_together_are_one_sentence():
    with pytest.raises(DataError, match=r"no picture in common \(a.jpg, b.jpg\)"):
        pair_up(predict(a="x"), predict(b="y"), "both")
    with pytest.raises(DataError, match="a second line for a picture"):
        pair_up(predict(a="x") * 2, predict(a="y"), "both")


def test_an_error_on_one_side_leaves_the_other(run, tmp_path):
    one = write(tmp_path / "a.jsonl", dog="a dog")
    (tmp_path / "b.jsonl").write_text('{"path": "dog.jpg", "error": "dog.jpg is damaged"}')

    code, _, _ = run("report", one, tmp_path / "b.jsonl", "-o", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text()
    assert code == 0
    assert "b: dog.jpg is damaged" in page
    assert "<mark>a</mark> <mark>dog</mark>" in page


def test_a_caption_that_was_left_out_is_said_to_be_and_the_gaze_lies_on_each_models_view(tmp_path):
    told = {"path": "cat.jpg", "caption": "a cat", "words": []}
    ways = [{"size": 224, "fit": fit} for fit in ("squash", "crop")]
    left = {"path": "dog.jpg", "caption": None, "left_out": "too unsure"}
    shutil.copy(ROOT / "examples" / "cat.jpg", tmp_path / "cat.jpg")
    for name, view in zip("ab", ways, strict=True):
        lines = [{**told, "model": {"view": view}}, {"path": "dog.jpg", "caption": "a dog"}]
        lines[1:] = [left] if name == "b" else lines[1:]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))

    list(write_comparison(tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "page.html"))

    page = (tmp_path / "page.html").read_text()
    assert "left out: b: too unsure" in page
    assert re.search(r'"boxes":\[null,\[0', page)


def test_scores_without_cider_sort_by_words(tmp_path):
    one = write(tmp_path / "a.jsonl", same="a dog", other="a red car")
    other = write(tmp_path / "b.jsonl", same="a dog", other="a blue car")
    options = {"references": {"same": ["a dog"], "other": ["a red car"]}, "scores": ["BLEU"]}

    list(write_comparison(one, other, tmp_path / "page.html", **options))

    page = (tmp_path / "page.html").read_text()
    assert order(page) == ["other.jpg", "same.jpg"]
    assert "BLEU-4" in page
