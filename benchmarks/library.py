"""Whether a picture of 100,000 costs what one of 1,000 does, and how much memory they take.

    python benchmarks/library.py [--count 100000] [--model MODEL]   both, one after another
    python benchmarks/library.py --count 0           only rewrite the document

Makes small pictures, each of its own, in a tree of folders; captions them through the journal, as
`cutline caption TREE -r --out captions.jsonl` does; writes benchmarks/library.json, docs/library.md
and docs/library.png. With a model of drawn shapes (`cutline train recipes/shapes.toml`) files and
journal cost more than the captions, which tells most.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from run import ROOT, machine

from cutline.inference.captioner import load
from cutline.inference.library import Finished, PictureDone, Scanned, caption_library

RESULTS = ROOT / "benchmarks" / "library.json"
FEW = 1_000
A_FOLDER = 500
EVERY = 500
"""Pictures between two looks at the memory."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--watch", type=Path, help="Caption this tree, and say how it goes.")
    options = parser.parse_args()
    if options.watch:
        for look in watch(options.watch, options.model):
            print(json.dumps(look), flush=True)
        return
    if options.count:
        with TemporaryDirectory() as folder:
            found = measure(Path(folder), options.count, options.model)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write(json.loads(RESULTS.read_text()))


def measure(folder: Path, count: int, model: Path | None) -> dict[str, Any]:
    """A small library before and after the large one, each in a process of its own."""
    for name, pictures in (("small", FEW), ("large", count)):
        draw(folder / name, pictures)
    runs = [look_at(folder / name, model) for name in ("small", "large", "small")]
    before, large, after = runs
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "model": load(model).card.get("title"),
        "count": count,
        "pictures a second": {
            str(FEW): [FEW / before[-1]["seconds"], FEW / after[-1]["seconds"]],
            str(count): count / large[-1]["seconds"],
        },
        "looks": large,
        "looks of the small": before,
    }


def draw(folder: Path, count: int) -> None:
    """So many pictures, no two alike, 500 a folder."""
    for number in range(count):
        inside = folder / f"{number // A_FOLDER:04}"
        inside.mkdir(parents=True, exist_ok=True)
        digits = np.frombuffer(number.to_bytes(4, "big"), np.uint8)
        pixels = np.resize(np.repeat(digits, 3), (8, 8, 3))
        Image.fromarray(pixels).save(inside / f"{number:06}.png")


def look_at(tree: Path, model: Path | None) -> list[dict[str, Any]]:
    named = ["--model", str(model)] if model else []
    command = [sys.executable, __file__, "--watch", str(tree), *named]
    print(" ".join(command))
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    looks = [json.loads(line) for line in said.splitlines()]
    print(looks[-1])
    return looks


def watch(tree: Path, model: Path | None) -> Any:
    """Seconds since the start, and megabytes, as pictures are listed and captioned."""
    captioner, out = load(model), tree.with_suffix(".jsonl")
    out.unlink(missing_ok=True)
    for journal in tree.parent.glob(f"*{out.name}*"):
        journal.unlink()
    began = time.perf_counter()
    for event in caption_library(captioner, [str(tree)], out, recursive=True):
        match event:
            case Scanned(found, None) if found % EVERY == 0:
                yield {"listed": found, **_now(began)}
            case PictureDone(done=done) if done % EVERY == 0:
                yield {"captioned": done, **_now(began)}
            case Finished(captioned):
                yield {"finished": captioned, **_now(began)}


def _now(began: float) -> dict[str, float]:
    status = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
    return {"seconds": time.perf_counter() - began, "megabytes": int(status) / 1000}


def write(found: dict[str, Any]) -> None:
    """The page and its plot."""
    rates, count = found["pictures a second"], found["count"]
    (before, after), many = rates[str(FEW)], rates[str(count)]
    few = (before + after) / 2
    captioned = [look for look in found["looks"] if "captioned" in look]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    done = [look["captioned"] for look in captioned]
    memory = [look["megabytes"] for look in captioned]
    above.plot(done, memory)
    above.set(ylabel="memory (MB)", ylim=(0, 1.5 * max(memory)))
    seconds = [look["seconds"] for look in captioned]
    below.plot(done[1:], np.diff(done) / np.diff(seconds))
    below.set(ylabel="pictures/s", xlabel="pictures captioned", ylim=(0, None))
    figure.savefig(ROOT / "docs" / "library.png", dpi=110)
    most = max(look["megabytes"] for look in found["looks"])
    least = max(look["megabytes"] for look in found["looks of the small"])
    (ROOT / "docs" / "library.md").write_text(f"""\
# Large libraries

Written by `python benchmarks/library.py` on {found["date"]}; {found["machine"]}.
Model: {found["model"]}.

| pictures | pictures per second, files to captions.jsonl | peak memory |
|---|---|---|
| {FEW:,} | {few:,.0f} (before {before:,.0f}, after {after:,.0f}) | {least:.0f} MB |
| {count:,} | {many:,.0f}, **{many / few:.0%}** of it | {most:.0f} MB |

Each picture is a small file in a tree of folders. The model is tiny, so that listing, hashing and
the journal take most of the time. The rate falls slightly as the journal grows: by less than a
tenth of a millisecond per picture, for which the built-in model takes fifteen.

![Memory and rate over the run](library.png)
""")


if __name__ == "__main__":
    main()
