"""Captioning reports to nobody: no file appears in a home, and no name is looked up."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cutline.inference.captioner import PACKAGED

ROOT = Path(__file__).parents[1]
LAKE = ROOT / "examples" / "lake.jpg"
RUNS = f"onnxruntime.InferenceSession({str(PACKAGED)!r})"
CAPTIONS = f"cutline.load().caption({str(LAKE)!r})"
WAYS = {
    "the command": "from cutline.cli.main import main; main()",
    "Python": f"import cutline; {CAPTIONS}",
    "onnxruntime after cutline": f"import cutline, onnxruntime; {RUNS}",
    "quantisation": f"from cutline.models.quantization import onnxruntime; {RUNS}",
    "a process of ours": "import cutline, subprocess, sys; "
    f"subprocess.run([sys.executable, '-c', {f'import onnxruntime; {RUNS}'!r}], check=True)",
}


def run(code: str, home: Path, *before: str) -> None:
    """Run a program as a user does who has set nothing, in a home where nothing is."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}  # nor is this CI: CI is spared
    command = [*before, sys.executable, "-c", code, "caption", str(LAKE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", WAYS.values(), ids=WAYS)
def test_no_way_in_leaves_a_file_in_an_empty_home(code, tmp_path):
    run(code, tmp_path)

    assert list(tmp_path.rglob("*")) == []


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace to see what a process does")
@pytest.mark.parametrize("code", [WAYS["Python"], WAYS["quantisation"]])
def test_nobody_is_connected_to_or_looked_up_however_long_a_process_lives(code, tmp_path):
    (tmp_path / "home").mkdir()
    seen = tmp_path / "seen"
    watch = ("strace", "-f", "-o", str(seen), "-e", "trace=network,openat")

    run(f"{code}; import time; time.sleep(12)", tmp_path / "home", *watch)  # it began after 6

    calls = seen.read_text(errors="replace").splitlines()
    assert any(str(PACKAGED) in call for call in calls)  # strace did see
    asked = ("socket(", "connect(", "sendto(", "resolv.conf", "Microsoft")
    assert [call for call in calls if any(sign in call for sign in asked)] == []


@pytest.mark.slow
def test_one_room_alone_imports_onnxruntime():
    programs = [*(ROOT / "src").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]

    importing = {path.name for path in programs if "onnxruntime" in _imported(path)}

    assert importing == {"onnx_runtime.py"}


def _imported(path: Path) -> set[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found
