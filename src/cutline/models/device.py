"""Names of devices, as options and arguments give them, to torch devices."""

import torch

from cutline.errors import CutlineError


def resolve_device(name: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; `auto` is the accelerator if any.

    Raises `CutlineError` when torch cannot use it on this machine.
    """
    known = ["cpu"]
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and torch.accelerator.is_available():
        kind, count = accelerator.type, torch.accelerator.device_count()
        known += [kind, *(f"{kind}:{number}" for number in range(count))]
    if name == "auto":
        return torch.device(known[min(1, len(known) - 1)])
    if name not in known:
        there_is = ", ".join(["auto", *known])
        raise CutlineError(f"torch has no device {name!r} on this machine; choose from {there_is}")
    return torch.device(name)
