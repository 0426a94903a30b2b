import pytest
import torch

from cutline.errors import CutlineError
from cutline.models.device import resolve_device


def test_auto_is_the_accelerator_or_else_the_cpu():
    expected = "cuda" if torch.cuda.is_available() else "cpu"

    assert resolve_device("auto").type in (expected, "mps")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:0", "cuda:-1", "", "mps:7"])
def test_an_unusable_device_is_refused_in_one_sentence_that_lists_the_usable_ones(name):
    with pytest.raises(CutlineError) as error:
        resolve_device(name)

    assert str(error.value).startswith(f"torch has no device {name!r} on this machine; choose from")
    assert "auto, cpu" in str(error.value)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has an accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_machine_without_an_accelerator_has_only_its_cpu(name):
    with pytest.raises(CutlineError, match="choose from auto, cpu$"):
        resolve_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_is_named_with_or_without_its_number():
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cuda:0") == torch.device("cuda:0")
