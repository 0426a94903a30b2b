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
from urllib.request import urlopen

from run import ROOT, machine, write_marked

from cutline import Style, load
from cutline.inference.captioner import Captioner
from cutline.serving.batching import BATCH

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
    with serving() as server:
        process, _ = server
        idle = memory_of(process, "VmRSS")
        for number in range(rounds):
            looked: dict[str, Any] = {
                "caption_each": bulk(captioner, contents, seconds),
                "batch seconds": batch_seconds(captioner, contents),
            }
            for clients in CLIENTS:
                looked[str(clients)] = hammer(server, pictures, clients, seconds)
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


def bulk(captioner: Captioner, contents: list[bytes], seconds: int) -> dict[str, float]:
    """Pictures per second and processor time per picture without a server.

    From batch to batch, with as many pictures under way at the beginning as at the end.
    """
    answers = captioner.caption_each(cycle(contents), style=STYLE)
    for _ in range(2 * BATCH):
        next(answers)
    began, spent, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < began + seconds:
        for _ in range(BATCH):
            next(answers)
            done += 1
    elapsed, spent = time.perf_counter() - began, time.process_time() - spent
    answers.close()
    return {"rate": done / elapsed, "cpu": spent / done}


def batch_seconds(captioner: Captioner, contents: list[bytes]) -> float:
    """The median time of a batch while all other cores also run one."""
    single = Captioner(captioner.engine.on_one_core)
    workers = captioner.engine.abilities.workers
    batch = list(islice(cycle(contents), BATCH))

    def run(_: int) -> float:
        began = time.perf_counter()
        list(single.caption_each(batch, style=STYLE))
        return time.perf_counter() - began

    with ThreadPoolExecutor(workers) as pool:
        return median(pool.map(run, range(5 * workers)))


def hammer(
    server: tuple[subprocess.Popen[str], str], pictures: list[Path], clients: int, seconds: int
) -> dict[str, float]:
    """What wrk reports, and the rate and processor time per picture while all clients are there."""
    with tempfile.TemporaryDirectory() as folder:
        script, listed = Path(folder) / "post.lua", Path(folder) / "pictures"
        script.write_text(SCRIPT)
        listed.write_text("".join(f"{path.resolve()}\n" for path in pictures))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds + 2}s", "--timeout", "30s"]
        command += ["-s", str(script), server[1]]
        environment = {**os.environ, "PICTURES": str(listed)}
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as wrk:
            time.sleep(1)
            first = look_at(server)
            time.sleep(seconds)
            last = look_at(server)
            said = str(wrk.communicate()[0])
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    done, spent, elapsed = (after - before for before, after in zip(first, last, strict=True))
    own = {"rate": done / elapsed, "cpu": spent / max(1, done)}
    while pictures_in(server):
        time.sleep(0.1)  # or this row would be in the way of the next
    return {**json.loads(line.removeprefix("RESULT ")), **own}


def look_at(server: tuple[subprocess.Popen[str], str]) -> tuple[float, float, float]:
    """Pictures captioned so far, processor time spent, and the time."""
    process, _ = server
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    done = read_metric(server, 'pictures_total{result="captioned"}')
    return done, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), time.perf_counter()


def pictures_in(server: tuple[subprocess.Popen[str], str]) -> float:
    return read_metric(server, "queue_pictures")


def read_metric(server: tuple[subprocess.Popen[str], str], name: str) -> float:
    with urlopen(f"{server[1]}metrics") as answer:
        text = answer.read().decode()
    return float(text.split(f"\ncutline_{name} ")[1].split()[0])


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

    def compare(clients: int, name: str) -> float:
        return median(
            looked[str(clients)][name] / looked["caption_each"][name] for looked in rounds
        )

    lines = [
        "",
        "| clients | pictures/s | rate relative to `caption_each` | CPU time per picture, relative "
        "| latency: median, p99 | 503 |",
        "|---|---|---|---|---|---|",
    ]
    for clients in CLIENTS:
        own = [looked[str(clients)] for looked in rounds]
        busy = median(o["busy"] / o["seconds"] for o in own)
        latency = ", ".join(f"{1000 * median(o[p] for o in own):.0f}" for p in ("p50", "p99"))
        cells = [
            f"{median(o['rate'] for o in own):.1f}",
            f"{compare(clients, 'rate'):.2f}",
            f"{compare(clients, 'cpu'):.2f}",
            f"{latency} ms" if busy < 1 else "-",
            f"{busy:.0f}/s",
        ]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    batches = median(looked["8"]["p99"] / looked["batch seconds"] for looked in rounds)
    useful = median(
        looked["256"]["rate"] / max(looked[str(clients)]["rate"] for clients in CLIENTS)
        for looked in rounds
    )
    failed = sum(looked[str(clients)]["other"] for looked in rounds for clients in CLIENTS)
    bulk_rate = median(looked["caption_each"]["rate"] for looked in rounds)
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
            f"- The p99 latency with 8 clients is {batches:.1f} times the {1000 * slowest:.0f} ms "
            "that `caption_each` takes for a batch of 8 while the other core does the same.",
            "- With 256 clients that retry immediately, the server captions "
            f"{useful:.2f} times as many pictures as in its best row.",
            f"- Requests without a response, or with a status but 200 and 503: {failed:.0f}.",
            f"- Memory: {memory['idle']} MB idle, {memory['most']} MB peak. The server listens "
            f"{found['cold start']:.2f} s after its process starts (best of five).",
            "",
        ]
    )


if __name__ == "__main__":
    main()
