"""`cutline find`: pictures by the words of their captions."""

import json

import pytest

from albums import line, write_lines


@pytest.fixture
def captions(tmp_path):
    lines = [
        line("a.jpg", "two puppies run on the beach"),
        line("b.jpg", "a dog sleeps on a couch"),
        line("c.jpg", "a red bus in a street"),
        {"path": "d.jpg", "error": "d.jpg is empty (0 bytes)"},
        {"path": "e.jpg", "caption": None, "left_out": "not a photograph"},
    ]
    return write_lines(tmp_path / "captions.jsonl", lines)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("dog beach", "a"),
        ("Dogs", "ab"),
        ("animal", "ab"),
        ("puppies", "ab"),
        ("red", "c"),
        ("sofa", "b"),
    ],
)
def test_all_words_are_found_also_as_synonyms(run, captions, query, found):
    code, out, err = run("find", query, captions)

    assert (code, [row[0] for row in out.splitlines()]) == (0, list(found))
    assert f"{len(found)} picture" in err


def test_lines_are_printed_as_json(run, captions):
    code, out, _ = run("find", "bus", captions, "--json")

    assert (code, json.loads(out)["path"]) == (0, "c.jpg")


def test_nothing_found_exits_with_1_and_no_words_with_2(run, captions):
    assert run("find", "elephant", captions)[:2] == (1, "")
    assert run("find", " ", captions)[0] == 2
