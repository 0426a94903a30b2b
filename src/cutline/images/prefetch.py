"""Work in threads, in order: pictures are decoded, or captioned, while others are waited for.

Enters: any iterable. Leaves: what `work` makes of each item, in order. No more than a few items are
under way, so memory does not grow with their number.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.errors import ImageError
from cutline.images.load import Source, View, open_image

Decoded = NDArray[np.uint8] | ImageError
Undecoded = Callable[[], Decoded]
"""Of one picture."""
Item = TypeVar("Item")
Result = TypeVar("Result")

DECODERS = 2
"""Threads that decode while a network learns or looks."""


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """What `work` makes of every item, by so many threads; one more item waits."""
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > workers + 1:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:  # also when nobody wants the rest
        pool.shutdown(cancel_futures=True)


def decode_ahead(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Decoded]]:
    """Batches of decoded pictures, the next always under way while one is looked at."""
    return in_order(decode, batches_of(pictures, view, batch=batch), workers=DECODERS)


def batches_of(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Undecoded]]:
    """So many pictures at a time, for any thread to decode."""
    todo = iter(pictures)
    while taken := list(islice(todo, batch)):
        yield [_prepare(picture, view) for picture in taken]


def decode(pictures: list[Undecoded]) -> list[Decoded]:
    """Pictures as a model sees them, or what is wrong with one."""
    return [picture() for picture in pictures]


def _prepare(picture: Source, view: View) -> Undecoded:
    """A PIL image is read at once: the same one may come twice, and it is not made for threads."""
    work = partial(_open, picture, view)
    if not isinstance(picture, Image.Image):
        return work
    answer = work()
    return lambda: answer


def _open(picture: Source, view: View) -> Decoded:
    try:
        return open_image(picture, view)
    except ImageError as error:
        return error
