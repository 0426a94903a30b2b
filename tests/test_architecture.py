"""The floor plan, as a test: who may import whom, how long a room may be, and no way round."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "cutline"
DRAWING = (ROOT / "ARCHITECTURE.md").read_text().split("```floors\n")[1].split("```")[0]
FLOORS = [line.split() for line in reversed(DRAWING.splitlines())]
FLOOR_OF = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [path for path in FILES if path != PACKAGE / "__init__.py"]
MOST_LINES_A_FILE = 400
MOST_LINES_A_FUNCTION = 60
TABLE = [line.split("|") for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines()]
WITHOUT_TORCH = ["engines.onnx"] + [
    name
    for row in TABLE
    if len(row) == 5 and row[3].strip() == "no"
    for name in re.findall(r"`(\w+)/?`", row[1])
]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Every room that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    modules = [name.split(".") for name in found if name.startswith("cutline.")]
    return {parts[1] for parts in modules if parts[1] in FLOOR_OF} - {room(path)}


def test_the_table_names_the_rooms_of_the_drawing():
    named = {name for row in TABLE if len(row) == 5 for name in re.findall(r"`(\w+)/?`", row[1])}

    assert named == set(FLOOR_OF)
    assert len(WITHOUT_TORCH) > 15


def test_every_room_is_in_the_drawing_and_the_drawing_has_no_others():
    assert {room(path) for path in ROOMS} == set(FLOOR_OF)


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    upward = {r for r in imported_rooms(path) if FLOOR_OF[r] >= FLOOR_OF[room(path)]}
    assert not upward


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_stay_small_and_say_what_they_are_for(path):
    source = path.read_text()
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]

    assert ast.get_docstring(tree)
    assert source.count("\n") <= MOST_LINES_A_FILE
    assert {f.name for f in functions if f.end_lineno - f.lineno >= MOST_LINES_A_FUNCTION} == set()


def test_captioning_and_scoring_never_import_torch():
    """In a fresh interpreter, since this one has torch already; it says at which room it came."""
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"cutline.{name}")
    if {"torch", "jaxtyping"} & sys.modules.keys():
        sys.exit(f"{name} imports torch")
"""

    command = [sys.executable, "-c", code, *WITHOUT_TORCH]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""
