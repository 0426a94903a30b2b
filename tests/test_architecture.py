"""The plan of the package: who may import whom, who needs torch, how long a file may be."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "cutline"
PLAN = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf8")
FILES = sorted(PACKAGE.rglob("*.py"))
GROUND = {"errors", "types", "recipe", "version", "_lazy", "__main__", "__init__"}
MOST_LINES_A_FILE = 500
MOST_LINES_A_FUNCTION = 60


def read_block(name: str, between: str) -> dict[str, list[str]]:
    lines = PLAN.split(f"```{name}\n")[1].split("```")[0].splitlines()
    parted = (line.partition(between) for line in lines)
    return {folder.strip(): others.split() for folder, _, others in parted}


IMPORTS = read_block("imports", "->")
NEEDS_TORCH = {
    f"{folder}.{name}" for folder, names in read_block("torch", ":").items() for name in names
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Every folder or file beside them that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("cutline.")}


def test_the_list_has_the_folders_of_the_package_and_there_are_few():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}

    assert folders == set(IMPORTS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND
    assert len(folders) <= 17 and len(entries - folders) <= 8


@pytest.mark.parametrize("folder", IMPORTS)
def test_a_folder_imports_what_is_listed_and_all_of_it(folder):
    paths = (PACKAGE / folder).rglob("*.py")
    used = {name for path in paths for name in imported(path)} - GROUND - {folder}

    assert used & set(IMPORTS) == set(IMPORTS[folder])


def test_no_two_folders_import_each_other_however_far_round():
    settled: set[str] = set()
    while ready := {f for f in set(IMPORTS) - settled if settled.issuperset(IMPORTS[f])}:
        settled |= ready

    assert settled == set(IMPORTS)


@pytest.mark.parametrize("name", sorted(GROUND - {"__main__"}))
def test_what_lies_beside_the_folders_imports_none_of_them(name):
    allowed = {"inference", "text"} if name == "__init__" else set()

    assert imported(PACKAGE / f"{name}.py") & set(IMPORTS) <= allowed


@pytest.mark.parametrize("folder", [name for name in IMPORTS if name not in ("cli", "io")])
def test_what_a_folder_calls_public_is_there(folder):
    package = importlib.import_module(f"cutline.{folder}")

    assert package.__doc__ and package.__all__ == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__doc__ or name.isupper()


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_stay_small_and_say_what_they_are_for(path):
    source = path.read_text(encoding="utf8")
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]

    assert ast.get_docstring(tree)
    assert source.count("\n") <= MOST_LINES_A_FILE
    assert {f.name for f in functions if f.end_lineno - f.lineno >= MOST_LINES_A_FUNCTION} == set()


def test_the_tables_name_every_file():
    named = set()
    for folder, table in re.findall(r"^## (\w+)/: .*?\n(.*?)(?=^## )", PLAN, re.M | re.S):
        files = re.findall(r"^\| `([\w/]+)` \|", table, re.M)
        named |= {f"{folder}.{file.replace('/', '.')}" for file in files}

    own = {module_of(path) for path in FILES if path.name != "__init__.py"} - GROUND
    assert named == own


def test_captioning_and_scoring_never_import_torch():
    """In a fresh interpreter, since this one has torch already; it names the first to import it."""
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"cutline.{name}")
    if {"torch", "jaxtyping"} & sys.modules.keys():
        sys.exit(f"{name} imports torch")
"""
    names = {module_of(path) for path in FILES} - NEEDS_TORCH - {"__init__", "__main__"}

    assert {module_of(path) for path in FILES} > NEEDS_TORCH
    command = [sys.executable, "-c", code, *sorted(names)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""
