"""Measure the packaged model and write the figures where the documents show them.

    python benchmarks/run.py --data FLICKR8K     scores on the test split, sizes
    python benchmarks/run.py --write             only rewrite the documents from results.json

Writes benchmarks/results.json, the marked parts of README.md, docs/model-card.md and docs/gaze.md.
Speed is measured by speed.py.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import cutline
from cutline.images.load import open_image
from cutline.inference.captioner import PACKAGED
from cutline.reports.attention import draw_gaze
from cutline.reports.model_card import format_card

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
SHOWN = "lake.jpg"
IMAGE = f'<img src="examples/{SHOWN}" width="240" alt="A lake before mountains.">'
GAZED = EXAMPLES[:6]
ONLY = "BLEU,METEOR,ROUGE-L,CIDEr-D"
PAPERS = {
    "Show and Tell (Vinyals et al. 2015)": "63 41 27",
    "Show, Attend and Tell, hard attention (Xu et al. 2015)": "67 45.7 31.4 21.3",
    "the same, re-run with a ResNet-101": "66.7 45.5 31.8 22.1",
    "panoptic attention": "68.4 46.1 32.7 22.8",
}
"""BLEU-1 and on, on Flickr8k's test split: the first two as Xu et al. report them."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.data:
        results = measure(options.data)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    write_documents(json.loads(RESULTS.read_text()))


def measure(data: Path) -> dict[str, Any]:
    return {
        "date": str(date.today()),
        "machine": machine(),
        "model_mb": round(PACKAGED.stat().st_size / 1e6, 1),
        "test": _evaluate(data),
        "captions": {e.name: cutline.load().caption(e).text for e in EXAMPLES},
    }


def write_documents(results: dict[str, Any]) -> None:
    """The marked parts of the README, and the model card."""
    write_marked(ROOT / "README.md", readme_parts(results))
    (ROOT / "docs" / "model-card.md").write_text(format_card(cutline.load().card), encoding="utf8")
    draw_gazes()


def write_marked(page: Path, parts: Mapping[str, str]) -> None:
    """Put texts between the marks of their names."""
    text = page.read_text(encoding="utf8")
    for name, content in parts.items():
        pattern = f"(<!-- {name} -->).*?(<!-- /{name} -->)"
        text = re.sub(pattern, lambda m, new=content: m[1] + new + m[2], text, flags=re.S)
    page.write_text(text, encoding="utf8")


def draw_gazes() -> None:
    """Draw the attention of the built-in model for six captions: docs/gaze.md."""
    folder = ROOT / "docs" / "gaze"
    folder.mkdir(exist_ok=True)
    captioner = cutline.load()
    parts = [
        "# Attention",
        "The attention of each word of a caption: the picture, in colour where the model looked "
        "when it generated the word. Drawn by `python benchmarks/run.py --write`, like "
        "`cutline gaze`.",
    ]
    for path in GAZED:
        caption = captioner.caption(path)
        drawing = draw_gaze(open_image(path, captioner.engine.view), caption)
        drawing.reduce(2).save(folder / path.name, quality=80)
        parts.append(f"## {caption.text}\n\n![{caption.text}](gaze/{path.name})")
    (ROOT / "docs" / "gaze.md").write_text("\n\n".join(parts) + "\n", encoding="utf8")


def readme_parts(results: dict[str, Any]) -> dict[str, str]:
    scores = results["test"]["scores"]
    columns = list(scores)
    table = [
        "| Flickr8k test, official split | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        "| **the model in the package** | "
        + " | ".join(f"{100 * scores[name]:.1f}" for name in columns)
        + " |",
        "| 95 of 100 other draws of the pictures | "
        + " | ".join(_spell_interval(results["test"], name) for name in columns)
        + " |",
        *(_paper_row(paper, figures.split(), len(columns)) for paper, figures in PAPERS.items()),
        "",
        "  \n".join(f"`{signature}`" for signature in results["test"]["signature"].split()),
        "",
        f"Measured {results['date']} on {results['machine']} by `python benchmarks/run.py --data "
        "Flickr8k`. The first two papers' rows are as Xu et al. (2015) report them, the others as "
        "their authors do.",
    ]
    return {
        "first-caption": f"\n{IMAGE}\n\n> {results['captions'][SHOWN]}\n",
        "size": f"{results['model_mb']:.0f}",
        "results": "\n" + "\n".join(table) + "\n",
    }


def _paper_row(paper: str, figures: list[str], columns: int) -> str:
    return f"| {paper} | " + " | ".join([*figures, *["-"] * (columns - len(figures))]) + " |"


def _spell_interval(report: dict[str, Any], name: str) -> str:
    low, high = report["intervals"][name]
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _evaluate(data: Path) -> dict[str, Any]:
    options = ["--data", str(data), "--only", ONLY, "--record", "--apply", "--json"]
    command = [sys.executable, "-m", "cutline", "evaluate", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def machine() -> str:
    """What these figures are from."""
    return f"{len(_cores())} cores of {_processor()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.machine()


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}


if __name__ == "__main__":
    main()
