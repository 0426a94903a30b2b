"""Exports a model to one ONNX file: pixels in, captions out, for use from any language.

Inputs  `pixels`     uint8 (rows, size, size, 3), RGB
        `avoid`      bool (vocabulary): words that must not occur; optional
        `max_chars`  int64 (): the largest number of characters of a caption; optional
Outputs `words`      int64 (rows, candidates, time): token ids, the best candidate first
        `log_probs`  float (rows, candidates, time): of each word, given those before it
        `scores`     float (rows, candidates): the ranking scores of the candidates
        `gaze`       float (rows, candidates, time, regions): attention weights
        `concepts`   int64 (rows, concepts): predicted nouns as token ids; the first is always
                     `person`
        `chances`    float (rows, concepts): their probabilities
        `photograph` float (rows): the probability that the image is a photograph

The last three exist only if the decoder has concepts. The graph contains the encoder with its
input normalisation, the decoder, and the search traced from `search.py`. Vocabulary, view, recipe
and card are in the file's metadata, so it needs no other file.
"""

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from jaxtyping import Bool, Int, UInt8, config
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from cutline.errors import ModelError
from cutline.images.load import View
from cutline.images.prefetch import decode_ahead
from cutline.io.atomic import atomic_write
from cutline.models.checkpoint import Checkpoint, build
from cutline.models.concepts import predict_concepts
from cutline.models.onnx_format import FORMAT
from cutline.models.quantization import SMALL, quantise
from cutline.models.search import Limits, can_limit_length
from cutline.models.weights import CaptionModel, load_weights, part_of
from cutline.recipe import Recipe
from cutline.text.style import UNCONSTRAINED
from cutline.types import Example, Report, Written

Precision = Literal["fp32", "fp16", "int8"]
EXPORTER = "2.13"
"""The oldest torch whose exporter is known to convert the search loop correctly."""
CALIBRATION_IMAGES = 128
"""Images used to measure the ranges of activations for 8 bits."""
AT_ONCE = 4
"""Images in a batch; all their activations are in memory at the same time."""


class WholeCaptioner(nn.Module):
    """Encoder, decoder and search as one module."""

    def __init__(self, model: CaptionModel, recipe: Recipe, lengths: list[int]) -> None:
        super().__init__()
        self.encoder, self.decoder = model.encoder, model.decoder
        self.search, self.lengths = recipe.partial("search"), torch.tensor(lengths)

    def forward(
        self,
        pixels: UInt8[Tensor, "rows height across 3"],
        avoid: Bool[Tensor, " vocabulary"],
        max_chars: Int[Tensor, ""],
    ) -> tuple[Tensor, ...]:
        """The fields of `search.SearchResult`, then the concepts, where the decoder has any."""
        regions = self.encoder(pixels.permute(0, 3, 1, 2).float())
        limits = Limits(avoid, self.lengths, max_chars)
        found = self.search(self.decoder, regions, limits=limits)
        named = predict_concepts(self.decoder, regions) or ()
        return (*found, *named)


def export(
    checkpoint: Checkpoint,
    path: Path,
    *,
    precision: Precision = "fp32",
    pixels: Iterable[NDArray[np.uint8]] = (),
) -> None:
    """Write a one-file model.

    With `fp16` weights are stored in half precision and computed with in single precision. With
    `int8` the graph computes in 8 bits, with ranges measured on `pixels`, batches of training
    images (`calibration_batches`).

    Raises `ModelError` for `int8` without `pixels`, if torch is too old, or if `path` cannot be
    written.
    """
    batches = list(pixels) if precision == "int8" else []
    if precision == "int8" and not batches:
        raise ModelError("8 bits need pictures to measure ranges on; give the training data")
    if (version := TorchVersion(torch.__version__)) < EXPORTER:
        raise ModelError(f"export needs torch {EXPORTER} or newer, but this is {version}")
    if not path.parent.is_dir():
        raise ModelError(f"{path} cannot be written: there is no folder {path.parent}")
    checkpoint = _fold(checkpoint)
    model, recipe = build(checkpoint), checkpoint.recipe
    whole = WholeCaptioner(model, recipe, checkpoint.vocabulary.lengths).eval()
    view = recipe.build("view")
    graph = _trace(whole, view)
    _keep_all(graph, model)
    if precision == "int8":
        quantise(graph, batches)
    if precision != "fp32":
        halve_weights(graph)
    card = {n: told for n, told in checkpoint.card.items() if n != "precision_cost"}
    metadata = {
        "format": FORMAT,
        "vocabulary": "\n".join(checkpoint.vocabulary.words),
        "view": json.dumps(view.as_dict()),
        "recipe": json.dumps(recipe.as_json()),
        "card": json.dumps({**card, "precision": precision}),
    }
    set_metadata(graph, metadata)
    onnx.checker.check_model(graph)
    with atomic_write(path) as file:
        onnx.save(graph, file)


