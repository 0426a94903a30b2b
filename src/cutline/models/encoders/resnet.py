"""Deep Residual Learning (He et al. 2016, arXiv 1512.03385): ResNet-18, 34, 50, 101 and 152.

The tensors have torchvision's names, so that any torchvision checkpoint fits. `stride_on` says
where a bottleneck block halves the picture: on its first 1x1 convolution, as in the paper and in
Keras and Caffe weights ("v1"), or on the 3x3 one, as in torchvision ("v1.5").
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from cutline.errors import RecipeError

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
MEAN = (0.485, 0.456, 0.406)
EPSILON = 1e-5
STD = (0.229, 0.224, 0.225)
NORM_AFTER = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "0": "1"}
"""Which normalisation follows which convolution, in a block and in a shortcut."""
StrideOn = Literal["1x1", "3x3"]


class ResNet(nn.Module):
    """A residual network without its classifier: the picture as a grid of regions.

    With `pool` the grid is averaged into one region, which is all that Show and Tell reads. A
    `folded` network has biases in place of its batch normalisations: for a frozen encoder the same
    function, smaller and faster.
    Raises `RecipeError` for a depth that does not exist.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        depth: int = 50,
        *,
        stride_on: StrideOn = "3x3",
        pool: bool = False,
        folded: bool = False,
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            known = ", ".join(map(str, BLOCKS))
            raise RecipeError(f"there is no ResNet-{depth}; there are {known}")
        self.pool, self.folded = pool, folded
        if depth < 50:
            block: Callable[..., nn.Module] = partial(Basic, folded=folded)
            growth = 1
        else:
            block = partial(Bottleneck, stride_on=stride_on, folded=folded)
            growth = 4
        first, second, third, fourth = BLOCKS[depth]
        self.width = 512 * growth

        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=folded)
        self.bn1 = _norm(64, folded)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, 64, 64, growth, first, stride=1)
        self.layer2 = _stage(block, 64 * growth, 128, growth, second, stride=2)
        self.layer3 = _stage(block, 128 * growth, 256, growth, third, stride=2)
        self.layer4 = _stage(block, 256 * growth, 512, growth, fourth, stride=2)

        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)
        self.apply(_initialise)

    def forward(
        self, pixels: Float[Tensor, "rows 3 height across"] | UInt8[Tensor, "rows 3 height across"]
    ) -> Float[Tensor, "rows regions width"]:
        """The regions from the top left, line by line; `pixels` are RGB between 0 and 255."""
        x = (pixels - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        regions = x.flatten(2).transpose(1, 2)
        return regions.mean(dim=1, keepdim=True) if self.pool else regions

    @property
    def stages(self) -> list[nn.Module]:
        """What a picture goes through, first to last, as far as it can be learnt by parts."""
        stem = nn.ModuleList([self.conv1, self.bn1])
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of a checkpoint is this encoder's: no classifier, and folded if it is.

        An exported graph also names the constants that every picture is normalised with.
        """
        foreign = ("fc.weight", "fc.bias", "mean", "std")
        own = {name: tensor for name, tensor in tensors.items() if name not in foreign}
        return fold(own) if self.folded and "bn1.weight" in own else own


def fold(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network without batch normalisation: its scale and shift go into the convolutions.

    With the running mean m and variance v of the training data, gamma (Wx - m) / sqrt(v + eps) +
    beta is itself a convolution with a bias (Ioffe & Szegedy 2015, section 3.1).
    """
    folded = {}
    for name, weight in tensors.items():
        if weight.ndim == 4:
            convolution = name.removesuffix(".weight")
            before, _, last = convolution.rpartition(".")
            norm = f"{before}.{NORM_AFTER[last]}".removeprefix(".")
            gamma, beta = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
            mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
            scale = gamma / (variance + EPSILON).sqrt()
            folded[f"{convolution}.weight"] = weight * scale[:, None, None, None]
            folded[f"{convolution}.bias"] = beta - mean * scale
    return folded


class Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut (figure 5, left)."""

    def __init__(self, entry: int, width: int, stride: int, folded: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entry, width, 3, stride=stride, padding=1, bias=folded)
        self.bn1 = _norm(width, folded)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=folded)
        self.bn2 = _norm(width, folded)
        self.relu2 = nn.ReLU()
        self.downsample = _shortcut(entry, width, stride, folded)

    def forward(self, x: Float[Tensor, "rows entry high wide"]) -> Float[Tensor, "rows out h w"]:
        """The input, changed by what the convolutions found."""
        change = self.relu1(self.bn1(self.conv1(x)))
        change = self.bn2(self.conv2(change))
        return self.relu2(change + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones, beside a shortcut (figure 5, right)."""

    def __init__(
        self, entry: int, width: int, stride: int, stride_on: StrideOn, folded: bool
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(entry, width, 1, stride=first, bias=folded)
        self.bn1 = _norm(width, folded)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=folded)
        self.bn2 = _norm(width, folded)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=folded)
        self.bn3 = _norm(4 * width, folded)
        self.relu3 = nn.ReLU()
        self.downsample = _shortcut(entry, 4 * width, stride, folded)

    def forward(self, x: Float[Tensor, "rows entry high wide"]) -> Float[Tensor, "rows out h w"]:
        """The input, changed by what the convolutions found."""
        change = self.relu1(self.bn1(self.conv1(x)))
        change = self.relu2(self.bn2(self.conv2(change)))
        change = self.bn3(self.conv3(change))
        return self.relu3(change + self.downsample(x))


def _stage(
    block: Callable[..., nn.Module], entry: int, width: int, growth: int, count: int, *, stride: int
) -> nn.Sequential:
    """`count` blocks of one width, of which the first may halve the picture."""
    rest = [block(width * growth, width, 1) for _ in range(count - 1)]
    return nn.Sequential(block(entry, width, stride), *rest)


def _shortcut(entry: int, width: int, stride: int, folded: bool) -> nn.Module:
    if entry == width and stride == 1:
        return nn.Identity()
    convolution = nn.Conv2d(entry, width, 1, stride=stride, bias=folded)
    return nn.Sequential(convolution, _norm(width, folded))


def _norm(width: int, folded: bool) -> nn.Module:
    return nn.Identity() if folded else nn.BatchNorm2d(width, eps=EPSILON)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
