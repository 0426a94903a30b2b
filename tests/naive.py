"""Slow and obvious answers that the fast code must match."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD, START, END, UNKNOWN = range(4)


def every_caption(decoder, regions: Tensor, max_words: int) -> dict[tuple[int, ...], float]:
    """Every caption there is of one picture, its end marker included, with its log-probability."""
    words = range(UNKNOWN + 1, decoder.vocabulary_size)
    ended = [(*c, END) for n in range(max_words) for c in itertools.product(words, repeat=n)]
    cut_off = itertools.product(words, repeat=max_words)
    return {c: log_prob(decoder, regions, c) for c in (*ended, *cut_off)}


def log_prob(decoder, regions: Tensor, caption: tuple[int, ...]) -> float:
    (picture, state, _), total, last = decoder.start(regions, 20), 0.0, START
    for word in caption:
        log_probs, _, state = decoder.step(torch.tensor([last]), picture, state)
        total, last = total + float(log_probs[0, word]), word
    return total


def resnet(tensors: dict[str, Tensor], pixels: Tensor, depth: int, stride_on: str) -> Tensor:
    """A ResNet written without modules, straight from table 1 of the paper: the last grid."""

    def convolve(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = tensors[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def normalise(x: Tensor, name: str) -> Tensor:
        mean, variance = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
        scale = tensors[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
        shift = tensors[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def block(x: Tensor, name: str, stride: int) -> Tensor:
        strides = {"basic": (stride, 1), "1x1": (stride, 1, 1), "3x3": (1, stride, 1)}
        change = x
        for i, s in enumerate(strides["basic" if depth < 50 else stride_on], 1):
            change = normalise(convolve(change, f"{name}.conv{i}", s), f"{name}.bn{i}")
            last = i == (2 if depth < 50 else 3)
            change = change if last else change.clamp(min=0)
        if f"{name}.downsample.0.weight" in tensors:
            x = normalise(convolve(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return (x + change).clamp(min=0)

    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x = convolve((pixels / 255 - mean) / std, "conv1", 2)
    x = functional.max_pool2d(normalise(x, "bn1").clamp(min=0), 3, 2, 1)
    counts = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    for layer, count in enumerate(counts, 1):
        for i in range(count):
            x = block(x, f"layer{layer}.{i}", 2 if layer > 1 and i == 0 else 1)
    return x


def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give every tensor of a network some value that is not its default."""
    chance = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.8, 1.2, generator=chance)
        elif name.endswith(".weight") and tensor.ndim == 1:
            tensor.uniform_(0.2, 0.3, generator=chance)  # keeps deep networks from exploding
        elif tensor.ndim == 1:
            tensor.normal_(std=0.1, generator=chance)
    return module
