"""Ordered parallel processing in threads: images are decoded, or captioned, ahead of their use.

Results come in the order of the items. Only a few items are in progress at a time, so memory does
not grow with their number.
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
"""Decodes one picture."""
Item = TypeVar("Item")
Result = TypeVar("Result")

DECODERS = 2
"""Threads that decode while a network runs."""


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Apply `work` to every item in `workers` threads; one more item is queued."""
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > workers + 1:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:  # also if the caller stops early
        pool.shutdown(cancel_futures=True)


def decode_ahead(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Decoded]]:
    """Batches of decoded pictures; the next is decoded while one is used."""
    return in_order(decode, batches_of(pictures, view, batch=batch), workers=DECODERS)


def batches_of(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Undecoded]]:
    """Batches of `batch` pictures, to be decoded by any thread."""
    todo = iter(pictures)
    while taken := list(islice(todo, batch)):
        yield [_prepare(picture, view) for picture in taken]


def decode(pictures: list[Undecoded]) -> list[Decoded]:
    """Decode pictures; a damaged one gives its error."""
    return [picture() for picture in pictures]


def _prepare(picture: Source, view: View) -> Undecoded:
    """Prepare decoding; a PIL image is decoded at once, since it is not thread-safe."""
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
