"""onnxruntime, with its reports to its maker switched off: the only place that imports it.

From version 1.29 on, its wheels report each session to Microsoft unless `ORT_DISABLE_TELEMETRY` is
set before it is first imported (its `Privacy.md`). `cutline/__init__.py` sets that; every process
that we start inherits it. Where somebody imported onnxruntime before cutline, it has begun already:
then all but what it sent at its start is switched off here.
"""

import onnxruntime as onnxruntime  # type: ignore[import-untyped]

if hasattr(onnxruntime, "disable_telemetry_events"):
    onnxruntime.disable_telemetry_events()
