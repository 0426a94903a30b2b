"""What all tests share: where the shared data is, and one thread for tiny tensors."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tiny tensors: more threads only get in each other's way

SHARED = Path(os.environ.get("CUTLINE_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photographs, weights and published predictions that the repository may not carry."""
    if not (SHARED / "README.md").exists():
        pytest.skip(f"no shared data at {SHARED} (set CUTLINE_SHARED to where it is)")
    return SHARED
