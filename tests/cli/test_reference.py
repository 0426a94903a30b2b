"""docs/reference.md says what the program prints: every table is compared with it."""

import json
import re
from pathlib import Path

import click
import pytest
from PIL import Image

from albums import draw, draw_album, lines_of, write_lines
from conftest import ROOT
from cutline.alttext.audit import State
from cutline.cli.main import commands
from cutline.reports.review import Review
from small_recipe import SMALL

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf8")


WITHOUT_JSON = {
    "submit", "serve", "train", "export", "soup", "import", "report", "review", "web", "merge",
}  # fmt: skip
"""Commands whose result is a file or a server."""


def table(heading: str) -> dict[str, str]:
    """The rows of the table under a header row that begins with `heading`, by their first cell."""
    rows = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.M)[1]
    cells = (row.strip("| ").split(" | ", 1) for row in rows.splitlines())
    return {name.strip("`"): rest for name, rest in cells}


def fields_of(value: object, prefix: str = "") -> set[str]:
    """Every key of an object, nested ones as `model.name` and `words[].word`."""
    if isinstance(value, list):
        return {name for each in value for name in fields_of(each, f"{prefix}[]")}
    if not isinstance(value, dict):
        return set()
    dotted = {key: f"{prefix}.{key}".lstrip(".") for key in value}
    return set(dotted.values()) | {
        name for key, each in value.items() for name in fields_of(each, dotted[key])
    }


def leaves() -> dict[str, click.Command]:
    context = click.Context(commands)
    found = {}
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        for leaf, each in getattr(command, "commands", {"": command}).items():
            found[f"{name} {leaf}".strip()] = each
    return found


def named(command: click.Command) -> set[str]:
    """The names of its parameters."""
    return {parameter.name for parameter in command.params}


