"""Inputs of every kind are read in a watched process; figures of what came of them."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hostile.kinds import KINDS
from hostile.watched import SECONDS

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
DOCUMENT = HERE.parents[1] / "docs" / "security.md"
MARKS = "<!-- campaign -->", "<!-- /campaign -->"
FINE = ("answered", "refused")
DEFECTS = ("untidy", "traceback", "hang", "crash", "over memory", "touched")
FRESH = 250
"""Inputs after which another process goes on: what one keeps is not held against the next input."""
IDLE = 20.0
"""Seconds without processor time, asleep, after which a process waits for ever."""


def plan(inputs: int, *, first: int = 0, kinds: Iterable[str] = KINDS) -> Iterator[tuple[str, int]]:
    """So many inputs, a share of each kind, at least three; the kinds by turns."""
    chosen = {name: KINDS[name].share for name in kinds}
    counts = {name: max(3, round(inputs * n / sum(chosen.values()))) for name, n in chosen.items()}
    for lot in range(100):
        for name, count in counts.items():
            for number in range(count * lot // 100, count * (lot + 1) // 100):
                yield name, first + number


def watch(
    inputs: Iterable[tuple[str, int]], material: Path, work: Path, *, seed: str = "0"
) -> Iterator[dict[str, Any]]:
    """What came of each input; a process that ended over one is followed by another."""
    process: subprocess.Popen[bytes] | None = None
    try:
        for count, (name, number) in enumerate(inputs):
            if process and not count % FRESH:
                process = _end(process)
            process = process or _start(material, work, seed)
            told = _ask(process, f"{name} {number}\n".encode())
            if told is None:
                yield _explain_end(process, name, number)
                process = None
            else:
                yield told
    finally:
        if process:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # its pipes are closed, so that it ends
        pass


def own_path() -> str:
    """Where a process of ours finds these modules, beside what it would find anyway."""
    return os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))


def _start(material: Path, work: Path, seed: str) -> subprocess.Popen[bytes]:
    work.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": own_path(), "PYTHONFAULTHANDLER": "0"}
    return subprocess.Popen(
        [sys.executable, "-m", "hostile.watched", str(material), str(work), seed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("CAMPAIGN_TELLS") else subprocess.DEVNULL,
        env={**os.environ, **threads},
        cwd=HERE.parent,
    )


def _ask(process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any] | None:
    """The answer; None where the process ended, or had to be ended."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        idle, spent = 0.0, _spent(process)
        while not selector.select(1.0):
            before, spent = spent, _spent(process)
            idle = idle + 1 if spent == before else 0.0
            if idle >= IDLE:
                process.kill()
                return None
    answer = process.stdout.readline()
    return json.loads(answer) if answer.endswith(b"\n") else None


def _spent(process: subprocess.Popen[bytes]) -> object:
    """Its processor time; while it only waits for a processor, another answer each time."""
    told = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return object() if told[0] == "R" else tuple(told[11:13])


def _explain_end(process: subprocess.Popen[bytes], name: str, number: int) -> dict[str, Any]:
    with process:
        code = process.wait()
    ends = {-signal.SIGPROF: ("hang", SECONDS), -signal.SIGKILL: ("hang", 0.0)}
    outcome, seconds = ends.get(code, ("crash", 0.0))
    return {
        "kind": name,
        "number": number,
        "outcome": outcome,
        "detail": f"{outcome}: ended with {code}",
        "seconds": seconds,
        "memory": 0,
    }


# ---------------------------------------------------------------------------------------- figures


def add_up(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts and greatest costs, by kind."""
    figures: dict[str, Any] = {}
    for one in told:
        own = figures.setdefault(one["kind"], {"inputs": 0, "seconds": 0.0, "memory": 0})
        own["inputs"] += 1
        own[one["outcome"]] = own.get(one["outcome"], 0) + 1
        own["seconds"] = max(own["seconds"], one["seconds"])
        own["memory"] = max(own["memory"], one["memory"])
    return figures


def join(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of two runs as of one."""
    return {
        name: _total({run: held[name] for run, held in enumerate((one, other)) if name in held})
        for name in {**one, **other}
    }


def draw_table(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    told = figures["inputs"]
    head = "| input | tried | answered | refused with a sentence | tracebacks | crashes |"
    head += " hangs, over 1 GB | wrote or ran elsewhere | most processor time | most memory |\n"
    rows = [head, "|" + "---|" * 10 + "\n"]
    names = [*(name for name in KINDS if name in told), None]
    for name in names:
        own = told[name] if name else _total(told)
        rows.append(_row(name or "**all**", own))
    table = "".join(rows)
    kills, faults = figures.get("kills", {}), figures.get("faults", {})
    if kills:
        lost = sum(own["damaged"] for own in kills.values())
        count = sum(own["kills"] for own in kills.values())
        table += f"\n{count:,} kills at random moments in {', '.join(kills)}: "
        table += f"{lost} lost or half files.\n"
    if faults:
        lost = sum(own["damaged"] for own in faults.values())
        count = sum(own["faults"] for own in faults.values())
        table += f"\n{count:,} writes, syncs and renames that failed with EIO or ENOSPC in "
        table += f"{', '.join(faults)}: {lost} lost or half files.\n"
    return table + f"\nMeasured {figures['date']} by `python -m tests.hostile --campaign`.\n"


def _total(told: Mapping[Any, Any]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for own in told.values():
        for name, value in own.items():
            both = total.get(name, 0), value
            total[name] = max(both) if name in ("seconds", "memory") else sum(both)
    return total


def _row(name: str, own: Mapping[str, Any]) -> str:
    tracebacks = own.get("traceback", 0) + own.get("untidy", 0)
    counts = (own.get("inputs", 0), own.get("answered", 0), own.get("refused", 0), tracebacks)
    endless = own.get("hang", 0) + own.get("over memory", 0)
    more = (own.get("crash", 0), endless, own.get("touched", 0))
    shown = " | ".join(f"{count:,}" for count in (*counts, *more))
    seconds, memory = own.get("seconds", 0.0), own.get("memory", 0)
    return f"| {name} | {shown} | {seconds:.1f} s | {memory / 1e6:,.0f} MB |\n"


def fill_document(figures: Mapping[str, Any], document: Path = DOCUMENT) -> None:
    """Put the table between its marks; a document that is not there is begun with it."""
    text = document.read_text("utf8") if document.exists() else f"{MARKS[0]}\n{MARKS[1]}\n"
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    filled = f"{before}{MARKS[0]}\n{draw_table(figures)}{MARKS[1]}{after}"
    document.write_text(filled, "utf8")
