"""What all interfaces share: pictures in, what `cutline caption --json` says of each out."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from cutline.errors import CutlineError, ModelError
from cutline.inference.captioner import Captioner
from cutline.inference.library import Wanted
from cutline.serving.batching import Answer, Batcher
from cutline.serving.errors import RequestError
from cutline.serving.gate import Room
from cutline.serving.metrics import Metrics
from cutline.serving.payloads import MOST_PICTURES
from cutline.types import leave_out_unsure

NAME = "cutline"
"""Of the model, for clients that ask which there are."""


UNABLE = "this model has not so many candidates, or cannot keep to such a length"


class Service:
    """A captioner behind a queue."""

    def __init__(
        self,
        captioner: Captioner,
        wanted: Wanted,
        batcher: Batcher,
        room: Room,
        metrics: Metrics,
        *,
        candidates: int,
    ) -> None:
        self.captioner, self.wanted, self.metrics = captioner, wanted, metrics
        self.candidates = candidates
        """How many captions of a picture the model can offer."""
        self._batcher, self._room = batcher, room

    async def describe(
        self, pictures: Sequence[bytes], wanted: Wanted | None = None
    ) -> list[dict[str, Any]]:
        """For each picture what `cutline caption --json` says, but for its path.

        Of one that cannot be read that is `{"error": sentence}`. Raises `RequestError` for too many
        pictures, for a lack of room, and for a style or candidates that the model does not have.
        """
        wanted = wanted or self.wanted
        if not 1 <= len(pictures) <= MOST_PICTURES:
            raise RequestError(422, f"send 1 to {MOST_PICTURES} pictures, not {len(pictures)}")
        more = len(pictures) - 1  # the gate has counted one
        with self._room.take(pictures=more) if more else nullcontext():
            try:
                answers = await self._batcher.caption(
                    pictures, best=wanted.best, style=wanted.style
                )
            except ModelError:  # its sentence may name the server's files
                if (wanted.best, wanted.style) == (self.wanted.best, self.wanted.style):
                    raise
                raise RequestError(422, UNABLE) from None
        return [self._as_json(answer, wanted) for answer in answers]

    async def describe_all(
        self, pictures: Sequence[bytes], *, best: int = 1
    ) -> list[dict[str, Any]]:
        """The same for an interface that knows no single failures: `RequestError` for the first."""
        told = await self.describe(pictures, replace(self.wanted, best=best))
        for each in told:
            if "error" in each:
                raise RequestError(400, each["error"])
        return told

    def _as_json(self, answer: Answer, wanted: Wanted) -> dict[str, Any]:
        if isinstance(answer, CutlineError):
            told: dict[str, Any] = {"error": str(answer)}
        else:
            told = leave_out_unsure(answer.as_json(gaze=wanted.gaze), wanted.min_confidence)
        result = "failed" if "error" in told else "left_out" if "left_out" in told else "captioned"
        self.metrics.add("pictures_total", 1, result=result)
        return told
