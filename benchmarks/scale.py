"""What a million captions, a page of 100,000 and a journal of ten million take.

    python benchmarks/scale.py journal [--rows 10000000]
    python benchmarks/scale.py score [--rows 1000000] --data FLICKR8K
    python benchmarks/scale.py report [--rows 100000]
    python benchmarks/scale.py review [--rows 100000]
    python benchmarks/scale.py --write               only rewrite the document

Each adds its figures to benchmarks/scale.json, and writes docs/scale.md.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image
from run import ROOT, machine

from cutline import load
from cutline.datasets.flickr8k import Flickr8k
from cutline.inference.journal import NOTE, CaptionJournal, journal_path
from cutline.reports.review import Review

RESULTS, DOCUMENT = ROOT / "benchmarks" / "scale.json", ROOT / "docs" / "scale.md"
TOGETHER = 10_000
"""Rows between two commits: a second's work of a fast machine."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["journal", "score", "report", "review"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(dir=ROOT.parent) as folder:
        if options.what == "journal":
            rows = fill_journal(Path(folder), options.rows or 10_000_000)
            found["journal"] = about(rows=rows)
        elif options.what == "score":
            count = options.rows or 1_000_000
            found.setdefault("score", {})[str(count)] = score(Path(folder), options.data, count)
        elif options.what:
            count = options.rows or 100_000
            measured = (report if options.what == "report" else review)(Path(folder), count)
            found.setdefault(options.what, {})[str(count)] = measured
    if options.what:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    DOCUMENT.write_text(tell(found))


def about(**more: Any) -> dict[str, Any]:
    return {"date": date.today().isoformat(), "machine": machine(), **more}


def fill_journal(folder: Path, count: int) -> list[dict[str, float]]:
    """Rows, seconds, CPU seconds and bytes, whenever the number of rows has about doubled."""
    answer = json.dumps(load().caption(ROOT / "examples" / "lake.jpg").as_json())
    chance, out, looks = random.Random(0), folder / "captions.jsonl", list[dict[str, float]]()
    clock, cpu = time.perf_counter(), time.process_time()
    with closing(CaptionJournal(journal_path(out), "request")) as journal:
        base, due = journal._base, 100_000
        for start in range(0, count, TOGETHER):
            numbers = range(start, start + TOGETHER)
            contents = [chance.randbytes(16) for _ in numbers]
            paths = [
                f"/photos/{number // 500:06}/IMG_{number:08}.jpg".encode() for number in numbers
            ]
            base.executemany(NOTE, [_as_picture(path, start) for path in paths])
            found = list(zip(contents, paths, strict=True))
            base.executemany("UPDATE pictures SET content = ? WHERE path = ?", found)
            answers = [(content, "request", answer) for content in contents]
            base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", answers)
            journal.commit()
            if start + TOGETHER >= min(due, count):
                due = 2 * due
                looks.append(
                    {
                        "rows": start + TOGETHER,
                        "seconds": time.perf_counter() - clock,
                        "cpu": time.process_time() - cpu,
                        "bytes": journal_path(out).stat().st_size,
                    }
                )
                print(looks[-1], flush=True)
    return looks


def _as_picture(path: bytes, place: int) -> dict[str, Any]:
    fixed = {"listing": 1, "size": 200_000, "changed": 1, "problem": None, "passing": False}
    return {"path": path, "place": place, "again": False, **fixed}


def score(folder: Path, data: Path, count: int) -> dict[str, Any]:
    """`cutline score` on captions that are Flickr8k's with one word of each exchanged."""
    chance = random.Random(0)
    captions = [example.captions for example in Flickr8k(data)]
    words = [word for own in captions for caption in own for word in caption.split()]

    def vary(caption: str) -> str:
        changed = caption.split()
        changed[chance.randrange(len(changed))] = chance.choice(words)
        return " ".join(changed)

    with (folder / "said.jsonl").open("w") as said, (folder / "people.jsonl").open("w") as people:
        for number in range(count):
            own = chance.choice(captions)
            said.write(json.dumps({"image_id": number, "caption": vary(chance.choice(own))}) + "\n")
            line = {"image_id": number, "captions": list(map(vary, own))}
            people.write(json.dumps(line) + "\n")
    command = ["score", "said.jsonl", "--references", "people.jsonl", "--draws", "20"]
    return run(folder, *command, "--only", "BLEU,ROUGE-L,CIDEr-D,diversity")


