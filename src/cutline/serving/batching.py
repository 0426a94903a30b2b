"""Pictures of many requests become batches, and each core captions batches of its own.

There is no timer: a core that is free takes what waits at that moment. So a lone picture is
captioned at once, and the more clients there are, the larger the batches.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from time import perf_counter

from cutline.errors import ImageError
from cutline.images.load import pixels_held
from cutline.inference.captioner import BATCH, Captioner
from cutline.text.style import Style
from cutline.types import Caption

LARGE = 2 * 10**6
"""Pixels from which on only one picture is decoded at a time, so that memory stays bounded."""
MEMORY_OF_PACE = 0.1
"""How much the last batch counts in the mean time of a picture."""

Answer = Caption | ImageError


@dataclass(slots=True, eq=False)
class _Waiting:
    picture: bytes
    best: int
    style: Style
    answer: "asyncio.Future[Answer]"

    def fits(self, other: "_Waiting") -> bool:
        """Whether one search serves both."""
        return (self.best, self.style) == (other.best, other.style)


class Batcher:
    """Captions pictures as soon as one of `cores` threads is free, up to 8 at a time.

    The captioner must run on one core a call (`load(model, threads=1)`). All methods belong to one
    event loop.
    """

    def __init__(self, captioner: Captioner, *, cores: int, megapixels: float) -> None:
        self._captioner, self._most_pixels = captioner, megapixels * 1e6
        self._cores = self._idle = cores
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="caption")
        self._waiting: deque[_Waiting] = deque()
        self._one_large = threading.Lock()
        self.seconds_a_picture = 0.05
        """Moving average over all cores."""

    async def caption(self, pictures: Sequence[bytes], *, best: int, style: Style) -> list[Answer]:
        """A caption, or what is wrong, for each picture. Raises what the engine raises."""
        loop = asyncio.get_running_loop()
        items = [_Waiting(picture, best, style, loop.create_future()) for picture in pictures]
        self._waiting.extend(items)
        self._start_batches()
        return await asyncio.gather(*(item.answer for item in items))

    def close(self) -> None:
        """End the threads when they have finished what they do."""
        self._threads.shutdown()

    def _start_batches(self) -> None:
        while self._waiting and self._idle:
            batch = self._take_batch()
            self._idle -= 1
            asyncio.get_running_loop().create_task(self._run(batch))

    def _take_batch(self) -> list[_Waiting]:
        """What waits longest; free cores share it evenly."""
        first = self._waiting.popleft()
        batch = [first]
        share = ceil((1 + len(self._waiting)) / self._idle)
        while self._waiting and len(batch) < min(BATCH, share) and first.fits(self._waiting[0]):
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        loop, began = asyncio.get_running_loop(), perf_counter()
        try:
            answers = await loop.run_in_executor(self._threads, self._caption_batch, batch)
        except Exception as error:  # any, or these requests would wait for ever
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
        else:
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():  # its client may have gone
                    item.answer.set_result(answer)
            seconds = (perf_counter() - began) / len(batch) / self._cores
            self.seconds_a_picture += MEMORY_OF_PACE * (seconds - self.seconds_a_picture)
        finally:
            self._idle += 1
            self._start_batches()

    def _caption_batch(self, batch: list[_Waiting]) -> list[Answer]:
        """Runs in a thread."""
        sizes = [_pixels_of(item.picture) for item in batch]
        readable = [
            item.picture
            for item, size in zip(batch, sizes, strict=True)
            if size <= self._most_pixels
        ]
        with self._one_large if max(sizes) > LARGE else nullcontext():
            captions = self._captioner.caption_each(
                readable, best=batch[0].best, style=batch[0].style
            )
            return [
                next(captions) if size <= self._most_pixels else self._too_large(size)
                for size in sizes
            ]

    def _too_large(self, pixels: int) -> ImageError:
        return ImageError(
            f"the file is too large: {pixels / 1e6:.0f} megapixels to hold in memory, and this "
            f"server holds at most {self._most_pixels / 1e6:g}"
        )


def _pixels_of(picture: bytes) -> int:
    try:
        return pixels_held(picture)
    except ImageError:  # decoding it will say why
        return 0
