"""Every recipe of docs/clusters.md is run, and gives the captions of `cutline caption`."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pyarrow.dataset
import pytest

from conftest import ROOT
from cutline.inference.captioner import load

RECIPES = dict(
    re.findall(
        r"^### ([\w ]+)\n\n```python\n(.*?)```",
        (ROOT / "docs" / "clusters.md").read_text(encoding="utf8"),
        re.M | re.S,
    )
)
ENGINES = {
    "Daft": "daft",
    "Ray Data": "ray",
    "datasets": "datasets",
    "Spark": "pyspark",
    "Dask": "dask",
}


def test_there_is_a_recipe_for_each_engine():
    assert list(RECIPES) == list(ENGINES)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_recipe_captions_as_cutline_does(engine, tmp_path):
    found = find_spec(ENGINES[engine])
    if found is None or found.origin is None:  # `tests/datasets` is a namespace
        pytest.skip(f"{ENGINES[engine]} is not installed")
    photos = sorted((ROOT / "examples").glob("*.jpg"))
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    (tmp_path / "recipe.py").write_text(_guard(RECIPES[engine]))
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": "local",
    }
    quiet |= {"HF_HOME": str(tmp_path / "cache"), "PYSPARK_PYTHON": sys.executable}

    ran = subprocess.run(
        [sys.executable, "recipe.py"],
        cwd=tmp_path,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr[-3_000:]
    table = pyarrow.dataset.dataset(tmp_path / "captions.parquet", format="parquet").to_table()
    captions = [caption.text for caption in load().caption(photos)]
    assert sorted(table["caption"].to_pylist()) == sorted(captions)
    assert set(table["error"].to_pylist()) == {None}


def _guard(recipe: str) -> str:
    """The recipe as a script: engines that start processes import it again."""
    lines = recipe.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(("photos = ", "spark = ")))
    body = [f"    {line}" if line else "" for line in lines[first:]]
    return "\n".join([*lines[:first], 'if __name__ == "__main__":', *body])
