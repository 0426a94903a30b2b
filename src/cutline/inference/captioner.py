"""The captioner: pictures in, captions out.

It calls an `Engine` and does not know which.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.engines import split_name
from cutline.errors import ImageError, ModelError
from cutline.images.load import Readable, Source, View
from cutline.images.prefetch import Decoded, Undecoded, batches_of, decode, decode_ahead, in_order
from cutline.inference.network import language_of, read_threshold
from cutline.inference.onnx import OnnxEngine
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Abilities, Caption

PACKAGED = Path(str(files("cutline.inference"))) / "pretrained" / "captioner.onnx"
"""The model in the package."""

Picture = TypeVar("Picture", bound=Source)
"""The kind of the pictures of a list: `list[Path]` is no `list[Source]`."""
_ONE = (str, PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray, Readable)


@runtime_checkable
class Engine(Protocol):
    """Anything that writes captions under pictures."""

    @property
    def view(self) -> View:
        """How pictures become pixels."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card: `title` and `fingerprint`; training data, scores, calibration."""

    @property
    def abilities(self) -> Abilities:
        """What the engine can do and say."""

    @property
    def usage(self) -> str:
        """What the calls so far have cost, for people; empty if nothing is counted."""

    @property
    def on_one_core(self) -> "Engine":
        """The same engine for concurrent calls, each of which uses one core."""

    def caption(
        self, pixels: Sequence[NDArray[np.uint8]], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> Sequence[Caption | ImageError]:
        """A caption for each picture (height, width, 3), or why the model gave none.

        Raises `ModelError` if the model does not run, or has fewer than `best` candidates.
        """


class Captioner:
    """Captions pictures: `load().caption("photo.jpg").text  # 'a dog runs through the grass'`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def close(self) -> None:
        """Release the model. The captioner cannot be used afterwards; `with` does this, too."""
        self.__dict__.pop("engine", None)

    def __enter__(self) -> "Captioner":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:  # else a misspelt name would be of type Any

        def __getattr__(self, name: str) -> Any:
            if name == "engine":
                raise ModelError("this captioner is closed: load the model again")
            raise AttributeError(f"a Captioner has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"Captioner({str(self.card.get('title', ''))!r})"

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card: training data, scores, calibration."""
        return self.engine.card

    @property
    def language(self) -> str:
        """The language of the captions, as a tag such as `de`."""
        return language_of(self.card)

    @property
    def threshold(self) -> float:
        """The confidence from which on three of four captions are right; 0 if it is not known."""
        return read_threshold(self.card, "calibration")

    @property
    def refusal_threshold(self) -> float:
        """The probability of a photograph below which a picture gets no caption; 0 for none."""
        return read_threshold(self.card, "refusal")

    @overload
    def caption(  # type: ignore[overload-overlap]  # a string is a sequence, too
        self, pictures: Source, *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> Caption: ...
    @overload
    def caption(
        self,
        pictures: Sequence[Picture] | Iterator[Picture],
        *,
        best: int = 1,
        style: Style = UNCONSTRAINED,
    ) -> list[Caption]: ...
    def caption(
        self, pictures: Any, *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> Caption | list[Caption]:
        """Caption one picture, or each of a sequence or generator.

        A picture is a path, bytes, an open file, a PIL image, or an array (height, width, 3). With
        `best` above 1 a caption's `alternatives` hold the other candidates. One that is not a
        photograph gets an empty text and `left_out`, unless the style has `any_picture`. Raises
        `ImageError` for a picture that cannot be read (`caption_each` goes on instead), and
        `ModelError` if the model has too few candidates or cannot search within the `style`.
        """
        if isinstance(pictures, Iterable) and not isinstance(pictures, _ONE):
            return [
                _or_raise(answer) for answer in self.caption_each(pictures, best=best, style=style)
            ]
        [answer] = self.caption_each([pictures], best=best, style=style)
        return _or_raise(answer)

    def caption_each(
        self, pictures: Iterable[Source], *, best: int = 1, style: Style = UNCONSTRAINED
    ) -> Iterator[Caption | ImageError]:
        """Yield a caption or an error for each picture, in order, as the pictures arrive.

        If there is more than one batch, each core decodes and captions batches of its own. Memory
        use does not depend on the number of pictures.
        """
        engine = self.engine
        size, workers = engine.abilities.batch, engine.abilities.workers
        remaining = iter(pictures)
        first = list(islice(remaining, size + 1))
        pictures = chain(first, remaining)
        if len(first) <= size or workers == 1:
            for batch in decode_ahead(pictures, engine.view, batch=size):
                yield from _answer(engine, batch, best, style)
            return
        single = engine.on_one_core

        def answer(batch: list[Undecoded]) -> list[Caption | ImageError]:
            return _answer(single, decode(batch), best, style)

        batches = batches_of(pictures, engine.view, batch=size)
        for answers in in_order(answer, batches, workers=workers):
            yield from answers


def load(
    model: str | Path | None = None,
    *,
    threads: int | None = None,
    device: str = "auto",
    prompt: str | None = None,
    timeout: float | None = None,
) -> Captioner:
    """Load the built-in model, a one-file model, a model folder, or one that a string names.

    `hf:owner/name`, `onnx:owner/name`, `openai:http://host:port/v1#name` and `ollama:name` are
    models of other projects (`engines.SCHEMES`; docs/engines.md). Those that read a `prompt` get
    it with every picture. With a server, `threads` is the number of concurrent requests, and
    `timeout` the seconds that one may take.

    A folder is run from its `model.onnx`, without torch; by torch if that is missing or older than
    the weights, or if `device` names an accelerator (`cuda`, `cuda:1`, `mps`). Raises `ModelError`
    when there is no model that runs there.
    """
    if name := split_name(model):
        return Captioner(_open(*name, threads, device, prompt, timeout))
    path = PACKAGED if model is None else Path(model)
    if not path.exists():
        raise ModelError(f"there is no model {path}")
    on_cpu = device in ("auto", "cpu")
    if not path.is_dir():
        if not on_cpu:
            raise ModelError(
                f"{path.name} is a one-file model, which runs on the CPU: leave out the device "
                f"{device!r}, or load a model folder"
            )
        return Captioner(OnnxEngine(path, threads=threads))
    if on_cpu and (path / "model.onnx").exists():
        engine = OnnxEngine(path / "model.onnx", threads=threads)
        if engine.card.get("fingerprint") == _fingerprint_of(path):
            return Captioner(engine)
    try:
        from cutline.inference.torch import TorchEngine
    except ImportError:
        raise ModelError(
            f"{path} has no up-to-date model.onnx: run `cutline export {path}` where it was trained"
        ) from None
    return Captioner(TorchEngine.open(path, device=device))


def _open(
    scheme: str,
    name: str,
    threads: int | None,
    device: str,
    prompt: str | None,
    timeout: float | None,
) -> Engine:
    """The engine of a model of another project, or of one of ours on the hub."""
    if scheme in ("openai", "ollama"):
        from cutline.engines.server import open_server

        return open_server(scheme, name, prompt=prompt, concurrent=threads, seconds=timeout)
    if scheme == "onnx":
        from cutline.engines.onnx_pair import open_pair

        return open_pair(name, threads=threads)
    from cutline.engines.hub import LIBRARY, Repository, needs

    repository = Repository.of(name)
    if repository.read_table("config.json").get("model_type") == LIBRARY:
        file = repository.find("model.onnx")
        if file is None:
            raise ModelError(f"{repository.name} has no model.onnx")
        return OnnxEngine(file, threads=threads)
    with needs("transformers", "hf"):
        from cutline.engines.transformers import TransformersEngine
    return TransformersEngine(repository, device=device, prompt=prompt)


def _answer(
    engine: Engine, batch: list[Decoded], best: int, style: Style
) -> list[Caption | ImageError]:
    readable = [picture for picture in batch if isinstance(picture, np.ndarray)]
    captions = iter(engine.caption(readable, best=best, style=style) if readable else ())
    return [p if isinstance(p, ImageError) else next(captions) for p in batch]


def _or_raise(answer: Caption | ImageError) -> Caption:
    if isinstance(answer, ImageError):
        raise answer
    return answer


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of the weights in a folder's card."""
    try:
        return json.loads((folder / "card.json").read_text(encoding="utf8")).get("fingerprint")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
