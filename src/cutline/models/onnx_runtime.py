"""onnxruntime, with its reports to its maker switched off, its memory limited, and its runs ended.

This is the only module that imports it. From version 1.29 on, its wheels report each session to
Microsoft unless `ORT_DISABLE_TELEMETRY` is set before it is first imported (its `Privacy.md`).
`cutline/__init__.py` sets that; every process that we start inherits it. Where somebody imported
onnxruntime before cutline, it has begun already: then all but what it sent at its start is
switched off here.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnxruntime as onnxruntime  # type: ignore[import-untyped]

if hasattr(onnxruntime, "disable_telemetry_events"):
    onnxruntime.disable_telemetry_events()

SILENT = 4
"""Of onnxruntime's log: what a stranger's graph is called must not reach the terminal raw."""
MEMORY = 2 * 2**30
"""Bytes that graphs may take for each core of the machine, and once more: a batch takes a tenth."""


def session_options() -> Any:
    """Options of a session that says nothing, and takes its memory from what all may have."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


def is_out_of_memory(error: Exception) -> bool:
    """Whether a graph was ended because it asked for more than that."""
    return "BFCArena" in str(error)


def _limit_memory() -> None:
    """Once a process: sessions share an arena that does not grow beyond a limit."""
    kinds, types = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    place = onnxruntime.OrtMemoryInfo("Cpu", kinds.ORT_ARENA_ALLOCATOR, 0, types.DEFAULT)
    most = MEMORY * (1 + (os.cpu_count() or 1))
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": most}))


_limit_memory()


@contextmanager
def ended_after(seconds: float) -> Iterator[Any]:
    """Options of one run of a graph, which is ended when it takes so many seconds.

    Both by the clock and by the processor: neither a busy machine nor several runs at once end one
    that is merely slow. What is ended raises an error of onnxruntime's in the run itself.
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