def calibration_batches(
    checkpoint: Checkpoint, sets: Sequence[Sequence[Example]]
) -> Iterator[NDArray[np.uint8]]:
    """Batches of images, as many of each set, evenly spaced in it, (images, size, size, 3)."""
    view = checkpoint.recipe.build("view")
    images: list[Path] = []
    for examples in sets:
        most = min(CALIBRATION_IMAGES // len(sets), len(examples))
        places = np.linspace(0, len(examples) - 1, most).astype(int)
        images += [examples[place].image for place in places]
    for batch in decode_ahead(iter(images), view, batch=AT_ONCE):
        readable = [picture for picture in batch if isinstance(picture, np.ndarray)]
        if readable:
            yield np.stack(readable)


def _fold(checkpoint: Checkpoint) -> Checkpoint:
    """Fold batch normalisations, whose tensors the exporter would merge and rename."""
    table = checkpoint.recipe.as_json()
    if table["encoder"].get("folded", True):
        return checkpoint
    recipe = Recipe.of({**table, "encoder": {**table["encoder"], "folded": True}}, trust=True)
    encoder = recipe.build("encoder")
    load_weights(encoder, part_of(checkpoint.tensors, "encoder"), "the checkpoint")
    folded = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    kept = {n: t for n, t in checkpoint.tensors.items() if not n.startswith("encoder.")}
    return replace(checkpoint, recipe=recipe, tensors={**kept, **folded})


def record_scores(path: Path, split: str, report: Report) -> None:
    """Write the scores of a split into the card of a one-file model."""
    scores = _card_of(onnx.load(path)).get("scores", {})
    record(path, {"scores": {**scores, split: report.as_json()}})


def record(path: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to the card of a one-file model, replacing those of the same names."""
    graph = onnx.load(path)
    set_metadata(graph, {"card": json.dumps({**_card_of(graph), **entries})})
    with atomic_write(path) as file:
        onnx.save(graph, file)


def _card_of(graph: onnx.ModelProto) -> dict[str, Any]:
    card: dict[str, Any] = json.loads({e.key: e.value for e in graph.metadata_props}["card"])
    return card


def set_metadata(graph: onnx.ModelProto, metadata: dict[str, str]) -> None:
    """Add metadata to a graph, replacing entries of the same names."""
    kept = {entry.key: entry.value for entry in graph.metadata_props}
    del graph.metadata_props[:]
    helper.set_model_props(graph, {**kept, **metadata})


def halve_weights(graph: onnx.ModelProto) -> None:
    """Store large weights in half precision, with casts to single precision in the graph.

    The scales of quantised weights are kept: the smallest are below the range of half precision.
    """
    widen = []
    for tensor in list(graph.graph.initializer):
        values = numpy_helper.to_array(tensor)
        scale = tensor.name.endswith(".scale")
        if values.dtype == np.float32 and values.size > SMALL and not scale:
            graph.graph.initializer.remove(tensor)
            half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.fp16")
            graph.graph.initializer.append(half)
            cast = helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT)
            widen.append(cast)
    nodes = [*widen, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def _trace(whole: WholeCaptioner, view: View) -> onnx.ModelProto:
    pixels = torch.zeros(2, view.size, view.size, 3, dtype=torch.uint8)
    free = {
        "avoid": torch.zeros(len(whole.lengths), dtype=torch.bool),
        "max_chars": torch.tensor(UNCONSTRAINED.longest),
    }
    names = hasattr(whole.decoder, "concepts")
    with _quiet_exporter(), _unchecked():
        program = torch.onnx.export(
            whole,
            (pixels, *free.values()),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("rows", min=1, max=4096)}, None, None),
            input_names=["pixels", *free],
            output_names=list(Written._fields if names else Written._fields[:4]),
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    rows = graph.graph.input[0].type.tensor_type.shape.dim[0]
    if not rows.dim_param:  # happens if a decoder calls len() on a tensor
        raise ModelError(f"the graph would accept only batches of {rows.dim_value} pictures")
    for name, value in free.items():  # the default of an optional input
        graph.graph.initializer.append(numpy_helper.from_array(value.numpy(), name))
    if not can_limit_length(whole.search):
        del graph.graph.input[-1]  # this search cannot limit a caption's length
    return graph


def _keep_all(graph: onnx.ModelProto, model: nn.Module) -> None:
    """Keep weights that the exporter removed (a bias of zeros), so that models can be read back."""
    present = {tensor.name for tensor in graph.graph.initializer}
    for name, tensor in model.state_dict().items():
        if name not in present:
            graph.graph.initializer.append(numpy_helper.from_array(tensor.numpy(), name))


@contextmanager
def _unchecked() -> Iterator[None]:
    """Disable jaxtyping's shape checks, which would become part of the graph."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's warnings about torchvision and about its own future changes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
