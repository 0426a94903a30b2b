"""The notebooks run from top to bottom; what is stored is whole, and the text agrees with it.

Facts that a text claims of a run are asserted in a cell below it. What it claims of Flickr8k and of
COCO's own file is compared with the data here.
"""

import ast
import builtins
import importlib
import importlib.util
import inspect
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from conftest import ROOT
from cutline.datasets.flickr8k import Flickr8k
from cutline.text.tokenizer import split_words

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EVERY = [
    "0_Dataset",
    "1_Preliminaries",
    "2_Training",
    "3_Inference",
    "4_Your_own_captions",
    "5_Attention",
    "6_Self_critical",
    "7_Transformer",
]
MOST_BYTES = 400_000
CLAIMS, CHECKED = "What you should see", "# What the text says"
NAMED = re.compile(r"(?<![\w.,*])\d[\d,.]*\d(?! ×)|(?<!= )\"[^\"\n]+\"")
"""Numbers of two digits or more, and quoted words."""
SOLUTION = re.compile(r"<details><summary>Solution of.*?```python\n(.*?)```", re.S)
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|work|usr|opt|Users|private)/|[A-Z]:\\\\")


@pytest.fixture(autouse=True)
def modules_beside_the_notebooks(monkeypatch):
    """`drawing` and `exercises`, as Jupyter finds them."""
    monkeypatch.syspath_prepend(ROOT / "notebooks")


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


def outputs_of(cells: list[dict]) -> str:
    return "\n".join("".join(o.get("text", ())) for c in cells for o in c.get("outputs", ()))


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


def test_what_the_text_says_is_checked_below_it(cells):
    """And what it names, numbers and quoted words, was printed or is in that check.

    What it says of Flickr8k, other tests compare with the data.
    """
    for number, cell in enumerate(cells):
        text = "".join(cell["source"])
        if cell["cell_type"] != "markdown" or CLAIMS not in text:
            continue
        check = "".join(cells[number + 1]["source"])
        assert CHECKED in check and "assert " in check, text[:80]
        claims = text.split(CLAIMS)[1].split("\n\n")[0].split(". ")
        names = [n for c in claims if "Flickr8k" not in c for n in NAMED.findall(c)]
        shown = outputs_of(cells[: number + 2]) + text_of(cells[: number + 2], "code")
        shown = shown.replace("\\", "")  # of regular expressions
        names = {name.strip('",.') for name in names}
        assert {n for n in names if n not in shown and n.replace(",", "") not in shown} == set()


def test_every_figure_has_a_description(cells):
    for cell in code_of(cells):
        for output in cell["outputs"]:
            for kind in output.get("data", ()):
                if kind.startswith("image/"):
                    assert len(output["metadata"][kind]["alt"]) > 30


def test_the_third_shows_the_model_that_the_second_trained():
    cells = json.loads((ROOT / "notebooks" / "3_Inference.ipynb").read_text(encoding="utf8"))

    assert "captions by show-attend-tell" in outputs_of(cells["cells"])


@pytest.mark.slow
def test_what_is_said_of_flickr8k_is_so(shared):
    captions = [
        split_words(text)
        for example in Flickr8k(shared / "data/flickr8k")
        if example.split == "train"
        for text in example.captions
    ]
    words = Counter(word for caption in captions for word in caption)
    lengths = [len(caption) for caption in captions]
    facts = {
        "7,140 of the 30,000 training captions mention a dog and 51 a cat": (
            len(captions) == 30_000
            and sum(not {"dog", "dogs"}.isdisjoint(c) for c in captions) == 7140
            and sum(not {"cat", "cats"}.isdisjoint(c) for c in captions) == 51
        ),
        "more than half of the 7,694 distinct words occur only once or twice": (
            len(words) == 7694 and sum(n <= 2 for n in words.values()) > 7694 / 2
        ),
        "one word in seven is `a`": round(words.total() / words["a"]) == 7,
        "seven in ten of Flickr8k's have between 8 and 15": (
            round(10 * sum(8 <= n <= 15 for n in lengths) / len(lengths)) == 7
        ),
        "a long tail up to 36": max(lengths) == 36,
    }
    text = text_of(json.loads(NOTEBOOKS[0].read_text(encoding="utf8"))["cells"], "markdown")

    assert [fact for fact, is_so in facts.items() if not is_so or fact not in text] == []


def test_what_is_said_of_cocos_own_file_is_so(shared):
    coco = json.loads((shared / "data/coco/captions_val2017.json").read_text(encoding="utf8"))
    own = json.loads((ROOT / "examples" / "captions.json").read_text(encoding="utf8"))
    text = text_of(json.loads(NOTEBOOKS[0].read_text(encoding="utf8"))["cells"], "markdown")
    captions = Counter(Counter(each["image_id"] for each in coco["annotations"]).values())

    assert (len(coco["images"]), len(coco["annotations"])) == (5000, 25014)
    assert (captions[6], captions[7], len(coco["licenses"])) == (12, 1, 8)
    assert "5,000 images and 25,014 captions (12 photographs have six, one has seven)" in text
    assert coco["annotations"][0].keys() == own["annotations"][0].keys()
    more = {"coco_url", "flickr_url", "date_captured"}
    assert coco["images"][0].keys() == own["images"][0].keys() | more
    assert all(f"`{name}`" in text for name in more)


def test_the_photographs_captions_are_about_those_photographs():
    own = json.loads((ROOT / "examples" / "captions.json").read_text(encoding="utf8"))
    captioned = Counter(each["image_id"] for each in own["annotations"])

    for image in own["images"]:
        with Image.open(ROOT / "examples" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    assert len(own["images"]) == len(list((ROOT / "examples").glob("*.jpg")))
    assert captioned == {image["id"]: 5 for image in own["images"]}


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
    assert text.count("<details><summary>") == text.count("</details>")
    assert 4 <= len(re.findall(r"<details><summary>\d\.", text)) <= 6
    assert CLAIMS in text
    assert [link for link in links if not (ROOT / "notebooks" / link).exists()] == []


def solve(notebook) -> int:
    """Put the folded solutions into the cells of the exercises; how many there are."""
    solutions = [s for cell in notebook.cells for s in SOLUTION.findall(cell.source)]
    exercises = [c for c in notebook.cells if c.cell_type == "code" and "return ..." in c.source]
    for cell, solution in zip(exercises, solutions, strict=True):
        assert cell.source.split("(")[0] == solution.split("(")[0]
        cell.source = solution
    return len(solutions)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_notebooks_run_in_a_fresh_copy(tmp_path, monkeypatch):
    """Run in order, since 3 uses the model that 2 trains; for few epochs, which takes less time.

    The exercises are solved with the solutions that the notebooks give.
    """
    monkeypatch.delenv("CUTLINE_DATA", raising=False)
    monkeypatch.setenv("CUTLINE_EPOCHS", "3")
    spec = importlib.util.spec_from_file_location("run", ROOT / "notebooks" / "run.py")
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    for folder in ("notebooks", "examples", "recipes", "docs"):
        kept_out = shutil.ignore_patterns("runs", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=kept_out)

    for path in sorted((tmp_path / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        exercises = solve(notebook)
        nbformat.write(notebook, path)

        executed = run.execute(path)

        cells = [cell for cell in executed.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in cells)
        assert len(re.findall(r"^\w+: right$", outputs_of(cells), re.M)) == exercises
