"""Pictures are decoded while a network looks at those before.

Enters: any iterable of pictures. Leaves: batches of what `open_image` gives, or what is wrong with
a picture, in order, and one batch ahead; memory does not grow with the number of pictures.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.errors import ImageError
from cutline.images import Source, View, open_image

Decoded = NDArray[np.uint8] | ImageError


def decode_ahead(pictures: Iterable[Source], view: View, *, batch: int) -> Iterator[list[Decoded]]:
    """Batches of decoded pictures, the next always under way while one is looked at."""
    todo = iter(pictures)
    with ThreadPoolExecutor(2) as pool:
        waiting: list[list[Future[Decoded]]] = []
        while taken := list(islice(todo, batch)):
            waiting.append([_begin(pool, picture, view) for picture in taken])
            if len(waiting) > 1:
                yield [future.result() for future in waiting.pop(0)]
        for futures in waiting:
            yield [future.result() for future in futures]


def _begin(pool: ThreadPoolExecutor, picture: Source, view: View) -> Future[Decoded]:
    """A PIL image is read here: the same one may come twice, and it is not made for threads."""
    if not isinstance(picture, Image.Image):
        return pool.submit(_open, picture, view)
    done: Future[Decoded] = Future()
    done.set_result(_open(picture, view))
    return done


def _open(picture: Source, view: View) -> Decoded:
    try:
        return open_image(picture, view)
    except ImageError as error:
        return error
