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
from cutline.images import Source, View, open_image

Decoded = NDArray[np.uint8] | ImageError
Item = TypeVar("Item")
Result = TypeVar("Result")

DECODERS = 2
"""Threads that decode while a network learns or looks."""


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """What `work` makes of every item, by so many threads, each with one more item waiting."""
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:  # also when nobody wants the rest
        pool.shutdown(cancel_futures=True)


def decode_ahead(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Decoded]]:
    """Batches of decoded pictures, the next always under way while one is looked at."""
    work = partial(decode, view=view)
    return in_order(work, batches_of(pictures, view, batch=batch), workers=DECODERS)


def batches_of(
    pictures: Iterable[Source], view: View, *, batch: int
) -> Iterator[list[Source | Decoded]]:
    """So many pictures at a time, not decoded yet, but for PIL images: the same one may come twice,
    and it is not made for threads.
    """
    todo = iter(pictures)
    while taken := list(islice(todo, batch)):
        yield [_open(p, view) if isinstance(p, Image.Image) else p for p in taken]


def decode(pictures: list[Source | Decoded], view: View) -> list[Decoded]:
    """Pictures as a model with this view sees them, or what is wrong with one."""
    return [p if isinstance(p, ImageError) else _open(p, view) for p in pictures]


def _open(picture: Source, view: View) -> Decoded:
    try:
        return open_image(picture, view)
    except ImageError as error:
        return error
