"""Hostile input of every kind is answered or refused with a sentence; the campaign would notice."""

import json
import random
import re

import pytest

from conftest import ROOT
from hostile.campaign import (
    DEFECTS,
    FIGURES,
    MARKS,
    add_up,
    draw_table,
    fill_document,
    join,
    plan,
    watch,
)
from hostile.kinds import KINDS
from hostile.material import Material

SEEN = {
    "traceback": "traceback", "untidy": "untidy", "waiting": "hang", "endless": "hang",
    "crash": "crash", "memory": "over memory", "elsewhere": "touched", "program": "touched",
    "leaving": "traceback",
}  # fmt: skip


def defects(told):
    return [one for one in told if one["outcome"] in DEFECTS]


def test_a_sample_of_every_kind_is_answered_or_refused_with_a_sentence(tiny, tmp_path):
    told = list(watch(plan(48), tiny, tmp_path))

    assert defects(told) == []
    assert {one["kind"] for one in told} == set(KINDS)
    assert {one["outcome"] for one in told} == {"answered", "refused"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_some_thousands_of_inputs_are_answered_or_refused_with_a_sentence(tiny, tmp_path):
    assert defects(watch(plan(2_000, first=1_000), tiny, tmp_path)) == []


@pytest.mark.slow
def test_whatever_a_reader_does_wrong_is_noticed_and_the_next_input_is_read(tiny, tmp_path):
    inputs = [(name, 0) for name in SEEN]
    told = list(watch([*inputs, ("recipe", 0)], tiny, tmp_path))

    assert {one["kind"]: one["outcome"] for one in told[:-1]} == SEEN
    assert told[-1]["outcome"] in ("answered", "refused")


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_makes_the_same_input_and_another_another(name, tiny, tmp_path, monkeypatch):
    made = []
    for number, seed in enumerate((1, 1, 2, 3)):
        (tmp_path / str(number) / "stranger").mkdir(parents=True)
        monkeypatch.chdir(folder := tmp_path / str(number) / "stranger")
        KINDS[name].make(random.Random(seed), folder, Material(tiny))
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        held = ((path.name, path.read_bytes()) for path in files if not path.is_symlink())
        made.append(
            [(each, re.sub(rb"/stranger|/[^\"]*/home", b"", content)) for each, content in held]
        )

    if name != "captioning journal":  # SQLite dates its pages
        assert made[0] == made[1]
    assert made[0] != made[2] or made[0] != made[3]


def test_figures_are_added_up_by_kind_and_the_greatest_costs_kept():
    one = {"kind": "image", "outcome": "answered", "seconds": 0.5, "memory": 10**8, "detail": ""}
    told = [one, {**one, "outcome": "hang", "seconds": 10.0}, {**one, "kind": "page"}]

    figures = add_up(told)

    assert figures["image"] == {
        "inputs": 2, "answered": 1, "hang": 1, "seconds": 10.0, "memory": 10**8,
    }  # fmt: skip
    table = draw_table({"inputs": figures, "date": "2026-11-28"})
    assert "| image | 2 | 1 | 0 | 0 | 0 | 1 | 0 | 10.0 s | 100 MB |" in table
    assert "| **all** | 3 | 2 | 0 | 0 | 0 | 1 | 0 | 10.0 s | 100 MB |" in table


def test_the_figures_of_two_runs_are_those_of_both():
    one = {"image": {"inputs": 2, "answered": 2, "seconds": 1.0, "memory": 5}}
    other = {"image": {"inputs": 1, "hang": 1, "seconds": 10.0, "memory": 3}, "page": {"inputs": 1}}

    assert join(one, other) == {
        "image": {"inputs": 3, "answered": 2, "hang": 1, "seconds": 10.0, "memory": 5},
        "page": {"inputs": 1},
    }


def test_the_table_goes_between_its_marks_and_all_else_stays(tmp_path):
    document = tmp_path / "security.md"
    document.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")

    fill_document({"inputs": {}, "date": "2026-11-28"}, document)

    text = document.read_text()
    assert text.startswith(f"before\n{MARKS[0]}\n| input |")
    assert text.endswith(f"{MARKS[1]}\nafter\n")
    assert "old" not in text


def test_the_document_shows_the_figures_of_the_campaign():
    figures = json.loads(FIGURES.read_text())
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf8")

    assert text.partition(MARKS[0])[2].partition(MARKS[1])[0] == f"\n{draw_table(figures)}"
