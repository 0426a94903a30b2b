"""Pictures in, Arrow columns out: the one class that every engine runs."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from cutline.errors import ImageError
from cutline.images.load import Source
from cutline.inference.captioner import Captioner, load
from cutline.inference.library import describe_model
from cutline.io.tables import import_parquet
from cutline.text.style import UNCONSTRAINED, Style
from cutline.types import Caption, leave_out_unsure


def caption_schema() -> Any:
    """The columns, as a `pyarrow.Schema`; the same for every batch, even if all values are null."""
    arrow, _ = import_parquet()
    concept = arrow.struct([("noun", arrow.string()), ("probability", arrow.float64())])
    kinds = {
        "caption": arrow.string(),
        "confidence": arrow.float64(),
        "log_prob": arrow.float64(),
        "concepts": arrow.list_(concept),
        "left_out": arrow.string(),
        "error": arrow.string(),
        "model": arrow.string(),
    }
    return arrow.schema(list(kinds.items()))


class CaptionColumns:
    """Captions batches of pictures on one core; the result is a `pyarrow.Table`.

    A picture is a path, bytes, an open file, or a dictionary with `bytes` or `path` (as Hugging
    Face's `datasets` stores it). Exactly one of `caption`, `left_out` and `error` is not null. The
    model is loaded by the first batch, so that an instance can be sent to other processes.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        style: Style = UNCONSTRAINED,
        min_confidence: float = 0.0,
    ) -> None:
        self._options = (model, style, min_confidence)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._options

    @cached_property
    def captioner(self) -> Captioner:
        """The captioner. Raises `ModelError`."""
        return load(self._options[0], threads=1)

    @cached_property
    def model(self) -> str:
        """Name and fingerprint of the model, as in the column `model`."""
        about = describe_model(self.captioner)
        return f"{about['name']} ({about['fingerprint']})"

    def describe_request(self) -> dict[str, Any]:
        """What rows depend on besides the picture, for JSON: the model and the options."""
        _, style, min_confidence = self._options
        about = describe_model(self.captioner)
        return {"model": about, "style": style.as_json(), "min_confidence": min_confidence}

    def __call__(self, pictures: Iterable[Any]) -> Any:
        """A row of `caption_schema` for each picture, in order; takes Arrow arrays, too."""
        arrow, _ = import_parquet()
        _, style, _ = self._options
        each = pictures.to_pylist() if hasattr(pictures, "to_pylist") else pictures
        answers = self.captioner.caption_each(map(_as_source, each), style=style)
        return arrow.Table.from_pylist(list(map(self._as_row, answers)), caption_schema())

    def _as_row(self, answer: Caption | ImageError) -> dict[str, Any]:
        if isinstance(answer, ImageError):
            return {"error": str(answer), "model": self.model}
        _, _, min_confidence = self._options
        return {**leave_out_unsure(answer.as_json(), min_confidence), "model": self.model}


def _as_source(picture: Any) -> Source:
    """A path, bytes or an open file; none counts as an empty file, which has an error."""
    if isinstance(picture, Mapping):
        picture = picture.get("bytes") or picture.get("path")
    return b"" if picture is None else picture
