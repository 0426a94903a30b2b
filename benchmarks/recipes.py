"""Score what recipes made and write docs/recipes.md.

    python benchmarks/recipes.py --data FLICKR8K NAME=MODEL ...    validation and test, once each
    python benchmarks/recipes.py --unseen COCO NAME=MODEL ...      photographs of another kind
    python benchmarks/recipes.py                                   only rewrite the document

NAME is a recipe's file name, or any other line of the table; MODEL is a model folder or a one-file
model, and several with + between them are an ensemble. Chosen was on validation, before this.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, DOCUMENT = ROOT / "benchmarks" / "recipes.json", ROOT / "docs" / "recipes.md"
ONLY = "BLEU,METEOR,ROUGE-L,CIDEr-D"
COLUMNS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--unseen", type=Path, help="COCO photographs nobody trained on.")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for given in options.models:
        name, _, models = given.partition("=")
        own = results.setdefault(name, {})
        if options.data:
            for split in ("validation", "test"):
                own[split] = evaluate(models.split("+"), options.data, "flickr8k", split)
        if options.unseen:
            own["unseen"] = evaluate(models.split("+"), options.unseen, "coco", "train")
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    DOCUMENT.write_text(write(results), encoding="utf8")


def evaluate(models: list[str], data: Path, kind: str, split: str) -> dict[str, Any]:
    """What `cutline evaluate` says of a model, or of several together."""
    others = [word for other in models[1:] for word in ("--with", other)]
    options = ["--data", str(data), "--kind", kind, "--split", split, "--only", ONLY, "--json"]
    command = [sys.executable, "-m", "cutline", "evaluate", models[0], *others, *options]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout)


def write(results: dict[str, Any]) -> str:
    """The document: a table a split, and what each recipe claims."""
    parts = [
        "# Results of the recipes",
        "Scores on Flickr8k's official splits, with 95 % bootstrap intervals. All choices were "
        "made on validation; test was scored afterwards. Written by "
        "`python benchmarks/recipes.py`, from its records in `benchmarks/recipes.json`. "
        "An ensemble is `cutline evaluate -m MODEL --with ANOTHER --data FLICKR8K`.",
        *(
            f"## {title}\n\n{tabulate(results, split)}"
            for split, title in (
                ("test", "Test"),
                ("validation", "Validation"),
                ("unseen", "80 COCO photographs: out of domain for all of them"),
            )
            if any(split in own for own in results.values())
        ),
        f"## How to train each\n\n{describe(results)}",
    ]
    return "\n\n".join(parts) + "\n"


def tabulate(results: dict[str, Any], split: str) -> str:
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, own in results.items():
        if split in own:
            cells = (spell(own[split], column) for column in COLUMNS)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spell(report: dict[str, Any], column: str) -> str:
    if column not in report["scores"]:
        return "-"
    low, high = report["intervals"][column]
    return f"{100 * report['scores'][column]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def describe(results: dict[str, Any]) -> str:
    lines = ["| recipe | paper | hours on two cores | command | scored |", "|---|---|---|---|---|"]
    for path in sorted((ROOT / "recipes").glob("flickr8k-*.toml")):
        claim = tomllib.loads(path.read_text(encoding="utf8"))
        scored = "yes" if path.stem in results else "not yet: no finished run"
        hours = claim.get("hours", "-")
        cells = (path.stem, claim["paper"], hours, f"`{claim['command']}`", scored)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
