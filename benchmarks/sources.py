"""Prepare what `recipes/see-and-say.toml` learns from: captioned and labelled photographs.

    python benchmarks/sources.py OUT --captioned COCO [--more MANIFEST] --labelled MANIFEST
        --apart FOLDER [--apart FOLDER ...]

COCO is a folder with a `captions.json` in COCO's form, in which every image has a `split`. A
MANIFEST is lines of JSON: `file`, relative to it, and `captions` or `labels` (`objects`, `scene`,
`person`). Leaves OUT/captioned and OUT/more (captions.jsonl and pictures), and OUT/labelled
(labels.jsonl and pictures), every picture squashed to 224 x 224. What looks like a picture of a
folder kept apart, or like one that was taken before, is left out: 64-bit difference hashes that
differ in three bits at most. So are pictures whose captions are bare labels.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cutline.text.nouns import read_classes

SIDE = 224
ALIKE = 3
"""Bits in which two hashes of one picture may differ."""
SHORTEST = 5
"""Words that captions have on average; fewer are labels."""
MOST = {
    "ade20k": 2000, "houses": 160, "ilsvrc": 2400, "voc": 650, "sun": 240, "grocery": 200,
    "animals": 700, "pacs-photo": 500, "corel5k": 700,
}  # fmt: skip
"""How many of each folder of labelled photographs are taken, evenly. Those whose labels say most
come first: sentences are found for them before others have used them up."""
CLASSES = 1000
NO_PHOTOGRAPHS = {"web site", "comic book", "crossword puzzle", "book jacket", "menu"}
"""ImageNet's classes whose pictures mostly are none."""


class Seen:
    """Hashes of the pictures that must not come again."""

    def __init__(self) -> None:
        self.hashes = np.zeros(0, np.uint64)

    def add(self, picture: Image.Image) -> bool:
        """Whether a picture is new; it is known from now on."""
        small = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
        bits = (small[:, 1:] > small[:, :-1]).flatten()
        own = np.packbits(bits).view(np.uint64)
        if np.bitwise_count(self.hashes ^ own).min(initial=64) <= ALIKE:
            return False
        self.hashes = np.append(self.hashes, own)
        return True


def open_small(path: Path) -> Image.Image | None:
    """A picture squashed; None for one that cannot be read."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
            return picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def open_all(paths: list[Path]) -> Iterator[Image.Image | None]:
    """Pictures in order, read ahead."""
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(paths), 64):
            yield from pool.map(open_small, paths[start : start + 64])


def copy_new(
    rows: list[dict[str, Any]], folder: Path, out: Path, seen: Seen
) -> Iterator[dict[str, Any]]:
    """The rows whose picture is new, which is copied; validation pictures always are."""
    pictures = open_all([folder / row["file"] for row in rows])
    for row, picture in zip(rows, pictures, strict=True):
        if picture is None or not (seen.add(picture) or row.get("split") == "validation"):
            continue
        target = (out / row["file"]).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target, quality=90)
        yield {**row, "file": target.relative_to(out).as_posix()}


def read_coco(folder: Path) -> list[dict[str, Any]]:
    """Pictures with sentences, validation first."""
    told = json.loads((folder / "captions.json").read_text(encoding="utf8"))
    captions = defaultdict(list)
    for each in told["annotations"]:
        captions[each["image_id"]].append(each["caption"])
    rows = [
        {"file": f"images/{i['file_name']}", "captions": captions[i["id"]], "split": i["split"]}
        for i in told["images"]
    ]
    rows = [r for r in rows if np.mean([len(c.split()) for c in r["captions"]]) >= SHORTEST]
    return sorted(rows, key=lambda row: row["split"] != "validation")


def read_manifest(file: Path) -> list[dict[str, Any]]:
    """Every line that is a photograph."""
    rows = map(json.loads, file.read_text(encoding="utf8").splitlines())
    return [row for row in rows if row.get("kind") != "nonphoto"]


def name_classes(rows: list[dict[str, Any]]) -> None:
    """Label ImageNet's photographs with the plain nouns of their classes: a tench is a fish.

    The classes' numbers follow WordNet's, so that all 1,000 must be there to know them.
    """
    numbers = sorted({row["wnid"] for row in rows if "wnid" in row})
    if numbers and len(numbers) != CLASSES:
        raise SystemExit(f"of ImageNet's {CLASSES} classes {len(numbers)} have photographs")
    nouns = dict(zip(numbers, read_classes(), strict=False))
    for row in rows:
        if "wnid" in row:
            row["labels"] = list(nouns[row["wnid"]])


def choose_labelled(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of each folder as many as are wanted."""
    folders = defaultdict(list)
    for row in rows:
        if not NO_PHOTOGRAPHS & {*row["labels"]}:
            folders[row["file"].split("/")[0]].append(row)
    for folder, wanted in MOST.items():
        own = folders[folder]
        if most := min(wanted, len(own)):
            yield from (own[i] for i in np.linspace(0, len(own) - 1, most).astype(int))


def write_lines(rows: list[dict[str, Any]], file: Path) -> None:
    """A row a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    print(
        file,
        len(rows),
        dict(Counter(row["image" if "image" in row else "file"].split("/")[0] for row in rows)),
    )


def main() -> None:
    """Read, leave out, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--captioned", type=Path, required=True)
    parser.add_argument("--more", type=Path)
    parser.add_argument("--labelled", type=Path, required=True)
    parser.add_argument("--apart", type=Path, action="append", default=[])
    asked = parser.parse_args()
    seen = Seen()
    for folder in asked.apart:
        for picture in open_all(sorted(folder.rglob("*.jpg"))):
            if picture is not None:
                seen.add(picture)
    print(len(seen.hashes), "pictures kept apart")
    captioned = [("captioned", read_coco(asked.captioned), asked.captioned)]
    if asked.more:
        rows = [{**row, "split": "train"} for row in read_manifest(asked.more)]
        whole = [
            r for r in rows if np.mean([len(c.split()) for c in r["captions"] or [""]]) >= SHORTEST
        ]
        # ADE20K's captions are narratives of many sentences
        captioned.append(
            ("more", [r for r in whole if not r["file"].startswith("ade20k")], asked.more.parent)
        )
    for name, rows, folder in captioned:
        kept = copy_new(rows, folder, asked.out / name, seen)
        lines = [{"image": r["file"], "captions": r["captions"], "split": r["split"]} for r in kept]
        write_lines(lines, asked.out / name / "captions.jsonl")
    known = read_manifest(asked.labelled)
    rows = list(choose_labelled(known))
    name_classes(known)
    wanted = ("file", "labels", "objects", "scene", "person")
    kept = copy_new(rows, asked.labelled.parent, asked.out / "labelled", seen)
    lines = [{key: row[key] for key in wanted if key in row} for row in kept]
    write_lines(lines, asked.out / "labelled" / "labels.jsonl")


main()
