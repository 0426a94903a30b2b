"""A captioner is an encoder and a decoder; its weights are read without executing code.

`read_tensors` opens safetensors files, torchvision's `.pth` and cutline's own ONNX files.
`load_weights` copies tensors into a module and names every tensor that is missing or unexpected.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import onnx
import torch
from jaxtyping import Float, Int, UInt8
from onnx.numpy_helper import to_array
from safetensors.torch import load_file
from torch import Tensor, nn

from cutline.errors import ModelError
from cutline.models.concepts import DecoderInput

Pixels = UInt8[Tensor, "rows 3 height across"] | Float[Tensor, "rows 3 height across"]
Seen = Pixels | Float[Tensor, "rows regions width"] | DecoderInput


@runtime_checkable
class Encoder(Protocol):
    """Anything that turns pixels into regions; `width` is the length of their feature vectors."""

    width: int

    def __call__(self, pixels: Pixels) -> Float[Tensor, "rows regions width"]:
        """Encode images; `pixels` are RGB between 0 and 255."""


class CaptionModel(nn.Module):
    """An encoder and a decoder: images and words in, log-probabilities of the next words out."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(
        self, seen: Seen, words: Int[Tensor, "captions time"]
    ) -> Float[Tensor, "captions time vocabulary"]:
        """Score whole captions, as in training.

        For cached features, `encoder` is `nn.Identity` and `seen` holds the regions.
        """
        return self.decoder(self.encoder(seen), words)

    def train(self, mode: bool = True) -> "CaptionModel":
        """Set the decoder's mode; the encoder stays in eval mode and keeps its batch statistics."""
        super().train(mode)
        self.encoder.eval()
        return self


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's named tensors, in single precision; `ModelError` if it is not such a file."""
    try:
        if path.suffix == ".onnx":
            return _read_onnx(path)
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"there are no weights at {path}") from None
    except Exception as error:  # for damaged files the readers raise almost anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} is not a safe file of weights: {reason}") from None
    if not isinstance(tensors, Mapping) or not all(map(torch.is_tensor, tensors.values())):
        raise ModelError(f"{path} holds something other than named tensors")
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], origin: Path | str) -> None:
    """Copy tensors into a module; names and shapes must match exactly.

    A module may define `own_tensors` to select its tensors from a checkpoint (without the
    classifier, for example). The counters of batch normalisation are ignored.

    Raises `ModelError` that names `origin` and the tensors that do not match.
    """
    own = _without_counters(module.state_dict())
    given = _without_counters(getattr(module, "own_tensors", dict)(tensors))
    if missing := own.keys() - given.keys():
        raise ModelError(f"{origin} lacks {_count(missing)} this network has: {_some(missing)}")
    if unexpected := given.keys() - own.keys():
        raise ModelError(
            f"{origin} has {_count(unexpected)} this network lacks: {_some(unexpected)}"
        )
    for name, tensor in own.items():
        if tensor.shape != given[name].shape:
            shapes = f"{list(given[name].shape)}, but this network's is {list(tensor.shape)}"
            raise ModelError(f"{origin}: the shape of {name} is {shapes}")
    module.load_state_dict(given, strict=False)


def extend_vocabulary(
    tensors: Mapping[str, Tensor], module: nn.Module, words: int
) -> dict[str, Tensor]:
    """Extend a decoder's tensors to a vocabulary of `words` words.

    Every tensor with a row for each word gets new rows that are the mean of the others (Hewitt
    2021, "Initializing new word embeddings for pretrained language models"), so that at first a new
    word is about as likely as an average one. `module` is the decoder with the new vocabulary.
    """
    own = module.state_dict()

    def with_rows(name: str, tensor: Tensor) -> Tensor:
        new = words - len(tensor) if tensor.ndim else 0
        if new <= 0 or name not in own or own[name].shape != (words, *tensor.shape[1:]):
            return tensor
        return torch.cat([tensor, tensor.mean(dim=0, keepdim=True).expand(new, *tensor.shape[1:])])

    return {name: with_rows(name, tensor) for name, tensor in tensors.items()}


