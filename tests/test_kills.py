"""Commands that write, killed at random moments and on a disk that fails: no file lost or half."""

import shutil

import pytest

from hostile.faults import fail_all
from hostile.kills import kill_all
from hostile.scenarios import find_damage, scenarios

QUICK = (
    "write --as txt",
    "write --as xmp",
    "undo",
    "alt --apply",
    "data get",
    "caption --out .jsonl",
)
needs_compiler = pytest.mark.skipif(
    not (shutil.which("gcc") or shutil.which("cc")), reason="there is no C compiler"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_no_file_is_lost_or_half(tiny, tmp_path):
    figures = kill_all(60, tiny, tmp_path)

    assert {name: own["damaged"] for name, own in figures.items()} == dict.fromkeys(figures, 0)
    assert sum(own["kills"] for own in figures.values()) >= 30


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", ["write --as txt", "data get"])
def test_a_disk_that_fails_once_is_told_and_loses_nothing(name, tiny, tmp_path):
    figures = fail_all(tiny, tmp_path, only=[name], most=2)

    assert figures[name]["faults"] >= 4
    assert figures[name]["damaged"] == 0


@pytest.mark.campaign
@needs_compiler
@pytest.mark.timeout(900)
def test_a_disk_that_fails_at_any_write_sync_or_rename_loses_nothing(tiny, tmp_path):
    figures = fail_all(tiny, tmp_path, only=[*QUICK, "export", "train"], most=6)

    assert {name: own["damaged"] for name, own in figures.items()} == dict.fromkeys(figures, 0)


def test_a_lost_or_half_file_would_be_noticed(tiny, tmp_path):
    scenario = scenarios(tiny, tmp_path / "mirror")["write --as xmp"]
    before, after = {"a": b"old", "b": b"b"}, {"a": b"new", "b": b"b", "c": b"c"}

    assert find_damage(scenario, before, after, {"a": b"new", "b": b"b"}) == []
    assert find_damage(scenario, before, after, {"a": b"ne", "b": b"b"}) == ["a is half"]
    assert find_damage(scenario, before, after, {"a": b"new"}) == ["b is lost"]
