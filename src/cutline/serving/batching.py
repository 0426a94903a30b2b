"""Micro-batching: the pictures of concurrent requests are captioned in batches, one core per batch.

There is no timer. A picture that arrives while all cores are idle is captioned at once. While
others are running, an idle core waits until its share of the usual number of concurrent pictures is
there, or until a batch ends: clients that have just received a caption send their next picture a
moment later, and a batch of 4 takes three quarters of the time of 4 batches of 1.
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
from cutline.inference.captioner import Captioner
from cutline.text.style import Style
from cutline.types import Caption

BATCH = 8
"""The largest number of pictures of a batch."""
LARGE = 2 * 10**6
"""Pixels above which pictures are decoded one at a time, to bound the memory used."""
LOAD_SMOOTHING = 0.3
"""Weight of the latest batch in the moving average of the number of concurrent pictures."""
PACE_SMOOTHING = 0.1
"""Weight of the latest batch in the moving average of the time per picture."""

Answer = Caption | ImageError


@dataclass(slots=True, eq=False)
class _Waiting:
    picture: bytes
    best: int
    style: Style
    answer: "asyncio.Future[Answer]"

    def matches(self, other: "_Waiting") -> bool:
        """Whether both can be captioned in one batch."""
        return (self.best, self.style) == (other.best, other.style)


class Batcher:
    """Captions pictures in `cores` threads, in batches of up to 8.

    The captioner must use one core per call (`load(model, threads=1)`). Call all methods from the
    same event loop.
    """

    def __init__(self, captioner: Captioner, *, cores: int, megapixels: float) -> None:
        self._captioner, self._most_pixels = captioner, megapixels * 1e6
        self._cores = self._idle = cores
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="caption")
        self._waiting: deque[_Waiting] = deque()
        self._tasks = set[asyncio.Task[None]]()
        self._running = 0
        self._usual = 0.0
        """Moving average of the number of pictures that wait or run."""
        self._one_large = threading.Lock()
        self.seconds_a_picture = 0.05
        """Moving average of the time per picture when all cores are busy."""

    async def caption(self, pictures: Sequence[bytes], *, best: int, style: Style) -> list[Answer]:
        """Return a caption or an error for each picture. Raises `ModelError` if the model fails."""
        loop = asyncio.get_running_loop()
        items = [_Waiting(picture, best, style, loop.create_future()) for picture in pictures]
        self._waiting.extend(items)
        self._start_batches()
        return await asyncio.gather(*(item.answer for item in items))

    def close(self) -> None:
        """Wait for running batches, and end the threads."""
        self._threads.shutdown()

    def _start_batches(self) -> None:
        share = min(BATCH, ceil(self._usual / self._cores))
        while self._waiting and self._idle:
            if self._running and len(self._waiting) < share:
                return
            batch = self._take_batch()
            self._idle -= 1
            self._running += len(batch)
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._tasks.add(task)  # the event loop itself keeps no reference
            task.add_done_callback(self._tasks.discard)

    def _take_batch(self) -> list[_Waiting]:
        """Take the oldest pictures, at most an even share for each idle core."""
        first = self._waiting.popleft()
        batch = [first]
        share = ceil((1 + len(self._waiting)) / self._idle)
        while self._waiting and len(batch) < min(BATCH, share) and first.matches(self._waiting[0]):
            batch.append(self._waiting.popleft())
        return batch

    async def _run(self, batch: list[_Waiting]) -> None:
        loop, began = asyncio.get_running_loop(), perf_counter()
        try:
            answers = await loop.run_in_executor(self._threads, self._caption_batch, batch)
        except Exception as error:  # whatever it is, the waiting requests must receive it
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
        else:
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():  # its request may have been cancelled
                    item.answer.set_result(answer)
            seconds = (perf_counter() - began) / len(batch) / self._cores
            self.seconds_a_picture += PACE_SMOOTHING * (seconds - self.seconds_a_picture)
        finally:
            load = self._running + len(self._waiting)
            self._usual += LOAD_SMOOTHING * (load - self._usual)
            self._running -= len(batch)
            self._idle += 1
            self._start_batches()

    def _caption_batch(self, batch: list[_Waiting]) -> list[Answer]:
        """Caption a batch; runs in a thread."""
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
            f"the file is too large: decoding needs memory for {pixels / 1e6:.0f} megapixels, and "
            f"this server allows {self._most_pixels / 1e6:g}",
            kind="too_large",
        )


def _pixels_of(picture: bytes) -> int:
    try:
        return pixels_held(picture)
    except ImageError:  # reported when it is decoded
        return 0
