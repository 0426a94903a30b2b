"""Documents are true: commands exist, numbers come from the results, links lead somewhere."""

import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import torch

from conftest import ROOT
from cutline.cli.main import commands
from cutline.inference.captioner import PACKAGED
from cutline.inference.onnx import OnnxEngine
from cutline.models.checkpoint import read_model
from cutline.recipe import Recipe

README = (ROOT / "README.md").read_text(encoding="utf8")
FOLDERS = (ROOT, ROOT / "docs", ROOT / "examples", ROOT / "notebooks")
DOCUMENTS = sorted(path for folder in FOLDERS for path in folder.glob("*.md"))
RECIPES = sorted(ROOT.glob("recipes/*.toml"))


def benchmarks():
    spec = importlib.util.spec_from_file_location("run", ROOT / "benchmarks" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_screen_holds_a_photograph_and_two_commands():
    first = README.splitlines()[:30]

    assert sum(line.startswith("    python3 -m venv .venv && ") for line in first) == 2
    assert any("<img src" in line for line in first)


def test_the_numbers_in_the_readme_are_those_of_the_results():
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text())

    for name, content in benchmarks().readme_parts(results).items():
        shown = re.search(f"<!-- {name} -->(.*?)<!-- /{name} -->", README, re.S)[1]
        assert shown == content


def test_what_was_seen_by_eye_is_in_the_readme_as_it_was_noted(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    beyond = importlib.import_module("beyond")
    told = beyond.tell_verdicts(json.loads(beyond.RESULTS.read_text()))
    assert f"<!-- by-eye -->{told}<!-- /by-eye -->" in README


def test_the_speed_of_the_server_is_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    serving = importlib.import_module("serving")
    told = serving.tell(json.loads(serving.RESULTS.read_text()))
    assert f"<!-- measured -->{told}<!-- /measured -->" in serving.DOCUMENT.read_text()


def test_the_cost_of_a_million_pictures_is_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    cluster = importlib.import_module("cluster")
    told = cluster.tell(json.loads(cluster.RESULTS.read_text()))
    assert f"<!-- measured -->{told}<!-- /measured -->" in cluster.DOCUMENT.read_text()


def test_the_figures_of_large_numbers_are_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    scale = importlib.import_module("scale")
    assert scale.tell(json.loads(scale.RESULTS.read_text())) == scale.DOCUMENT.read_text()


def test_the_cost_of_other_captioners_is_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    peers = importlib.import_module("peers")
    told = peers.tell(json.loads(peers.RESULTS.read_text()))
    assert f"<!-- peers -->{told}<!-- /peers -->" in README


def test_the_card_in_the_documents_is_the_models_own():
    from cutline.reports.model_card import format_card

    card = OnnxEngine(PACKAGED).card

    assert (ROOT / "docs" / "model-card.md").read_text(encoding="utf8") == format_card(card)
    assert set(card["scores"]) == {"validation", "test"}


def test_the_model_in_the_package_is_small_enough():
    assert PACKAGED.stat().st_size <= 45_000_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    text = document.read_text(encoding="utf8")

    links = re.findall(r"\]\((?!http)([^)#]+)\)", text) + re.findall(r'src="(?!http)([^"]+)"', text)

    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists_with_its_options(document):
    text = document.read_text(encoding="utf8")
    shown = re.findall(r"^(?:    )?(cutline .+?)(?:   .*)?$", text, re.M)
    shown += re.findall(r"`(cutline [^`]+)`", text)

    for line in shown:
        words = shlex.split(line.split(" | ")[0].split(" && ")[0])[1:]
        command, context = commands, click.Context(commands)
        while isinstance(command, click.Group) and words:
            command = command.get_command(context, words.pop(0))
            assert command is not None, line
        known = {name for parameter in command.params for name in parameter.opts}
        assert {w for w in words if w.startswith("--")} <= known | {"--help"}, line


def test_every_command_is_documented():
    context = click.Context(commands)
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        for leaf in getattr(command, "commands", {"": None}):
            assert f"cutline {name} {leaf}".strip() in README + _changelog()


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf8")


@pytest.fixture(scope="module")
def packaged() -> Recipe:
    """The recipe of the built-in model."""
    return read_model(PACKAGED).recipe


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_complete_and_a_claim(path, packaged):
    goes_on = "--from packaged" in path.read_text(encoding="utf8")
    recipe = Recipe.read(path, model=packaged if goes_on else None)

    assert {"title", "paper", "command", "expected"} <= recipe.claim.keys()
    with torch.device("meta"):  # shapes only: no weights are drawn
        for section in ("view", "training", "encoder"):
            recipe.build(section)
        assert recipe.build("decoder", 8, 10)


def test_the_changelog_knows_the_version():
    import cutline

    assert f"## {cutline.__version__}" in _changelog()


def test_nothing_names_a_place_of_one_machine():
    tracked = [p for p in ROOT.rglob("*") if p.suffix in {".md", ".py", ".toml", ".json", ""}]
    here = str(Path.home()) + "/"

    for path in tracked:
        hidden = any(
            part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts
        )
        if path.is_file() and not hidden and "runs" not in path.parts:
            text = path.read_text(encoding="utf8", errors="ignore")
            assert here not in text or here == "/", path
            assert str(ROOT.parent) + "/" not in text, path


def test_the_constraints_admit_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert not any(need.startswith("torch") for need in project["dependencies"])
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
