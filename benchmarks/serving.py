"""Throughput and latency of `cutline serve`, compared with `caption_each` in one process.

    python benchmarks/serving.py [--pictures FOLDER] [--rounds 6] [--seconds 12]
    python benchmarks/serving.py --write             only rewrite the document

Needs wrk (`apt-get install wrk`). Each round measures `caption_each`, then the server with 1, 8, 64
and 256 clients that send the next request immediately, with the same pictures. The median of the
ratios within a round is reported, because the load of the machine changes between rounds. Writes
benchmarks/serving.json and the marked part of docs/serving.md.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

from run import ROOT, machine, write_marked

from cutline import Style, load
from cutline.inference.captioner import BATCH, Captioner

RESULTS = ROOT / "benchmarks" / "serving.json"
DOCUMENT = ROOT / "docs" / "serving.md"
STYLE = Style(form="auto")
CLIENTS = (1, 8, 64, 256)
SCRIPT = """
local bodies, threads, n = {}, {}, 0
ok, busy, other = 0, 0, 0
for path in io.lines(os.getenv("PICTURES")) do
  local file = io.open(path, "rb")
  bodies[#bodies + 1] = file:read("*a")
  file:close()
end
function setup(thread) table.insert(threads, thread) end
function request()
  n = n + 1
  return wrk.format("POST", "/caption", {}, bodies[n % #bodies + 1])
end
function response(status)
  if status == 200 then ok = ok + 1
  elseif status == 503 then busy = busy + 1
  else other = other + 1 end
end
function done(summary, latency)
  local t = threads[1]
  local form = '{"ok": %d, "busy": %d, "other": %d, "seconds": %f, "p50": %f, "p99": %f}'
  print("RESULT " .. string.format(form,
    t:get("ok"), t:get("busy"), t:get("other") + summary.errors.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, default=ROOT / "examples")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if not options.write:
        if not shutil.which("wrk"):
            sys.exit("wrk is needed: apt-get install wrk")
        pictures = sorted(options.pictures.glob("*.jpg"))
        found = measure(pictures, options.rounds, options.seconds)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    found = json.loads(RESULTS.read_text())
    write_marked(DOCUMENT, {"measured": tell(found)})


def measure(pictures: list[Path], rounds: int, seconds: int) -> dict[str, Any]:
    captioner, contents = load(), [path.read_bytes() for path in pictures]
    list(captioner.caption_each(contents * 3, style=STYLE))  # loads the second session, too
    measured = []
    with serving() as (process, address):
        idle = memory_of(process, "VmRSS")
        for number in range(rounds):
            looked: dict[str, Any] = {
                "caption_each": bulk(captioner, contents, seconds),
                "batch seconds": batch_seconds(captioner, contents),
            }
            for clients in CLIENTS:
                looked[str(clients)] = hammer(address, pictures, clients, seconds)
            measured.append(looked)
            print(number, json.dumps(looked), flush=True)
        most = memory_of(process, "VmHWM")
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("starlette", "uvicorn", "h11")}
        | {"python": platform.python_version(), "wrk": _wrk_version()},
        "pictures": len(pictures),
        "seconds": seconds,
        "cold start": cold_start(),
        "memory": {"idle": idle, "most": most},
        "rounds": measured,
    }


@contextmanager
def serving() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "cutline", "serve", "--port", "0"]
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            while not (told := re.search(r"^(http://\S+)", Path(log.name).read_text(), re.M)):
                time.sleep(0.01)
            yield process, told[1]
        finally:
            process.terminate()
            process.wait()


def bulk(captioner: Captioner, contents: list[bytes], seconds: int) -> float:
    """Pictures per second without a server."""
    began, done = time.perf_counter(), 0
    for _ in captioner.caption_each(cycle_for(contents, began + seconds), style=STYLE):
        done += 1
    return done / (time.perf_counter() - began)


def cycle_for(contents: list[bytes], end: float) -> Iterator[bytes]:
    for content in cycle(contents):
        if time.perf_counter() > end:
            return
        yield content


def batch_seconds(captioner: Captioner, contents: list[bytes]) -> float:
    """The median time of a batch while all other cores also run one."""
    single = Captioner(captioner.engine.on_one_core)
    workers = captioner.engine.workers
    batch = list(islice(cycle(contents), BATCH))

    def run(_: int) -> float:
        began = time.perf_counter()
        list(single.caption_each(batch, style=STYLE))
        return time.perf_counter() - began

    with ThreadPoolExecutor(workers) as pool:
        return median(pool.map(run, range(5 * workers)))


def hammer(address: str, pictures: list[Path], clients: int, seconds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        script, listed = Path(folder) / "post.lua", Path(folder) / "pictures"
        script.write_text(SCRIPT)
        listed.write_text("".join(f"{path.resolve()}\n" for path in pictures))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["-s", str(script), address]
        environment = {**os.environ, "PICTURES": str(listed)}
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    line = next(line for line in said.stdout.splitlines() if line.startswith("RESULT "))
    told: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return told


def cold_start() -> float:
    """The shortest time from the start of the process until it listens."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with serving():
            times.append(time.perf_counter() - began)
    return min(times)


def memory_of(process: subprocess.Popen[str], name: str) -> int:
    """Megabytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) // 1000


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).split()[1]


