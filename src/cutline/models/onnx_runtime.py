"""onnxruntime without telemetry, and with limits on memory and time.

This is the only module that imports onnxruntime. From version 1.29 on, its wheels report each
session to Microsoft unless `ORT_DISABLE_TELEMETRY` is set before the first import (see its
`Privacy.md`). `cutline/__init__.py` sets the variable, and child processes inherit it. If
onnxruntime was imported before cutline, its telemetry has already started; it is then disabled here
for everything that follows.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime as onnxruntime  # type: ignore[import-untyped]

if hasattr(onnxruntime, "disable_telemetry_events"):
    onnxruntime.disable_telemetry_events()

SILENT = 4
"""Log severity: names in an untrusted graph must not reach the terminal unescaped."""
MEMORY = 2 * 2**30
"""Bytes for each core of the machine, plus once more; a batch needs a tenth of that."""


def session_options() -> Any:
    """Options of a session that logs nothing and allocates from the shared, limited arena."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def usable_cores() -> int:
    """Cores that this process may use: in a container fewer than the machine has."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return mine
    return mine if quota == "max" else min(mine, max(1, int(quota) // int(period)))


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed because it exceeded the memory limit."""
    return "BFCArena" in str(error)


def _limit_memory() -> None:
    """Register the arena, limited in size, that all sessions of the process share."""
    kinds, types = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    place = onnxruntime.OrtMemoryInfo("Cpu", kinds.ORT_ARENA_ALLOCATOR, 0, types.DEFAULT)
    most = MEMORY * (1 + (os.cpu_count() or 1))
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": most}))


_limit_memory()


@contextmanager
def ended_after(seconds: float) -> Iterator[Any]:
    """Options for one run of a graph, which is terminated after `seconds`.

    Both wall-clock and processor time must exceed the limit, so that neither a busy machine nor
    concurrent runs terminate a run that is merely slow. A terminated run raises onnxruntime's own
    error.
    """
    options, over = onnxruntime.RunOptions(), threading.Event()
    options.log_severity_level = SILENT
    begun = time.monotonic(), time.process_time()

    def watch() -> None:
        while not over.wait(min(1.0, seconds / 4)):
            if min(time.monotonic() - begun[0], time.process_time() - begun[1]) > seconds:
                options.terminate = True
                return

    watchdog = threading.Thread(target=watch, daemon=True)
    watchdog.start()
    try:
        yield options
    finally:
        over.set()
        watchdog.join()
