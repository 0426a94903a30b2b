"""The engine for one-file models: onnxruntime, without torch.

The file is untrusted input. Its metadata is checked before it is used, its output before it is
read, and a graph that does not end is stopped.
"""

import json
import platform
from collections.abc import Mapping
from functools import cached_property
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cutline.errors import ModelError
from cutline.images.load import View
from cutline.inference.network import Network, language_of
from cutline.models.onnx_format import FORMAT
from cutline.models.onnx_runtime import (
    ended_after,
    is_out_of_memory,
    onnxruntime,
    session_options,
    usable_cores,
)
from cutline.text.style import NEEDS_BEAM, UNCONSTRAINED, Style
from cutline.text.vocabulary import PAD, Vocabulary
from cutline.types import Abilities, Written

PATIENCE = 60.0
"""Seconds per picture after which a graph is stopped; the packaged model takes 0.03."""
MOST_CANDIDATES, MOST_WORDS, MOST_REGIONS, MOST_CONCEPTS = 100, 1_000, 10_000, 1_000
"""Limits for the output of a graph per picture."""


def _reopen(path: Path, threads: int, patience: float) -> "OnnxEngine":
    return OnnxEngine(path, threads=threads, patience=patience)


class OnnxEngine(Network):
    """A captioner in one file: graph, vocabulary, view and card.

    `threads` is the number of cores of one call (default: all that this process may use). Many
    pictures are captioned faster by as many concurrent calls, each `on_one_core`. A graph that
    takes `patience` seconds per picture is stopped. Raises `ModelError` for a file that is not a
    model.
    """

    def __init__(
        self, path: Path, *, threads: int | None = None, patience: float = PATIENCE
    ) -> None:
        options = session_options()
        self.threads = options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1  # the graph has no parallel branches
        if _sums_saturate():
            options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the only common base class of onnxruntime's errors
            if not path.exists():
                raise ModelError(f"there is no model {path}") from None
            raise ModelError(f"{path} is not a model that runs: {_reason(error)}") from None
        outputs = {output.name for output in self._session.get_outputs()}
        self._outputs = [name for name in Written._fields if name in outputs]
        self._inputs = {each.name for each in self._session.get_overridable_initializers()}
        self.path, self._patience = path.resolve(), patience
        self._metadata = self._session.get_modelmeta().custom_metadata_map
        if "vocabulary" not in self._metadata:
            raise ModelError(f"{path} carries no vocabulary: it was not made by `cutline export`")
        if self._metadata.get("format") != FORMAT:
            raise ModelError(f"{path} was made by a different version of cutline: export it again")
        try:
            self.view = View.from_dict(self._table("view"))
            """How pictures become pixels."""
            self.card: Mapping[str, Any] = self._table("card")
            """The model card: training data, scores, calibration."""
            words, language = self._metadata["vocabulary"], language_of(self.card)
            self.vocabulary = Vocabulary.of_lines(words, language=language)
            """The words by id."""
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path and the options; unpickling opens the file again."""
        return _reopen, (self.path, self.threads, self._patience)

    @cached_property
    def abilities(self) -> Abilities:
        """What its inputs and outputs offer; one call for each core."""
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        candidates = (shapes.get("words") or ["rows", None])[1:2]
        return Abilities(
            probabilities=True,
            candidates=next((each for each in candidates if isinstance(each, int)), None),
            attention="gaze" in shapes,
            phrases="concepts" in shapes,
            style="avoid" in self._inputs,
            workers=self.threads,
            file=self.path,
        )

    @cached_property
    def on_one_core(self) -> "OnnxEngine":
        """The same engine for concurrent calls. Raises `ModelError` if its file has changed."""
        if self.threads == 1:
            return self
        single = OnnxEngine(self.path, threads=1, patience=self._patience)
        if single._metadata != self._metadata:
            raise ModelError(f"{self.path} was replaced while it was in use: load it again")
        return single

    def write(self, pixels: NDArray[np.uint8], style: Style = UNCONSTRAINED) -> Written:
        """Caption pixels of shape (rows, size, size, 3).

        Raises `ModelError` for a graph that does not run, does not end, or gives invalid output.
        """
        asked = {} if style.is_unconstrained else self._asked(style)
        seconds = self._patience * len(pixels)
        with ended_after(seconds) as options:
            try:
                found = self._session.run(self._outputs, {"pixels": pixels, **asked}, options)
            except Exception as error:  # as above
                if options.terminate:
                    raise ModelError(
                        f"{self.path} did not end within {seconds:g} seconds and was stopped"
                    ) from None
                if is_out_of_memory(error):
                    raise ModelError(f"{self.path} needs more memory than there is") from None
                raise ModelError(f"{self.path} does not run: {_reason(error)}") from None
        arrays = dict(zip(self._outputs, found, strict=True))
        captions = [arrays[name] for name in Written._fields[:4] if name in arrays]
        named = [arrays.get(name) for name in Written._fields[4:]]
        known = len(self.vocabulary)
        wrong = _find_fault(captions, len(pixels), known) or _find_wrong_concepts(
            named, len(pixels), known
        )
        if wrong:
            raise ModelError(f"{self.path} is not a captioner: {wrong}")
        return Written(**arrays)

    def _table(self, name: str) -> dict[str, Any]:
        """A JSON object in the metadata."""
        try:
            table = json.loads(self._metadata.get(name, ""))
        except (ValueError, RecursionError):
            table = None
        if not isinstance(table, dict):
            raise ModelError(f"its {name} cannot be read")
        return table

    def _asked(self, style: Style) -> dict[str, NDArray[Any]]:
        """The optional inputs of the graph that constrain captions."""
        taken = self._inputs
        if "avoid" not in taken:
            raise ModelError(
                f"{self.path} has no inputs for a style: it was made by a different version of "
                "cutline; export it again"
            )
        if style.max_chars is not None and "max_chars" not in taken:
            raise ModelError(NEEDS_BEAM)
        asked = {
            "avoid": style.avoided(self.vocabulary.words),
            "max_chars": np.array(style.longest, np.int64),
        }
        return {name: value for name, value in asked.items() if name in taken}


def _find_fault(found: list[Any], rows: int, known: int) -> str:
    """What is wrong with the output of a graph; `known` is the size of the vocabulary."""
    if len(found) not in (3, 4) or not all(isinstance(each, np.ndarray) for each in found):
        return "it must write words, log-probabilities, scores and perhaps the gaze"
    words, log_probs, scores, *gaze = found
    if words.dtype != np.int64 or any(each.dtype.kind != "f" for each in found[1:]):
        return "its words must be whole numbers, the rest numbers"
    if wrong := _find_wrong_shape(rows, *(each.shape for each in found)):
        return wrong
    if words.min() < 0 or words.max() >= known:
        return f"it writes words that its vocabulary of {known:,} does not have"
    is_word = words != PAD
    if not is_word.any(axis=2)[scores > -np.inf].all() or not is_word[:, 0].any(axis=1).all():
        return "it writes captions without an end"
    likely = log_probs[is_word]
    if np.isnan(scores).any() or not ((likely > -1e6) & (likely < 0.01)).all():
        return "it writes log-probabilities that are above 0 or no numbers"
    if gaze and not (np.abs(gaze[0]) <= 1.01).all():
        return "it writes a gaze that is no shares from 0 to 1"
    return ""


def _find_wrong_concepts(named: list[Any], rows: int, known: int) -> str:
    """What is wrong with the concepts and their probabilities."""
    if all(each is None for each in named):
        return ""
    if not all(isinstance(each, np.ndarray) for each in named):
        return "it must write concepts, chances and photograph, or none of them"
    concepts, *shares = named
    if concepts.dtype != np.int64 or any(each.dtype.kind != "f" for each in shares):
        return "its concepts must be whole numbers, their chances numbers"
    fits = concepts.ndim == 2 and len(concepts) == rows and 1 <= concepts.shape[1] <= MOST_CONCEPTS
    if not fits or [each.shape for each in shares] != [concepts.shape, (rows,)]:
        return f"it names the concepts of {rows} pictures in the shape {concepts.shape}"
    if concepts.min() < 0 or concepts.max() >= known:
        return f"it names concepts that its vocabulary of {known:,} does not have"
    if not all(((each >= 0) & (each <= 1)).all() for each in shares):
        return "it writes chances that are no shares from 0 to 1"
    return ""


def _find_wrong_shape(rows: int, words: tuple[int, ...], *others: tuple[int, ...]) -> str:
    log_probs, scores, *gaze = others
    fits = len(words) == 3 and words[0] == rows and log_probs == words and scores == words[:2]
    fits = fits and 1 <= words[1] <= MOST_CANDIDATES and 1 <= words[2] <= MOST_WORDS
    for shape in gaze:
        fits = fits and shape[:3] == words and len(shape) == 4
        fits = fits and 1 <= shape[3] <= MOST_REGIONS and isqrt(shape[3]) ** 2 == shape[3]
    shapes = ", ".join(map(str, (words, *others)))
    return "" if fits else f"it gives {rows} pictures the shapes {shapes}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _sums_saturate(processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether 8-bit products saturate on this processor: x86 without VNNI (before 2019).

    Exact sums must be requested there; elsewhere they would halve the speed without benefit.
    """
    if platform.machine().lower() not in ("x86_64", "amd64") or not processor.exists():
        return False
    return "vnni" not in processor.read_text(errors="replace")
