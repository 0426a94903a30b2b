"""The whole thing for a user: a picture in, a caption out. Drives an engine, knows no network."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cutline.engines.onnx import OnnxEngine
from cutline.errors import ImageError, ModelError
from cutline.images import Source, View, open_image
from cutline.records import Caption, Written
from cutline.vocabulary import PAD, Vocabulary
from cutline.words import join_words

PACKAGED = Path(str(files("cutline"))) / "models" / "flickr8k-show-and-tell.onnx"
"""The model inside the package."""

BATCH = 8

Pictures = list[Source] | tuple[Source, ...]


@runtime_checkable
class Engine(Protocol):
    """Anything that writes captions under pixels, with the words and the view it was trained on."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The words that it knows by number."""

    @property
    def view(self) -> View:
        """How it looks at pictures."""

    @property
    def card(self) -> Mapping[str, Any]:
        """What it was trained on and how well it does."""

    def write(self, pixels: NDArray[np.uint8]) -> Written:
        """Captions of pictures of shape (rows, size, size, 3)."""


class Captioner:
    """Writes captions: `load().caption("photo.jpg").text  # 'a dog runs through the grass'`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def card(self) -> Mapping[str, Any]:
        """What the model was trained on and how well it does."""
        return self.engine.card

    @overload
    def caption(self, pictures: Source, *, best: int = 1) -> Caption: ...
    @overload
    def caption(self, pictures: Pictures, *, best: int = 1) -> list[Caption]: ...
    def caption(self, pictures: Source | Pictures, *, best: int = 1) -> Caption | list[Caption]:
        """Caption one picture, or each of a list.

        A picture is a path, bytes, an open file, a PIL image, or an array (height, width, 3). With
        `best` above 1 a caption's `alternatives` hold the other candidates. Raises `ImageError` for
        a picture that cannot be read; `caption_each` goes on instead.
        """
        if isinstance(pictures, list | tuple):
            return [_insist(answer) for answer in self.caption_each(pictures, best=best)]
        [answer] = self.caption_each([pictures], best=best)
        return _insist(answer)

    def caption_each(
        self, pictures: Iterable[Source], *, best: int = 1
    ) -> Iterator[Caption | ImageError]:
        """An answer for every picture, in order and as they come: its caption or what is wrong.

        Pictures are decoded while the network looks at those before; memory does not grow.
        """
        with ThreadPoolExecutor(2) as pool:
            for batch in _ahead(pool, self._open, pictures):
                yield from self._write(batch, best)

    def _open(self, picture: Source) -> NDArray[np.uint8] | ImageError:
        try:
            return open_image(picture, self.engine.view)
        except ImageError as error:
            return error

    def _write(
        self, batch: list[NDArray[np.uint8] | ImageError], best: int
    ) -> Iterator[Caption | ImageError]:
        readable = [picture for picture in batch if isinstance(picture, np.ndarray)]
        captions = iter(self._caption_pixels(np.stack(readable), best) if readable else [])
        for picture in batch:
            yield picture if isinstance(picture, ImageError) else next(captions)

    def _caption_pixels(self, pixels: NDArray[np.uint8], best: int) -> list[Caption]:
        written = self.engine.write(pixels)
        candidates = written.words.shape[1]
        if not 1 <= best <= candidates:
            raise ModelError(
                f"this model writes {candidates} candidates a picture: ask for 1 to {candidates}"
            )
        return [
            caption_of(words[:best], log_probs[:best], self.engine.vocabulary)
            for words, log_probs in zip(written.words, written.log_probs, strict=True)
        ]


def load(model: str | Path | None = None, *, threads: int | None = None) -> Captioner:
    """The captioner in the package, or the one in a model folder or a one-file model.

    A folder is run from its `model.onnx`, without torch; while it is in training, and has none as
    new as its weights, by torch. Raises `ModelError` when there is no model that runs.
    """
    path = PACKAGED if model is None else Path(model)
    if not path.exists():
        raise ModelError(f"there is no model {path}")
    if not path.is_dir():
        return Captioner(OnnxEngine(path, threads=threads))
    graph, weights = path / "model.onnx", path / "weights.safetensors"
    if graph.exists() and not _is_older(graph, weights):
        return Captioner(OnnxEngine(graph, threads=threads))
    try:
        from cutline.engines.torch import TorchEngine
    except ImportError:
        raise ModelError(
            f"{path} has no up-to-date model.onnx: run `cutline export {path}` where it was trained"
        ) from None
    return Captioner(TorchEngine.open(path))


def caption_of(
    words: NDArray[np.int64], log_probs: NDArray[np.float32], vocabulary: Vocabulary
) -> Caption:
    """The best of some candidates, (candidates, time), with the others as its alternatives."""
    first, *others = (
        _read_candidate(ids, each, vocabulary) for ids, each in zip(words, log_probs, strict=True)
    )
    return replace(first, alternatives=tuple(others))


def _insist(answer: Caption | ImageError) -> Caption:
    if isinstance(answer, ImageError):
        raise answer
    return answer


def _read_candidate(
    ids: NDArray[np.int64], log_probs: NDArray[np.float32], vocabulary: Vocabulary
) -> Caption:
    words = vocabulary.decode(ids.tolist())
    each = tuple(float(value) for value in log_probs[ids != PAD])
    return Caption(join_words(words), words, sum(each), each)


def _ahead(
    pool: ThreadPoolExecutor, work: Any, pictures: Iterable[Source]
) -> Iterator[list[NDArray[np.uint8] | ImageError]]:
    """Batches of finished work, one batch further always under way."""
    todo = iter(pictures)
    waiting: list[list[Future[Any]]] = []
    while batch := [pool.submit(work, picture) for picture in islice(todo, BATCH)]:
        waiting.append(batch)
        if len(waiting) > 1:
            yield [future.result() for future in waiting.pop(0)]
    for batch in waiting:
        yield [future.result() for future in batch]


def _is_older(graph: Path, weights: Path) -> bool:
    return weights.exists() and graph.stat().st_mtime_ns < weights.stat().st_mtime_ns