def add_missing_tensors(
    tensors: Mapping[str, Tensor], module: nn.Module, origin: Path | str
) -> tuple[dict[str, Tensor], list[str]]:
    """Add `module`'s own tensors where `tensors` has none; returns all, and the names of the added.

    Raises `ModelError` if `tensors` has any that `module` lacks.
    """
    own = _without_counters(module.state_dict())
    foreign = _without_counters(tensors).keys() - own.keys()
    if foreign:
        raise ModelError(f"{origin} has {_count(foreign)} this network lacks: {_some(foreign)}")
    new = [name for name in own if name not in tensors]
    return {**{name: own[name] for name in new}, **tensors}, new


def unfreeze(encoder: nn.Module, *, stages: int) -> None:
    """Unfreeze the last `stages` stages of an encoder and freeze the rest.

    Raises `ModelError` if it has fewer stages.
    """
    encoder.requires_grad_(False)
    known: Sequence[nn.Module] = getattr(encoder, "stages", ())
    if not 0 <= stages <= len(known):
        raise ModelError(
            f"training.unfrozen_stages is {stages}, but this encoder has {len(known)} stages"
        )
    for stage in known[len(known) - stages :]:
        stage.requires_grad_(True)


def part_of(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, `encoder` or `decoder`, without the part's prefix."""
    start = part + "."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def fingerprint(module: nn.Module) -> str:
    """The SHA-256 of a module's tensors and their names, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_without_counters(module.state_dict()).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """The weights in an exported model under their original names, in single precision."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {t.name: torch.from_numpy(to_array(t).copy()) for t in graph.initializer}
    widened = {}
    for name, tensor in weights.items():
        own, _, kind = name.rpartition(".")
        if not name.startswith(("encoder.", "decoder.")):
            continue
        if kind in ("int8", "int32"):
            scale = weights[f"{own}.scale"]
            widened[own] = tensor * scale.view(-1, *[1] * (tensor.ndim - 1))
        elif f"{own}.int8" not in weights and f"{own}.int32" not in weights:
            widened[own if kind == "fp16" else name] = tensor.float()
    return widened


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (", ..." if len(names) > len(first) else "")


def _count(names: set[str]) -> str:
    return f"{len(names)} tensor{'s' * (len(names) > 1)} that"


@torch.inference_mode()
def encode(
    encoder: nn.Module, pictures: np.ndarray, precision: str = "no"
) -> Float[Tensor, "rows regions width"]:
    """Encode images of shape (rows, height, width, 3); the regions are in single precision.

    `precision` is what the encoder computes in: `no` (single), `bf16` or `fp16`. On processors with
    support for it, bf16 is three times as fast.
    """
    device = next(chain(encoder.parameters(), encoder.buffers()), torch.empty(0)).device
    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)  # a channels-last view
    kind = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    with torch.autocast(device.type, kind, enabled=precision != "no"):
        return encoder(pixels).float().cpu()


def cross_entropy(
    log_probs: Float[Tensor, "rows time vocabulary"],
    words: Int[Tensor, "rows time"],
    *,
    pad: int = 0,
    smoothing: float = 0.0,
    weights: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the words in nats, padding excluded.

    With label smoothing (Szegedy et al. 2016, arXiv 1512.00567, section 7) the fraction `smoothing`
    of the target is spread evenly over the vocabulary. `weights` are the weights of the rows.
    """
    total, count = sum_cross_entropy(
        log_probs, words, pad=pad, smoothing=smoothing, weights=weights
    )
    return total / count


def sum_cross_entropy(
    log_probs: Float[Tensor, "rows time vocabulary"],
    words: Int[Tensor, "rows time"],
    *,
    pad: int = 0,
    smoothing: float = 0.0,
    weights: Float[Tensor, " rows"] | None = None,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """The numerator and the denominator of `cross_entropy`: a sum, and the number of words."""
    is_word = words != pad
    loss = -log_probs.gather(-1, words[..., None]).squeeze(-1)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * log_probs.mean(dim=-1)
    if weights is not None:
        loss = loss * weights[:, None]
    return torch.where(is_word, loss, 0.0).sum(), is_word.sum()
