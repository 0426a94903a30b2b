"""`cutline caption --engine daft` beside `cutline caption`, and what a million pictures cost.

    python benchmarks/cluster.py --photos FOLDER [--count 600]
    python benchmarks/cluster.py --simulate          only repeat the simulation, and write
    python benchmarks/cluster.py --write             only rewrite the document

Needs daft and psutil. Runs, one after another on the same photographs: the command with one core,
Daft with one worker and with two, the command with two cores, each also with eight photographs,
which is mostly start-up. Compares all captions. Then times the captions of batches in this process,
and draws from these times in a simulation of 10 to 1,000 workers that fail. Writes
benchmarks/cluster.json and the marked part of docs/clusters.md.
"""

import argparse
import heapq
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
from run import ROOT, machine, write_marked

from cutline import load
from cutline.cluster.on_daft import BATCH
from cutline.io.tables import read_rows

RESULTS = ROOT / "benchmarks" / "cluster.json"
DOCUMENT = ROOT / "docs" / "clusters.md"
WAYS = {
    "command, 1 core": ("--threads", "1", "--out", "captions.jsonl"),
    "Daft, 1 worker": ("--threads", "1", "--engine", "daft", "--out", "captions.parquet"),
    "Daft, 2 workers": ("--threads", "2", "--engine", "daft", "--out", "captions.parquet"),
    "command, 2 cores": ("--threads", "2", "--out", "captions.jsonl"),
}
FEW = 8
"""Photographs for start-up, and of a timed batch."""
MILLION = 1_000_000
PRICE = 0.04
"""Dollars for an hour of one virtual core, as general-purpose machines in public clouds cost."""
FAILURES = (0.0, 0.05, 1.0)
"""Failures of a worker in an hour; interruptible machines have some 0.05."""
DRAWS = 5
WORKERS = (10, 30, 100, 300, 1_000)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.photos:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), options.photos, options.count)
    else:
        found = json.loads(RESULTS.read_text())
    if not options.write:
        found["simulated"] = simulate_all(found)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    write_marked(DOCUMENT, {"measured": tell(found)})