def tell(found: dict[str, Any]) -> str:
    rounds = found["rounds"]

    def rate(looked: dict[str, Any], clients: int) -> float:
        return float(looked[str(clients)]["ok"] / looked[str(clients)]["seconds"])

    lines = [
        "",
        "| clients | pictures/s | relative to `caption_each` | median latency, p99 | 503 |",
        "|---|---|---|---|---|",
    ]
    for clients in CLIENTS:
        rates = [rate(looked, clients) for looked in rounds]
        shares = [rate(looked, clients) / looked["caption_each"] for looked in rounds]
        own = [looked[str(clients)] for looked in rounds]
        latency = ", ".join(f"{1000 * median(o[p] for o in own):.0f}" for p in ("p50", "p99"))
        busy = median(o["busy"] / o["seconds"] for o in own)
        latency = f"{latency} ms" if busy < 1 else "-"
        lines.append(
            f"| {clients} | {median(rates):.1f} | {median(shares):.2f} | {latency} | {busy:.0f}/s |"
        )
    batches = median(looked["8"]["p99"] / looked["batch seconds"] for looked in rounds)
    useful = median(
        rate(looked, 256) / max(rate(looked, clients) for clients in CLIENTS) for looked in rounds
    )
    failed = sum(looked[str(clients)]["other"] for looked in rounds for clients in CLIENTS)
    bulk_rate = median(looked["caption_each"] for looked in rounds)
    slowest = median(looked["batch seconds"] for looked in rounds)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    memory = found["memory"]
    return "\n".join(
        [
            *lines,
            "",
            f"Medians of {len(rounds)} rounds with {found['seconds']} s per row, measured on "
            f"{found['date']} on {found['machine']} ({versions}) with `python "
            "benchmarks/serving.py` and wrk. `caption_each` in one process captioned "
            f"{bulk_rate:.1f} pictures/s in the same rounds. The machine was busy with other work: "
            "compare ratios, which are taken within a round.",
            "",
            f"- The p99 latency with 8 clients is {batches:.1f} times the {1000 * slowest:.0f} ms that "
            "`caption_each` takes for a batch of 8 while the other core does the same.",
            "- With 256 clients that retry immediately, the server captions "
            f"{useful:.2f} times as many pictures as in its best row.",
            f"- Requests with another status than 200 and 503, or without a response: {failed:.0f}.",
            f"- Memory: {memory['idle']} MB idle, {memory['most']} MB peak. The server listens "
            f"{found['cold start']:.2f} s after its process starts (best of five).",
            "",
        ]
    )


if __name__ == "__main__":
    main()
