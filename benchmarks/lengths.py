"""What short captions cost: cut off at so many characters, and searched within them.

    python benchmarks/lengths.py --data FLICKR8K    captions of validation by the packaged model
    python benchmarks/lengths.py                    only rewrite the document

Writes benchmarks/lengths.json and docs/lengths.md.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from run import ROOT

from cutline import load
from cutline.datasets import open_dataset
from cutline.metrics import score
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Caption, Example

RESULTS = ROOT / "benchmarks" / "lengths.json"
LENGTHS = (50, 40, 30)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    if options.data:
        source = open_dataset({"kind": "flickr8k"}, options.data)
        found = measure([example for example in source if example.split == "validation"])
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write(json.loads(RESULTS.read_text()))


def measure(examples: Sequence[Example]) -> dict[str, Any]:
    captioner = load()

    def captions(style: Style) -> list[str]:
        answers = captioner.caption_each([example.image for example in examples], style=style)
        return [answer.text for answer in answers if isinstance(answer, Caption)]

    free = captions(UNCONSTRAINED)
    found: dict[str, Any] = {"pictures": len(free), "free": judge(examples, free)}
    for longest in LENGTHS:
        found[str(longest)] = {
            "too long": sum(len(text) > longest for text in free) / len(free),
            "cut": judge(examples, [cut(text, longest) for text in free]),
            "searched": judge(examples, captions(Style(max_chars=longest))),
        }
        print(longest, found[str(longest)], flush=True)
    return found


def cut(text: str, longest: int) -> str:
    """As many whole words as there is room for."""
    while len(text) > longest:
        text = text.rsplit(" ", 1)[0]
    return text


def judge(examples: Sequence[Example], texts: Sequence[str]) -> dict[str, float]:
    pairs = list(zip(examples, texts, strict=True))
    report = score(
        {example.id: text for example, text in pairs},
        {example.id: example.captions for example, _ in pairs},
        metrics=["CIDEr-D", "diversity"],
    )
    return {name: report.scores[name] for name in ("CIDEr-D", "bad endings")}


def write(found: Mapping[str, Any]) -> None:
    lines = [
        "# Short captions",
        "",
        "Written by `python benchmarks/lengths.py --data FLICKR8K`: the built-in model on "
        f"{found['pictures']:,} validation photographs of Flickr8k. *Cut* keeps as many whole "
        "words as fit; *searched* is `cutline caption --max-chars`. Unfinished captions end in "
        "the middle of a phrase (`a man in a`), which CIDEr-D hardly notices, but people do.",
        "",
        "| | too long | cut: CIDEr-D | unfinished | searched: CIDEr-D | unfinished |",
        "|---|---|---|---|---|---|",
        f"| any length | | {cells(found['free'])} | {cells(found['free'])} |",
    ]
    for longest in LENGTHS:
        row = found[str(longest)]
        lines.append(
            f"| {longest} characters | {row['too long']:.0%} | {cells(row['cut'])} | "
            f"{cells(row['searched'])} |"
        )
    (ROOT / "docs" / "lengths.md").write_text("\n".join(lines) + "\n")


def cells(judged: Mapping[str, float]) -> str:
    return f"{100 * judged['CIDEr-D']:.1f} | {judged['bad endings']:.1%}"


if __name__ == "__main__":
    main()
