"""The engine that needs no torch: one onnx file, run by onnxruntime."""

import json
import os
import platform
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutline.errors import ModelError
from cutline.images import View
from cutline.records import Written
from cutline.runtime import onnxruntime
from cutline.style import FREE, NO_CHOICE, Style
from cutline.vocabulary import Vocabulary

FORMAT = "1"
"""Of the one-file form; raised when an older cutline could not read it."""


class OnnxEngine:
    """A captioner in one file: graph, vocabulary, view and card.

    `threads` is how many cores one call may use (default: all that this process may). Many pictures
    are done sooner by as many calls at once, each `on_one_core`.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        self.threads = options.intra_op_num_threads = threads or _usable_cores()
        options.inter_op_num_threads = 1  # the graph is one chain: nothing could run beside it
        options.log_severity_level = 3
        if _sums_saturate():
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class but this
            if not path.exists():
                raise ModelError(f"there is no model {path}") from None
            reason = str(error).splitlines()[0]
            raise ModelError(f"{path} is not a model that runs: {reason}") from None
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.path = path.resolve()
        self._metadata = self._session.get_modelmeta().custom_metadata_map
        if "vocabulary" not in self._metadata:
            raise ModelError(f"{path} carries no vocabulary: it was not made by `cutline export`")
        if self._metadata.get("format") != FORMAT:
            raise ModelError(f"{path} was made by another cutline: export it again with this one")

    @cached_property
    def on_one_core(self) -> "OnnxEngine":
        """The same captioner, for several calls at once; `ModelError` if its file has changed."""
        if self.threads == 1:
            return self
        single = OnnxEngine(self.path, threads=1)
        if single._metadata != self._metadata:
            raise ModelError(f"{self.path} was replaced while it was in use: load it again")
        return single

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words that the graph knows by number."""
        return Vocabulary(tuple(self._metadata["vocabulary"].split("\n")))

    @cached_property
    def view(self) -> View:
        """How the model was trained to look at pictures."""
        return View.from_dict(json.loads(self._metadata["view"]))

    @cached_property
    def card(self) -> Mapping[str, Any]:
        """What the model was trained on and how well it does."""
        return json.loads(self._metadata["card"])

    def write(self, pixels: NDArray[np.uint8], style: Style = FREE) -> Written:
        """Captions of pictures of shape (rows, size, size, 3)."""
        asked = {} if style.is_free else self._asked(style)
        return Written(*self._session.run(self._outputs, {"pixels": pixels, **asked}))

    def _asked(self, style: Style) -> dict[str, NDArray[Any]]:
        """The inputs of the graph that say what no caption may be; they may be left away."""
        taken = {each.name for each in self._session.get_overridable_initializers()}
        if "avoid" not in taken:
            raise ModelError(f"{self.path} searches freely: export it again with this cutline")
        if style.max_chars is not None and "max_chars" not in taken:
            raise ModelError(NO_CHOICE)
        asked = {
            "avoid": style.avoided(self.vocabulary.words),
            "max_chars": np.array(style.longest, np.int64),
        }
        return {name: value for name, value in asked.items() if name in taken}


def _sums_saturate(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit sums overflow on this processor: x86 without VNNI, which is older than 2019.

    There, exact sums take longer; elsewhere asking for them would halve the speed for nothing.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not processor.exists():
        return False
    return "vnni" not in processor.read_text(errors="replace")


def _usable_cores() -> int:
    """Cores this process may run on: in a container fewer than the machine has."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return mine
    return mine if quota == "max" else min(mine, max(1, int(quota) // int(period)))
