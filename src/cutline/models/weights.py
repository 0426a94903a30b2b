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
    """Anything that turns pixels into regions of a declared width."""

    width: int

    def __call__(self, pixels: Pixels) -> Float[Tensor, "rows regions width"]:
        """Look at the pictures: RGB between 0 and 255."""


class CaptionModel(nn.Module):
    """Pixels and the words so far in, log-probabilities of the next word out."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(
        self, seen: Seen, words: Int[Tensor, "captions time"]
    ) -> Float[Tensor, "captions time vocabulary"]:
        """Score whole captions, as in training; what is stored is seen through `nn.Identity`."""
        return self.decoder(self.encoder(seen), words)

    def train(self, mode: bool = True) -> "CaptionModel":
        """The encoder's batch statistics stay those of its first training, also while it learns."""
        super().train(mode)
        self.encoder.eval()
        return self


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a weights file, in single precision; `ModelError` when it has none."""
    try:
        if path.suffix == ".onnx":
            return _read_onnx(path)
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"there are no weights at {path}") from None
    except Exception as error:  # for a file that is none, the readers raise nearly anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(f"{path} is not a safe file of weights: {reason}") from None
    if not isinstance(tensors, Mapping) or not all(map(torch.is_tensor, tensors.values())):
        raise ModelError(f"{path} holds something else than named tensors")
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], origin: Path | str) -> None:
    """Put tensors into a module; every one must be there and fit.

    A module with `own_tensors` takes from a checkpoint what is its own (no classifier, say);
    counters that only training reads are passed over. `ModelError` says what does not fit.
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
    """A decoder's tensors for `words` words, from those of one that knew fewer.

    Every tensor with a row for each word gets rows for the new ones: the mean of all others
    (Hewitt 2021), with which a new word is at first no likelier than an average one.
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
    """A smaller module's tensors beside those that only `module` has, and the names of the latter.

    `ModelError` when the smaller one has any that `module` lacks.
    """
    own = _without_counters(module.state_dict())
    foreign = _without_counters(tensors).keys() - own.keys()
    if foreign:
        raise ModelError(f"{origin} has {_count(foreign)} this network lacks: {_some(foreign)}")
    new = [name for name in own if name not in tensors]
    return {**{name: own[name] for name in new}, **tensors}, new


def unfreeze(encoder: nn.Module, *, stages: int) -> None:
    """Let the last stages of an encoder learn and nothing else of it; `ModelError` when it has
    fewer.
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
    """The tensors of one part of a whole captioner, under the part's own names."""
    start = part + "."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def fingerprint(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's tensors, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_without_counters(module.state_dict()).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """The weights inside an exported captioner under their own names, narrow ones widened."""
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
    """What an encoder sees in pictures of shape (rows, height, across, 3), as single precision.

    With `precision` bf16 or fp16 it computes in that: three times as fast where a processor can.
    """
    device = next(chain(encoder.parameters(), encoder.buffers()), torch.empty(0)).device
    pixels = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)  # channels stay innermost
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
    """Mean negative log-probability of the words, padding left out, in nats a word.

    With label smoothing (Szegedy et al. 2016, section 7) a share `smoothing` of the target is
    spread evenly over the whole vocabulary. `weights` is what the words of each row count.
    """
    written = words != pad
    surprise = -log_probs.gather(-1, words[..., None]).squeeze(-1)
    if smoothing:
        surprise = (1 - smoothing) * surprise - smoothing * log_probs.mean(dim=-1)
    if weights is not None:
        surprise = surprise * weights[:, None]
    return torch.where(written, surprise, 0.0).sum() / written.sum()
