"""Execute the notebooks from top to bottom and store their outputs.

    python notebooks/run.py [NAME ...]        all, or only some: 2_Training

Edit the notebooks in Jupyter or as JSON, then run this, so that the stored outputs are those of the
code. Kernel, metadata and cell ids are normalized, which keeps diffs between versions small.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path, *, seconds: int = 300) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh run in its own folder.

    Raises `CellExecutionError` for an error in a cell, `CellTimeoutError` if one takes longer than
    `seconds`.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return normalize(notebook)


def normalize(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what differs from machine to machine."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict(_keep_descriptions(output.metadata))
    return notebook


def _keep_descriptions(metadata: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Only the alternative texts of pictures."""
    return {kind: {"alt": own["alt"]} for kind, own in metadata.items() if "alt" in own}


def main() -> None:
    """Execute the named notebooks, or all, and replace each file atomically."""
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.ipynb")):
        path = (HERE / name).with_suffix(".ipynb")
        notebook = execute(path, seconds=36000)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(nbformat.writes(notebook, indent=1) + "\n", encoding="utf8")
        beside.replace(path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
