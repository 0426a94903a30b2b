"""The captioner: pictures in, captions out.

It calls an `Engine` and does not depend on any network.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from itertools import chain, islice
from math import isfinite, isqrt
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cutline.errors import ImageError, ModelError
from cutline.images.load import Readable, Source, View
from cutline.images.prefetch import Decoded, Undecoded, batches_of, decode, decode_ahead, in_order
from cutline.inference.calibration import Calibration, weigh_evidence
from cutline.inference.fallback import finish, shorten
from cutline.inference.onnx import OnnxEngine
from cutline.text.style import UNCONSTRAINED, Style
from cutline.text.tokenizer import join_words
from cutline.text.vocabulary import PAD, Vocabulary
from cutline.types import Caption, Concept, Written

PACKAGED = Path(str(files("cutline.inference"))) / "pretrained" / "captioner.onnx"
"""The model in the package."""

BATCH = 8

Picture = TypeVar("Picture", bound=Source)
"""The kind of the pictures of a list: `list[Path]` is no `list[Source]`."""
_ONE = (str, PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray, Readable)


@runtime_checkable
class Engine(Protocol):
    """Anything that captions pixels, with the vocabulary and the view that it was trained with."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The words by id."""

    @property
    def view(self) -> View:
        """How pictures become pixels."""

    @property
    def card(self) -> Mapping[str, Any]:
        """The model card: training data, scores, calibration."""

    @property
    def workers(self) -> int:
        """How many concurrent calls pay off when there are many pictures."""

    @property
    def on_one_core(self) -> "Engine":
        """The same engine for concurrent calls, each of which uses one core."""

    def write(self, pixels: NDArray[np.uint8], style: Style = UNCONSTRAINED) -> Written:
        """Caption pixels of shape (rows, size, size, 3) under the constraints of a style."""


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
    def threshold(self) -> float:
        """The confidence from which on three of four captions are right; 0 if it is not known."""
        return _threshold(self.card, "calibration")

    @property
    def refusal_threshold(self) -> float:
        """The probability of a photograph below which a picture gets no caption; 0 for none."""
        return _threshold(self.card, "refusal")

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
        remaining = iter(pictures)
        first = list(islice(remaining, BATCH + 1))
        pictures, engine = chain(first, remaining), self.engine
        if len(first) <= BATCH or engine.workers == 1:
            for batch in decode_ahead(pictures, engine.view, batch=BATCH):
                yield from self._write(engine, batch, best, style)
            return
        single, workers = engine.on_one_core, engine.workers

        def answer(batch: list[Undecoded]) -> list[Caption | ImageError]:
            return self._write(single, decode(batch), best, style)

        batches = batches_of(pictures, engine.view, batch=BATCH)
        for answers in in_order(answer, batches, workers=workers):
            yield from answers

    def _write(
        self, engine: Engine, batch: list[Decoded], best: int, style: Style
    ) -> list[Caption | ImageError]:
        readable = [picture for picture in batch if isinstance(picture, np.ndarray)]
        captions = iter(self._read(engine, np.stack(readable), best, style) if readable else [])
        return [p if isinstance(p, ImageError) else next(captions) for p in batch]

    def _read(
        self, engine: Engine, pixels: NDArray[np.uint8], best: int, style: Style
    ) -> list[Caption]:
        captions = self._find(engine, pixels, best, style.without_length_limit)
        long = [n for n, caption in enumerate(captions) if not style.is_short_enough(caption.text)]
        english = self.engine.vocabulary.is_english
        shorter = self._find(engine, pixels[long], None, style) if long else []
        for place, caption in zip(long, shorter, strict=True):
            caption = shorten(caption, style) if english else caption
            captions[place] = replace(caption, alternatives=caption.alternatives[: best - 1])
        least = self.refusal_threshold
        return [
            finish(c, style, photograph=least, min_confidence=self.threshold, english=english)
            for c in captions
        ]

    def _find(
        self, engine: Engine, pixels: NDArray[np.uint8], best: int | None, style: Style
    ) -> list[Caption]:
        """The best candidates of each picture, or all of them."""
        written = engine.write(pixels, style)
        candidates = written.words.shape[1]
        best = candidates if best is None else best
        if not 1 <= best <= candidates:
            raise ModelError(
                f"this model produces {candidates} candidates per picture: choose a number from 1 "
                f"to {candidates}"
            )
        calibration = Calibration.from_card(self.card)
        return captions_of(written, self.engine.vocabulary, best=best, calibration=calibration)


def load(
    model: str | Path | None = None, *, threads: int | None = None, device: str = "auto"
) -> Captioner:
    """Load the built-in model, a one-file model or a model folder.

    A folder is run from its `model.onnx`, without torch; by torch if that is missing or older than
    the weights, or if `device` names an accelerator (`cuda`, `cuda:1`, `mps`). Raises `ModelError`
    when there is no model that runs there.
    """
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


def captions_of(
    written: Written,
    vocabulary: Vocabulary,
    *,
    best: int = 1,
    calibration: Calibration | None = None,
) -> list[Caption]:
    """A caption for each row of an engine's output, with `best` - 1 alternatives."""
    captions = []
    for row, scores in enumerate(written.scores):
        candidates = (
            _read_candidate(written, row, candidate, vocabulary)
            for candidate in range(best)
            if candidate == 0 or scores[candidate] > -np.inf
        )
        if calibration is not None:
            candidates = (_weigh(candidate, calibration) for candidate in candidates)
        first, *others = candidates
        captions.append(replace(first, alternatives=tuple(others)))
    return captions


def _threshold(card: Mapping[str, Any], part: str) -> float:
    """The threshold in a part of a card, which is untrusted input; 0 if it has none."""
    entry = card.get(part)
    share = entry.get("threshold") if isinstance(entry, Mapping) else None
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0


def _or_raise(answer: Caption | ImageError) -> Caption:
    if isinstance(answer, ImageError):
        raise answer
    return answer


def _read_candidate(written: Written, row: int, candidate: int, vocabulary: Vocabulary) -> Caption:
    ids = written.words[row, candidate]
    words = vocabulary.decode(ids.tolist())
    each = tuple(float(value) for value in written.log_probs[row, candidate][ids != PAD])
    if not isfinite(sum(each)):  # from NaN weights; JSON has no NaN
        raise ModelError("this model's probabilities are not finite: its weights are damaged")
    gaze, photograph = None, None
    if written.gaze is not None:
        looked = written.gaze[row, candidate][ids != PAD]
        gaze = looked.reshape(len(looked), isqrt(looked.shape[1]), -1)
    if written.photograph is not None:
        photograph = float(written.photograph[row])
    concepts = _read_concepts(written, row, vocabulary)
    text = join_words(words)
    return Caption(
        text, words, sum(each), each, gaze=gaze, concepts=concepts, photograph=photograph
    )


def _read_concepts(written: Written, row: int, vocabulary: Vocabulary) -> tuple[Concept, ...]:
    if written.concepts is None or written.chances is None:
        return ()
    nouns = (vocabulary.words[place] for place in written.concepts[row].tolist())
    return tuple(map(Concept, nouns, written.chances[row].tolist()))


def _weigh(caption: Caption, calibration: Calibration) -> Caption:
    return replace(caption, chance=float(calibration.confidence([weigh_evidence(caption)])[0]))


def _fingerprint_of(folder: Path) -> str | None:
    """The fingerprint of the weights in a folder's card."""
    try:
        return json.loads((folder / "card.json").read_text(encoding="utf8")).get("fingerprint")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