def measure(folder: Path, photos: Path, count: int) -> dict[str, Any]:
    chosen = sorted(photos.glob("*.jpg"))[:count]
    for name, some in (("few", chosen[:FEW]), ("many", chosen)):
        (folder / name).mkdir()
        for photo in some:
            shutil.copy(photo, folder / name)
    ways, said = dict[str, Any](), dict[str, Any]()
    for name, way in WAYS.items():
        few, _ = run(folder / "few", way)
        many, said[name] = run(folder / "many", way)
        ways[name] = {"few": few, "many": many}
        print(name, ways[name], flush=True)
    first, *others = said.values()
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("daft", "onnxruntime")},
        "count": len(chosen),
        "equal": [sum(own[path] == text for path, text in first.items()) for own in others],
        "ways": ways,
        "seconds": time_batches(chosen[: count // 2]),
    }


def run(photos: Path, way: tuple[str, ...]) -> tuple[dict[str, float], dict[str, str]]:
    """Seconds, CPU seconds of all processes, and their greatest memory together; the captions."""
    out = photos.parent / way[-1]
    for old in photos.parent.glob(f"*{out.name}*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    command = [sys.executable, "-m", "cutline", "caption", str(photos), "-q", *way[:-1], str(out)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command)
    memory = list[int]()
    watching = threading.Thread(target=watch, args=(process, memory))
    watching.start()
    code = process.wait()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    watching.join()
    assert code == 0, command
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rows = {Path(row["path"]).name: row.get("caption") or "" for _, row in read_rows(out)}
    return {"seconds": seconds, "cpu": cpu, "megabytes": max(memory) / 1e6}, rows


def watch(process: subprocess.Popen[bytes], memory: list[int]) -> None:
    """Add up the memory that is the processes' own (USS), four times a second."""
    memory.append(0)
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            family = [root, *root.children(recursive=True)]
            memory.append(sum(each.memory_full_info().uss for each in family))
        except psutil.Error:
            continue
        time.sleep(0.25)


def time_batches(photos: list[Path]) -> list[float]:
    """CPU seconds a picture of each batch of eight, on one core."""
    captioner, seconds = load(threads=1), list[float]()
    captioner.caption(photos[:FEW])
    for start in range(0, len(photos) - FEW + 1, FEW):
        began = time.process_time()
        captioner.caption(photos[start : start + FEW])
        seconds.append((time.process_time() - began) / FEW)
    return seconds


def simulate_all(found: dict[str, Any]) -> list[dict[str, float]]:
    ways = found["ways"]["Daft, 1 worker"]
    start = ways["few"]["seconds"]
    simulated = []
    for failures in FAILURES:
        for workers in WORKERS:
            drawn = [
                simulate(found["seconds"], workers, failures / 3_600, start=start, seed=seed)
                for seed in range(DRAWS)
            ]
            own = {name: mean(each[name] for each in drawn) for name in drawn[0]}
            simulated.append({"workers": workers, "failures": failures, **own})
    return simulated


def simulate(
    seconds: list[float], workers: int, failures: float, *, start: float, seed: int
) -> dict[str, float]:
    """A million pictures in batches for workers that fail so often a second.

    A failure ends the query: batches that are under way are lost, and all workers start again, as
    `caption_on_daft` does. Returns hours, and the share of pictures that were captioned twice.
    """
    chance, clock, left, again = random.Random(seed), 0.0, -(-MILLION // BATCH), 0
    total = left
    while left:
        fails = clock + start + chance.expovariate(failures * workers) if failures else float("inf")
        free = [clock + start] * workers
        running = list[float]()
        while left > len(running):
            begins = heapq.heappop(free)
            while running and running[0] <= begins:
                heapq.heappop(running)
                left -= 1
            if begins >= fails:
                break
            ends = begins + BATCH * mean(chance.choices(seconds, k=BATCH // FEW))
            heapq.heappush(running, ends)
            heapq.heappush(free, ends)
        done = [end for end in running if end <= fails]
        left -= len(done)
        again += len(running) - len(done)
        clock = max(done, default=clock) if not left else fails
    return {"hours": clock / 3_600, "again": again / total}


def tell(found: dict[str, Any]) -> str:
    ways, count, equal = found["ways"], found["count"], found["equal"]
    base = ways["command, 1 core"]
    lines = [
        "",
        "| | pictures/s | CPU time a picture | start-up | memory of all processes |",
        "|---|---|---|---|---|",
    ]
    for name, way in ways.items():
        few, many = way["few"], way["many"]
        rate = count / many["seconds"]
        cpu = (many["cpu"] - few["cpu"]) / (count - FEW)
        lines.append(
            f"| {name} | {rate:.1f}, **{rate * base['many']['seconds'] / count:.2f}** of the first "
            f"| {1_000 * cpu:.0f} ms | {few['seconds']:.1f} s, {few['cpu']:.1f} s of CPU "
            f"| {many['megabytes']:.0f} MB |"
        )
    each = mean(found["seconds"])
    hours = MILLION * each / 3_600
    slow = sorted(found["seconds"])[-len(found["seconds"]) // 20]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    table = [
        "| workers | no failures | " + " | ".join(f"{f:g} an hour" for f in FAILURES[1:]) + " |"
    ]
    table += ["|---|" + "---|" * len(FAILURES)]
    for workers in WORKERS:
        own = [each for each in found["simulated"] if each["workers"] == workers]
        cells = [
            f"{o['hours']:.2f} h" + f", {o['again']:.1%} twice" * bool(o["failures"]) for o in own
        ]
        table.append(f"| {workers:,} | {' | '.join(cells)} |")
    told = f"""
{count} photographs of Flickr8k (224 x 224), start-up with {FEW}; measured on {found["date"]} on
{found["machine"]} ({versions}) by `python benchmarks/cluster.py`. The machine was busy with other
work, so that wall times vary by half, and CPU times hardly. Memory counts what belongs to one
process alone. Captions equal to those of the first row: {", ".join(map(str, equal))} of {count}.

**A million pictures.** A picture takes {1_000 * each:.0f} ms of one core (of batches of {FEW}, one
in twenty takes {1_000 * slow:.0f} ms a picture or more), so a million take {hours:.1f} core-hours:
${hours * PRICE:.2f} at ${PRICE} for a virtual core and hour. That assumes pictures of this size:
photographs of 12 megapixels take longer to read and decode ([speed.md](speed.md)). Storage and
transfer cost extra.

Simulated with these times, batches of {BATCH} and the start-up of Daft above; {DRAWS} draws.
A failure of any worker ends the query, and the rest begins again with new workers; so where many
workers fail often, take `--part` (Slurm starts that part alone again) or Ray Data.

"""
    return "\n".join([*lines, told + "\n".join(table), ""])


if __name__ == "__main__":
    main()
