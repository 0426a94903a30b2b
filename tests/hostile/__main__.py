"""The command of the campaign; what it does is told by `--help`."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.campaign import DEFECTS, FIGURES, add_up, fill_document, join, plan, watch  # noqa: E402
from hostile.kinds import KINDS  # noqa: E402
from hostile.material import prepare  # noqa: E402

MATERIAL = Path.home() / ".cache" / "cutline-hostile"
"""The tiny model, which is trained once."""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("--campaign", action="store_true", help="read hostile inputs")
    parser.add_argument("--inputs", type=int, default=10_000, help="so many [10000]")
    parser.add_argument("--first", type=int, default=0, help="the number of the first of a kind")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only this kind")
    parser.add_argument("--add", action="store_true", help="to the figures that are there")
    parser.add_argument("--minutes", type=float, default=1e9, help="then stop")
    parser.add_argument("--kills", type=int, default=0, help="kill commands so many times")
    parser.add_argument("--faults", action="store_true", help="let every write of commands fail")
    parser.add_argument("--only", action="append", default=[], help="kills, faults: this command")
    parser.add_argument("--again", nargs=2, metavar=("KIND", "NUMBER"), help="one input, aloud")
    parser.add_argument("--write", action="store_true", help="figures into docs/security.md")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--material", type=Path, default=MATERIAL)
    asked = parser.parse_args()
    figures = json.loads(asked.figures.read_text()) if asked.figures.exists() else {}
    material = None if asked.write else prepare(asked.material).model
    with tempfile.TemporaryDirectory() as work:
        if asked.again:
            _again(asked, material, Path(work))
        if asked.campaign:
            found = _campaign(asked, material, Path(work))
            figures["inputs"] = join(figures.get("inputs", {}) if asked.add else {}, found)
        if asked.kills:
            from hostile.kills import kill_all

            told = kill_all(asked.kills, material, Path(work), seed=asked.seed, only=asked.only)
            figures["kills"] = told
        if asked.faults:
            from hostile.faults import fail_all

            figures["faults"] = fail_all(material, Path(work), only=asked.only)
    if asked.campaign or asked.kills or asked.faults:
        figures["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        asked.figures.write_text(json.dumps(figures, indent=1) + "\n")
    if asked.write:
        fill_document(figures)


def _campaign(asked: argparse.Namespace, material: Path, work: Path) -> dict[str, Any]:
    """The figures, and on the terminal every defect as it is found, with its input's number."""
    end, told, seen = time.monotonic() + 60 * asked.minutes, list[Any](), Counter[str]()
    todo = plan(asked.inputs, first=asked.first, kinds=asked.kind or KINDS)
    for one in watch(todo, material, work, seed=asked.seed):
        told.append(one)
        if one["outcome"] in DEFECTS:
            seen[f"{one['kind']}: {one['outcome']}: {one['detail'].partition(':')[0]}"] += 1
            print(json.dumps(one), flush=True)
        if time.monotonic() > end:
            break
    for place, count in seen.most_common():
        print(f"{count:6} {place}")
    figures = add_up(told)
    print(json.dumps(figures, indent=1))
    return figures


def _again(asked: argparse.Namespace, material: Path, work: Path) -> None:
    os.environ["CAMPAIGN_TELLS"] = "1"
    name, number = asked.again
    print(*watch([(name, int(number))], material, work, seed=asked.seed), sep="\n")
    kept = Path(tempfile.mkdtemp()) / "stranger"
    shutil.copytree(work / "stranger", kept, symlinks=True)
    print(f"the input is in {kept}")


main()
