"""What all tests share: where the shared data is, a tiny trained model, one thread for tensors."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # also where a test imports onnxruntime itself
torch.set_num_threads(1)  # tiny tensors: more threads only get in each other's way

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("CUTLINE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photographs, weights and published predictions that the repository may not carry."""
    if not (SHARED / "README.md").exists():
        pytest.skip(f"no shared data at {SHARED} (set CUTLINE_SHARED to where it is)")
    return SHARED


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of drawn shapes."""
    from cutline.datasets.shapes import Shapes

    folder = tmp_path_factory.mktemp("data") / "shapes"
    list(Shapes(folder, count=120, size=32))
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    """A tiny captioner of drawn shapes, trained for a second and exported: a model folder.

    Exporting takes ten seconds, so the processes of one run (pytest-xdist) share it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "model.onnx").exists():
            _train_tiny(drawn, folder)
    return folder


def _train_tiny(drawn: Path, folder: Path) -> None:
    from cutline.models.checkpoint import read_model
    from cutline.models.onnx_export import export
    from cutline.recipe import Recipe
    from cutline.training.experiment import Experiment

    recipe = Recipe.of(
        {
            "title": "Tiny",
            "source": {"kind": "shapes", "count": 120, "size": 32},
            "view": {"size": 32},
            "vocabulary": {"min_count": 1},
            "encoder": {"kind": "mosaic", "tiles": 8},
            "decoder": {"kind": "show-and-tell", "embedding": 32, "hidden": 64, "dropout": 0.0},
            "training": {
                "epochs": 25,
                "captions_a_step": 16,
                "learning_rate": 5e-3,
                "patience": 25,
            },
            "search": {"kind": "beam", "width": 3, "max_words": 10, "length_penalty": 0.5},
        }
    )
    cache = folder.with_name("tiny-cache")
    for _ in Experiment(recipe, drawn, folder, cache=cache, device="cpu").run():
        pass
    export(read_model(folder), folder / "model.onnx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the tiny captioner comes first, so that other processes need not wait for it."""
    items.sort(key=lambda item: "tiny" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of so many bytes (`"48k"`); the second call makes it larger."""
    folder = tmp_path / "disk"

    def mount(size: str) -> Path:
        again = "remount," if folder.exists() else ""
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"{again}size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("may not mount a small disk here (needs root)")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `cutline`: exit code, standard output, standard error."""

    from cutline.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cutline", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
            sys.exit(0)
        said = capsys.readouterr()
        code = stopped.value.code
        if isinstance(code, str):  # what Python prints for `sys.exit("sentence")`
            return 1, said.out, said.err + code
        return code or 0, said.out, said.err

    return run
