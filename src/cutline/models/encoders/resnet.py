"""ResNet (He et al. 2016, arXiv 1512.03385): deep residual networks of 18 to 152 layers.

A block computes y = F(x) + x (equation 1), or F(x) + Ws x where the shape changes (2); F is two or
three convolutions. After the stem come four stages of such blocks (table 1), of which the last
three halve the resolution, so an image of 224 x 224 pixels becomes a grid of 7 x 7 regions. The
classifier is left out, and so is the average before it unless `pool` is set: attention needs the
grid.

The tensors have torchvision's names, so its checkpoints can be loaded. `stride_on` says which
convolution of a bottleneck block halves the resolution: the first 1x1, as in the paper and in Keras
and Caffe weights ("v1"), or the 3x3, as in torchvision ("v1.5").
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
"""The batch normalisation after each convolution, in the stem, in blocks and in shortcuts."""
StrideOn = Literal["1x1", "3x3"]


class ResNet(nn.Module):
    """A residual network without its classifier: an image in, a grid of regions out.

    With `pool` the grid is averaged to one region, which is all that Show and Tell reads. In a
    `folded` network biases replace the batch normalisations: the same function if the encoder is
    frozen, smaller and faster.

    Raises `RecipeError` for an unknown `depth`.
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
        """The regions, row by row from the top left; `pixels` are RGB between 0 and 255."""
        x = (pixels - self.mean) / self.std
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        regions = x.flatten(2).transpose(1, 2)
        return regions.mean(dim=1, keepdim=True) if self.pool else regions

    @property
    def stages(self) -> list[nn.Module]:
        """The stages in order, the stem first, so that the last ones can be fine-tuned."""
        stem = nn.ModuleList([self.conv1, self.bn1])
        return [stem, self.layer1, self.layer2, self.layer3, self.layer4]

    def own_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint that this network has, folded if the network is.

        The classifier is left out, and so are the constants of the input's normalisation, which
        exported graphs contain.
        """
        foreign = ("fc.weight", "fc.bias", "mean", "std")
        own = {name: tensor for name, tensor in tensors.items() if name not in foreign}
        return fold(own) if self.folded and "bn1.weight" in own else own


def fold(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the batch normalisations of a ResNet's tensors into its convolutions.

    With the running mean m and variance v, gamma (Wx - m) / sqrt(v + eps) + beta is itself a
    convolution with a bias (Ioffe & Szegedy 2015, arXiv 1502.03167, section 3.1).
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
    """A block of two 3x3 convolutions and a shortcut (figure 5, left)."""

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
        """F(x) plus the shortcut, then a ReLU."""
        change = self.relu1(self.bn1(self.conv1(x)))
        change = self.bn2(self.conv2(change))
        return self.relu2(change + self.downsample(x))


class Bottleneck(nn.Module):
    """A block of a 1x1, a 3x3 and a 1x1 convolution and a shortcut (figure 5, right)."""

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
        """F(x) plus the shortcut, then a ReLU."""
        change = self.relu1(self.bn1(self.conv1(x)))
        change = self.relu2(self.bn2(self.conv2(change)))
        change = self.bn3(self.conv3(change))
        return self.relu3(change + self.downsample(x))


def _stage(
    block: Callable[..., nn.Module], entry: int, width: int, growth: int, count: int, *, stride: int
) -> nn.Sequential:
    """`count` blocks of the same width; the first may halve the resolution."""
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
