"""SPICE (Anderson et al. 2016): an adapter to the Java program, if it is installed.

It is not reimplemented, because its scores depend on a parser that is no longer distributed.
"""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cutline.errors import CutlineError
from cutline.metrics.ngrams import Floats, Words


class Spice:
    """The mean over images of the F-score of scene-graph tuples.

    `statistics` raises `CutlineError` if Java, the program or its parser is missing.
    """

    names = ("SPICE",)
    settings: Mapping[str, str] = {"spice": "1.0"}

    def statistics(
        self, predictions: Sequence[Words], references: Sequence[Sequence[Words]]
    ) -> Floats:
        """One row per image: its score, and a 1 that counts images."""
        records = [
            {"image_id": image, "test": " ".join(words), "refs": [" ".join(r) for r in own]}
            for image, (words, own) in enumerate(zip(predictions, references, strict=True))
        ]
        found = {record["image_id"]: record["scores"]["All"]["f"] for record in _run(records)}
        scores = np.array([found[image] for image in range(len(records))], float)
        return np.stack([np.nan_to_num(scores), np.ones(len(scores))], axis=-1)

    def score(self, sums: Floats) -> Floats:
        """The mean over images."""
        return sums[..., :1] / sums[..., 1:]


def _run(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    java, jar = shutil.which("java"), _find_jar()
    if java is None:
        raise CutlineError("SPICE needs Java, and there is no `java` on the PATH")
    with TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.json"
        asked.write_text(json.dumps(records), encoding="utf8")
        command = [
            java,
            "-Xmx8G",
            "-jar",
            jar.name,
            str(asked),
            "-out",
            str(answered),
            "-subset",
            "-silent",
        ]
        done = subprocess.run(command, cwd=jar.parent, capture_output=True, text=True, check=False)
        if done.returncode or not answered.exists():
            reason = (done.stderr.strip().splitlines() or ["no error message"])[-1]
            raise CutlineError(f"SPICE failed: {reason}")
        return json.loads(answered.read_text(encoding="utf8"))


def _find_jar() -> Path:
    package = importlib.util.find_spec("pycocoevalcap")
    if package is None or not package.submodule_search_locations:
        raise CutlineError("SPICE needs its Java program: pip install pycocoevalcap")
    folder = Path(next(iter(package.submodule_search_locations))) / "spice"
    jar = next(iter(folder.glob("spice-*.jar")), None)
    if jar is None or not list(folder.glob("lib/stanford-corenlp-*.jar")):
        raise CutlineError(
            f"SPICE lacks its parser in {folder / 'lib'}: "
            "get_stanford_models.py of pycocoevalcap downloads it"
        )
    return jar
