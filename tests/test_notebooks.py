"""The notebooks run from top to bottom; what is stored in them is whole and names no machine."""

import ast
import builtins
import importlib
import importlib.util
import inspect
import json
import re
import shutil
from pathlib import Path

import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = ["0_Dataset", "1_Preliminaries", "2_Training", "3_Inference", "4_Your_own_captions"]
MOST_BYTES = 1_000_000
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|usr|opt|Users|private)/|[A-Z]:\\\\")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf8"))["cells"]


def code_of(cells: list[dict]) -> list[dict]:
    return [cell for cell in cells if cell["cell_type"] == "code"]


def text_of(cells: list[dict], kind: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)


def test_all_of_them_are_there():
    assert [path.stem for path in NOTEBOOKS] == EVERY


def test_what_is_stored_is_one_run_from_top_to_bottom(cells):
    counts = [cell["execution_count"] for cell in code_of(cells)]
    outputs = [output for cell in code_of(cells) for output in cell["outputs"]]

    assert counts == list(range(1, len(counts) + 1))
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 1
    assert [output for output in outputs if output["output_type"] == "error"] == []


def test_no_output_is_a_warning_or_names_a_place_of_one_machine(path, cells):
    outputs = [output for cell in code_of(cells) for output in cell["outputs"]]
    told = "".join("".join(output.get("text", ())) for output in outputs)

    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert ABSOLUTE.search(told + text_of(cells, "code") + text_of(cells, "markdown")) is None
    assert path.stat().st_size < MOST_BYTES


def test_recipes_and_sources_are_shown_as_they_are_now(cells):
    """A notebook that was run before they changed teaches what is no longer so."""
    everything = text_of(cells, "code")
    for cell in code_of(cells):
        code = "".join(cell["source"])
        shown = "".join("".join(output.get("text", ())) for output in cell["outputs"])
        if re.search(r"print\((recipe|Path)", code):
            for name in re.findall(r"recipes/([\w-]+\.toml)", code):
                assert (ROOT / "recipes" / name).read_text(encoding="utf8") in shown
        for name in re.findall(r"print\(inspect\.getsource\((\w+)\)\)", code):
            module = re.search(rf"from ([\w.]+) import .*\b{name}\b", everything)[1]
            assert inspect.getsource(getattr(importlib.import_module(module), name)) in shown


def test_every_name_in_the_code_exists(cells):
    """Imports are tried; any other name must have been given by a cell before, or be Python's."""
    tree = ast.parse(text_of(cells, "code"))
    given = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
        if isinstance(node, ast.Import):
            assert all(importlib.util.find_spec(alias.name) for alias in node.names)
        if isinstance(node, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
        if isinstance(node, ast.arg):
            given.add(node.arg)
        if isinstance(node, ast.ExceptHandler):
            given.add(node.name or "_")
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            given.add(node.id)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}

    assert used - given == set()


def test_the_reader_is_led(cells):
    """What one will know comes first; questions with folded answers come last; links lead on."""
    text = text_of(cells, "markdown")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)

    assert "By the end you will" in "".join(cells[0]["source"])
    assert 4 <= text.count("<details><summary>") == text.count("</details>") <= 6
    assert "What you should see" in text
    assert [link for link in links if not (ROOT / "notebooks" / link).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_notebooks_run_in_a_fresh_copy(tmp_path, monkeypatch):
    """Run in order, since 3 uses the model that 2 trains; for few epochs, which takes less time."""
    monkeypatch.delenv("CUTLINE_DATA", raising=False)
    monkeypatch.setenv("CUTLINE_EPOCHS", "3")
    spec = importlib.util.spec_from_file_location("run", ROOT / "notebooks" / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    for folder in ("notebooks", "examples", "recipes", "docs"):
        kept_out = shutil.ignore_patterns("runs", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=kept_out)

    for path in sorted((tmp_path / "notebooks").glob("*.ipynb")):
        executed = run.execute(path)

        cells = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
