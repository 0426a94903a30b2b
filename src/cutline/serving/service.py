"""Captions pictures for all interfaces, with the results of `cutline caption --json`."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from cutline.errors import CutlineError, ModelError
from cutline.inference.captioner import Captioner
from cutline.inference.library import CaptionOptions
from cutline.serving.batching import Answer, Batcher
from cutline.serving.errors import RequestError
from cutline.serving.gate import Capacity
from cutline.serving.metrics import Metrics
from cutline.serving.payloads import MAX_PICTURES
from cutline.types import leave_out_unsure

NAME = "cutline"
"""The name of the model, for APIs that list models."""
UNSUPPORTED = "this model does not offer that many candidates, or does not support that style"


class Service:
    """A captioner with a queue."""

    def __init__(
        self,
        captioner: Captioner,
        options: CaptionOptions,
        batcher: Batcher,
        capacity: Capacity,
        metrics: Metrics,
        *,
        candidates: int,
    ) -> None:
        self.captioner, self.options, self.metrics = captioner, options, metrics
        self.candidates = candidates
        """The number of candidate captions that the model offers."""
        self._batcher, self._capacity = batcher, capacity

    async def describe(
        self, pictures: Sequence[bytes], options: CaptionOptions | None = None
    ) -> list[dict[str, Any]]:
        """Return for each picture what `cutline caption --json` prints, without the path.

        For a picture that cannot be read, that is `{"error": sentence}`. Raises `RequestError` if
        there are too many pictures or too little capacity, or if the model does not support
        `options`.
        """
        options = options or self.options
        if not 1 <= len(pictures) <= MAX_PICTURES:
            raise RequestError(422, f"send 1 to {MAX_PICTURES} pictures, not {len(pictures)}")
        more = len(pictures) - 1  # the gate has reserved one
        with self._capacity.reserve(pictures=more) if more else nullcontext():
            try:
                answers = await self._batcher.caption(
                    pictures, best=options.best, style=options.style
                )
            except ModelError:  # its message may contain paths
                if (options.best, options.style) == (self.options.best, self.options.style):
                    raise
                raise RequestError(422, UNSUPPORTED) from None
        return [self._as_json(answer, options) for answer in answers]

    async def describe_all(
        self, pictures: Sequence[bytes], *, best: int = 1
    ) -> list[dict[str, Any]]:
        """Like `describe`, but raise `RequestError` for the first picture that cannot be read."""
        results = await self.describe(pictures, replace(self.options, best=best))
        for each in results:
            if "error" in each:
                raise RequestError(400, each["error"])
        return results

    def _as_json(self, answer: Answer, options: CaptionOptions) -> dict[str, Any]:
        if isinstance(answer, CutlineError):
            row: dict[str, Any] = {"error": str(answer)}
        else:
            row = leave_out_unsure(answer.as_json(gaze=options.gaze), options.min_confidence)
        result = "failed" if "error" in row else "left_out" if "left_out" in row else "captioned"
        self.metrics.add("pictures_total", 1, result=result)
        return row
