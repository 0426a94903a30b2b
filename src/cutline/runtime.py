"""onnxruntime, with its reports to its maker switched off, and ended when a graph does not end.

This is the only room that imports it. From version 1.29 on, its wheels report each session to
Microsoft unless `ORT_DISABLE_TELEMETRY` is set before it is first imported (its `Privacy.md`).
`cutline/__init__.py` sets that; every process that we start inherits it. Where somebody imported
onnxruntime before cutline, it has begun already: then all but what it sent at its start is
switched off here.
"""

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
