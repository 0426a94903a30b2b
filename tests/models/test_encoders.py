import json

import numpy as np
import pytest
import torch

from cutline.errors import ModelError, RecipeError
from cutline.images.load import View, open_image
from cutline.models.encoders import ENCODERS
from cutline.models.encoders.mosaic import Mosaic
from cutline.models.encoders.resnet import ResNet, fold
from cutline.models.weights import Encoder, fingerprint, load_weights, read_tensors
from naive import resnet, shake


def pixels(rows: int = 2, size: int = 64) -> torch.Tensor:
    chance = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (rows, 3, size, size), generator=chance).float()


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request):
    torch.manual_seed(0)
    return {
        "mosaic": lambda: Mosaic(tiles=4),
        "resnet": lambda: shake(ResNet(18)),
    }[request.param]().eval()


@torch.no_grad()
def test_every_encoder_declares_its_width_and_looks_at_each_picture_alone(encoder):
    both = encoder(pixels())

    assert isinstance(encoder, Encoder)
    assert both.shape[2] == encoder.width
    torch.testing.assert_close(both[1:], encoder(pixels()[1:]))


@torch.no_grad()
def test_every_encoder_sees_a_difference(encoder):
    assert not torch.allclose(*encoder(pixels()))


@torch.no_grad()
@pytest.mark.parametrize(("depth", "stride_on"), [(18, "3x3"), (50, "1x1"), (50, "3x3")])
def test_a_resnet_equals_one_written_without_modules(depth, stride_on):
    network = shake(ResNet(depth, stride_on=stride_on)).eval()

    grid = resnet(network.state_dict(), pixels(), depth, stride_on)

    expected = grid.flatten(2).transpose(1, 2)
    torch.testing.assert_close(network(pixels()), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    "depth", [18, 34, 50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (101, 152))]
)
def test_a_resnet_equals_the_one_of_transformers(depth):
    transformers = pytest.importorskip("transformers")
    shape = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3]}
    shape |= {101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
    kind = "basic" if depth < 50 else "bottleneck"
    widths = [64, 128, 256, 512] if depth < 50 else [256, 512, 1024, 2048]
    config = transformers.ResNetConfig(depths=shape[depth], hidden_sizes=widths, layer_type=kind)
    theirs = transformers.ResNetModel(config).eval()
    ours = shake(ResNet(depth)).eval()
    copied = dict(zip(theirs.state_dict(), _in_their_order(ours, theirs), strict=True))
    theirs.load_state_dict(copied)

    normalised = (pixels() - ours.mean) / ours.std
    expected = theirs(normalised).last_hidden_state.flatten(2).transpose(1, 2)

    torch.testing.assert_close(ours(pixels()), expected, rtol=1e-3, atol=1e-3)


def _in_their_order(ours, theirs):
    """Their blocks name the shortcut first, ours last; otherwise the order is the same."""
    own = ours.state_dict()
    blocks = {}
    for name, tensor in own.items():
        blocks.setdefault(name.split(".conv")[0].split(".bn")[0].split(".down")[0], []).append(
            (".downsample." not in name, name, tensor)
        )
    stem = [tensor for name, tensor in own.items() if not name.startswith("layer")]
    rest = [
        tensor
        for block, entries in blocks.items()
        if block.startswith("layer")
        for _, _, tensor in sorted(entries, key=lambda entry: entry[0])
    ]
    return [*stem, *rest]


@torch.no_grad()
@pytest.mark.parametrize(("depth", "stride_on"), [(18, "3x3"), (50, "1x1")])
def test_a_folded_resnet_sees_the_same(depth, stride_on):
    plain = shake(ResNet(depth, stride_on=stride_on)).eval()
    folded = ResNet(depth, stride_on=stride_on, folded=True).eval()

    load_weights(folded, plain.state_dict(), "a test")

    torch.testing.assert_close(folded(pixels()), plain(pixels()), rtol=1e-3, atol=1e-3)
    assert set(fold(plain.state_dict())) == set(folded.state_dict())


@torch.no_grad()
def test_a_pooled_resnet_gives_the_mean_of_the_grid():
    grid = shake(ResNet(18)).eval()
    pooled = ResNet(18, pool=True).eval()
    pooled.load_state_dict(grid.state_dict())

    torch.testing.assert_close(pooled(pixels()), grid(pixels()).mean(dim=1, keepdim=True))


def test_a_depth_that_does_not_exist_is_told():
    with pytest.raises(RecipeError, match="no ResNet-20; there are 18, 34, 50, 101, 152"):
        ResNet(20)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("folded", [False, True])
def test_the_imagenet_weights_give_the_golden_features(shared, folded):
    """Golden: the first five pooled features of eight photographs, by the owner of the weights."""
    golden = json.loads((shared / "weights/resnet50-v1-imagenet.golden.json").read_text())
    weights = read_tensors(shared / "weights/resnet50-v1-imagenet.safetensors")
    encoder = ResNet(50, stride_on="1x1", pool=True, folded=folded).eval()
    load_weights(encoder, weights, "the ImageNet weights")
    photographs = [open_image(shared / "data/flickr8k/images" / name, View(224)) for name in golden]

    seen = encoder(torch.from_numpy(np.stack(photographs)).permute(0, 3, 1, 2))[:, 0]

    expected = torch.tensor([each["pooled_first5"] for each in golden.values()])
    torch.testing.assert_close(seen[:, :5], expected, rtol=1e-3, atol=2e-4)
    likeliest = (seen @ weights["fc.weight"].T + weights["fc.bias"]).softmax(-1).topk(3).values
    shares = torch.tensor([[share for _, share in each["top3"]] for each in golden.values()])
    torch.testing.assert_close(likeliest, shares, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_read_from_both_kinds_of_file(tmp_path, suffix):
    from safetensors.torch import save_file

    network, path = shake(ResNet(18)), tmp_path / f"weights{suffix}"
    tensors = {**network.state_dict(), "fc.weight": torch.ones(10, 512), "fc.bias": torch.ones(10)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)

    other = ResNet(18)
    load_weights(other, read_tensors(path), path)

    assert fingerprint(other) == fingerprint(network)


def test_tensors_that_are_missing_unexpected_or_misshapen_are_named():
    tensors = ResNet(18).state_dict()
    without = {name: t for name, t in tensors.items() if name != "layer3.0.conv1.weight"}

    with pytest.raises(ModelError, match="x.pth lacks 1 tensor that this .*layer3.0.conv1.weight"):
        load_weights(ResNet(18), without, "x.pth")
    with pytest.raises(ModelError, match="x.pth has 2 tensors that .* lacks: extra.a, extra.b"):
        load_weights(
            ResNet(18),
            {**tensors, "extra.a": tensors["bn1.bias"], "extra.b": tensors["bn1.bias"]},
            "x.pth",
        )
    with pytest.raises(ModelError, match=r"shape of conv1.weight is \[1\], but .* \[64, 3, 7, 7\]"):
        load_weights(ResNet(18), {**tensors, "conv1.weight": torch.ones(1)}, "x.pth")


class Innocent:
    """Stands for code in a pickle."""

    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"conv1.weight": Innocent()}, tmp_path / "evil.pth")

    with pytest.raises(ModelError, match="evil.pth is not a safe file of weights"):
        read_tensors(tmp_path / "evil.pth")

    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".onnx"])
def test_a_file_that_holds_no_weights_is_one_sentence(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"these are no weights")

    with pytest.raises(ModelError, match=f"weights{suffix} is not a safe file of weights"):
        read_tensors(path)
    with pytest.raises(ModelError, match="there are no weights at"):
        read_tensors(tmp_path / f"none{suffix}")