def report(folder: Path, count: int) -> dict[str, Any]:
    """`cutline report` on so many rows that name one of 500 pictures each."""
    for number in range(500):
        colour = (number % 256, number // 2 % 256, 99)
        Image.new("RGB", (320, 240), colour).save(folder / f"{number}.jpg")
    write_captions(folder, count)
    return run(folder, "report", "captions.jsonl", "-o", "report.html")


def write_captions(folder: Path, count: int) -> Path:
    line = load().caption(ROOT / "examples" / "lake.jpg").as_json()
    with (folder / "captions.jsonl").open("w") as captions:
        for number in range(count):
            path = f"{'./' * (number // 500)}{number % 500}.jpg"  # a path of its own each
            captions.write(json.dumps({"path": path, **line}) + "\n")
    return folder / "captions.jsonl"


def run(folder: Path, *command: str) -> dict[str, Any]:
    """Seconds, CPU seconds and memory of a command."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "cutline", *command], cwd=folder, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.args, used, flush=True)
    seconds, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    return about(seconds=seconds, cpu=cpu, megabytes=used.ru_maxrss / 1e3)


def review(folder: Path, count: int) -> dict[str, Any]:
    """CPU seconds to open a file for review, to show 50 of its rows, and to save a verdict."""
    path, times = write_captions(folder, count), list[float]()

    def timed(work: Callable[[], Any]) -> Any:
        began = time.process_time()
        done = work()
        times.append(time.process_time() - began)
        return done

    opened = timed(lambda: Review(path))
    timed(lambda: opened.describe(opened.queue("unreviewed")[:50]))
    timed(lambda: opened.decide(count // 2, "accepted"))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return about(seconds=times, megabytes=megabytes, bytes=path.stat().st_size)


def tell(found: dict[str, Any]) -> str:
    """The document."""
    lines = ["# Large numbers", "", "Written by `python benchmarks/scale.py`."]
    lines += ["The machine was busy with other work; so times are CPU times of one core.", ""]
    if journal := found.get("journal"):
        lines += _tell_journal(journal)
    if scores := found.get("score"):
        lines += ["## Scores", "", "| images, five references each | CPU time | memory |"]
        lines += ["|---|---|---|"]
        lines += [_tell_run(int(count), own) for count, own in scores.items()]
        lines += ["", "BLEU, ROUGE-L, CIDEr-D and diversity, 20 bootstrap samples. The words of"]
        lines += ["20,000 images are in memory at a time; captions and references, and the n-grams"]
        lines += ["of all references for CIDEr-D, are there throughout.", ""]
    if reports := found.get("report"):
        lines += ["## Reports", "", "| pictures | CPU time | memory |", "|---|---|---|"]
        lines += [_tell_run(int(count), own) for count, own in reports.items()]
        lines += ["", "A page has up to 5,000 pictures, whose thumbnails are in memory.", ""]
    if reviews := found.get("review"):
        lines += ["## Reviews", "", "| rows | file | open | 50 rows | a verdict | memory |"]
        lines += ["|---|---|---|---|---|---|"]
        for count, own in reviews.items():
            times = " | ".join(f"{seconds:.2f} s" for seconds in own["seconds"])
            size = f"{own['bytes'] / 1e6:.0f} MB"
            lines += [f"| {int(count):,} | {size} | {times} | {own['megabytes']:.0f} MB |"]
        lines += ["", "A verdict writes the file anew, so that it is on the disk at once.", ""]
    return "\n".join(lines)


def _tell_run(count: int, own: dict[str, float]) -> str:
    return f"| {count:,} | {own['cpu']:.0f} s | {own['megabytes']:,.0f} MB |"


def _tell_journal(found: dict[str, Any]) -> list[str]:
    lines = ["## The journal", "", "| rows | rows per second of CPU, since the row above | size |"]
    lines += ["|---|---|---|"]
    before = {"rows": 0, "cpu": 0.0}
    for look in found["rows"]:
        rate = (look["rows"] - before["rows"]) / (look["cpu"] - before["cpu"])
        lines += [f"| {look['rows']:,} | {rate:,.0f} | {look['bytes'] / 1e9:.2f} GB |"]
        before = look
    each = look["bytes"] / look["rows"] / 1e3
    lines += [
        "",
        f"A row is a picture with its answer: {each:.1f} kB. A core captions some 40 a second.",
    ]
    return [*lines, ""]


if __name__ == "__main__":
    main()