def objects(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_fields_of_a_caption_are_those_that_are_written(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "red").save("red.png")  # no photograph
    Image.open(ROOT / "examples" / "cat.jpg").save("cat.jpg")
    Path("bad.jpg").write_bytes(b"")
    command = ("caption", ".", "--gaze", "--best", 2, "--out", "captions.jsonl")

    assert run(*command)[0] == 1
    bad, cat, red = objects(Path("captions.jsonl").read_text())
    assert (list(bad), red["left_out"]) == (["path", "error"], "not a photograph")
    write_lines(Path("captions.jsonl"), [bad, {**cat, "caption": "a cat of ours"}, red])
    assert run(*command)[0] == 1

    exif = Image.Exif()
    exif[270] = "our lake"
    Image.new("RGB", (64, 48)).save("lake.jpg", exif=exif)
    [lake] = objects(run("caption", "lake.jpg", "--prefer-existing", "--json")[1])

    Review(Path("captions.jsonl")).decide(1, "edited", "our cat")
    written = objects(Path("captions.jsonl").read_text())
    found = {name for line in (*written, cat, lake) for name in fields_of(line)}
    parts = ("best[]", "model.view.", "review.model_line.")
    nested = {name for name in found if name.startswith(parts)}
    documented = {*table("field")} - {"action"}
    assert found - nested == documented
    assert {name.removeprefix("best[].") for name in nested if "best" in name} <= documented


def test_the_actions_of_write_and_undo_are_those_that_are_printed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    album = draw_album(Path("album"))
    Path("album/png.txt").write_text("mine")
    Path("album/webp.txt").touch()
    draw(album / "new.png")
    first, *lines = lines_of(album)
    lines += [{**first, "caption": None, "left_out": "unsure"}, {**first, "path": "album/none.jpg"}]
    captions = write_lines(Path("captions.jsonl"), lines)
    write = ("write", captions, "--as", "txt", "--json")

    printed = [run(*write)[1], run(*write, "--apply")[1], run(*write, "--apply")[1]]
    printed += [run("write", captions, "--as", "xmp", "--keywords", "--json")[1]]
    undo = ("undo", "captions.undo.jsonl", "--json")
    printed += [run(*undo)[1]]
    Path("album/tif.txt").write_text("changed")
    printed += [run(*undo, "--apply")[1], run(*undo)[1]]

    found = [line for out in printed for line in objects(out)]
    fields = re.search(r"one per file:\n\n\| field .*?\n\n", PAGE, re.S)[0]
    assert {name for line in found for name in line} == set(
        re.findall(r"^\| `(\w+)`", fields, re.M)
    )
    assert {line["action"] for line in found} == set(table("action"))


def test_the_states_of_alt_texts_are_those_of_the_program(run, tiny, tmp_path):
    draw_album(tmp_path / "album")
    page = tmp_path / "page.html"
    page.write_text('<img src="album/png.png"><img src="none.png"><img src="a.png" alt="b">')

    code, out, _ = run("alt", page, "--json", "-m", tiny, "--any-picture", "--min-confidence", 0)

    fields = re.search(r"picture of a page:\n\n\| field .*?\n\n", PAGE, re.S)[0]
    found = {name for line in objects(out) for name in line}
    assert (code, found) == (1, set(re.findall(r"^\| `(\w+)`", fields, re.M)))
    assert {state.value for state in State} == set(table("state"))


@pytest.fixture
def given(tiny, drawn, tmp_path):
    """Arguments that make a command print its JSON."""
    people = {"1": ["a dog runs", "the dog is running"], "2": ["a cat sleeps", "a cat"]}
    (tmp_path / "people.json").write_text(json.dumps(people))
    (tmp_path / "said.json").write_text('{"1": "a dog runs", "2": "a cat"}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "captions.csv").write_text("image,caption\nnone.png,nothing\n")
    (tmp_path / "one.onnx").write_bytes((tiny / "model.onnx").read_bytes())
    (tmp_path / "small.toml").write_text(SMALL)
    said, people = tmp_path / "said.json", tmp_path / "people.json"
    shapes = ("--data", drawn, "--kind", "shapes")
    few = ("--split", "validation", "--pictures", 4, "--neighbours", 0)
    return {
        "score": (said, "--references", people, "--only", "BLEU,diversity"),
        "compare": (said, said, "--references", people, "--only", "BLEU", "--draws", 20),
        "evaluate": ("-m", tiny, *shapes, "--draws", 20),
        "calibrate": ("-m", tmp_path / "one.onnx", *shapes),
        "inspect": ("-m", tiny, *shapes, *few),
        "card": ("-m", tiny),
        "sweep": (
            tmp_path / "small.toml",
            *shapes[:2],
            "--cache",
            tmp_path / "cache",
            "--seeds",
            1,
            "--device",
            "cpu",
        ),
        "recipes": (),
        "data list": (),
        "data get": ("coco2014", "--plan", "-o", tmp_path / "coco"),
        "data show": (drawn, "--kind", "shapes"),
        "data check": (tmp_path / "mine",),
    }


def test_the_fields_of_other_commands_are_those_that_are_printed(run, given):
    documented = dict(list(table("command | fields of its JSON").items()))
    assert set(documented) == set(given)

    for name, arguments in given.items():
        _, out, err = run(*name.split(), *arguments, "--json", "--quiet")
        assert out, (name, err)
        printed = json.loads(out)
        names = {*re.findall(r"`(\w+)`", documented[name])}
        if name == "compare":
            assert list(printed) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"]
            printed = printed["BLEU-1"]
        assert names <= set(printed), (name, err)
        assert not names or names == set(printed), name


def test_each_command_is_in_the_table_of_exit_codes_and_two_is_wrong_usage(run):
    assert set(table("command | exits with 1 if")) == set(leaves())
    for name in leaves():
        assert run(*name.split(), "--no-such-option")[0] == 2, name


@pytest.mark.parametrize(
    "line",
    [
        "caption -m none a.jpg",
        "gaze -m none a.jpg -o a.png",
        "merge none.jsonl",
        "submit none.json -m none -o out.json",
        "serve -m none",
        "train shapes --data none --kind folder",
        "export none",
        "soup none none -o mean",
        "import none none none -o new",
        "score none.json --references none.json",
        "compare none.json none.json --references none.json",
        "evaluate -m none --data none",
        "calibrate -m none --data none",
        "inspect -m none --data none",
        "card -m none",
        "data get none",
        "data show none",
        "write none.jsonl --as txt",
        "undo none.jsonl",
        "report none.jsonl",
        "review none.jsonl --progress",
        "alt -m none none.html",
    ],
)
def test_one_is_an_error_that_is_one_sentence(run, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    code, out, err = run(*line.split())

    assert (code, out) == (1, "")
    assert err.startswith("cutline: ") and len(err.splitlines()) == 1


def test_shared_options_have_the_same_spellings_everywhere():
    spellings = {
        "--model": ["-m", "--model"],
        "--out": ["-o", "--out"],
        "--quiet": ["-q", "--quiet"],
        "--json": ["--json"],
        "--language": ["--language"],
        "--device": ["--device"],
    }
    assert set(spellings) == {re.findall(r"--\w+", name)[-1] for name in table("option")}
    for name, command in leaves().items():
        for option in command.params:
            for long in set(option.opts) & set(spellings):
                assert option.opts == spellings[long], (name, long)
        assert "as_json" in named(command) or name in WITHOUT_JSON
        assert {"--quiet", "--help"} <= {
            o for p in command.get_params(click.Context(command)) for o in p.opts
        }
    assert {name for name, each in leaves().items() if "device" in named(each)} == {
        "caption", "gaze", "submit", "train", "sweep", "evaluate", "calibrate", "inspect", "alt",
        "serve",
    }  # fmt: skip
