"""Checks the answers to the exercises of the notebooks."""

from collections.abc import Callable
from typing import Any

import numpy as np


def check(answer: Callable[..., Any], *cases: tuple[tuple[Any, ...], Any]) -> None:
    """Call the answer with the arguments of each case, and say whether it gives what it should.

    Numbers, arrays and tensors count as equal up to rounding.
    """
    for arguments, expected in cases:
        given = answer(*arguments)
        if given is None or given is ...:
            print(f"{answer.__name__}: not solved yet")
            return
        given, expected = np.asarray(given, float), np.asarray(expected, float)
        if given.shape != expected.shape:
            print(f"{answer.__name__}: not yet; {given.shape} is not the shape {expected.shape}")
            return
        if not np.allclose(given, expected, rtol=1e-4, atol=1e-6):
            print(f"{answer.__name__}: not yet; it gives\n{given}\nand should give\n{expected}")
            return
    print(f"{answer.__name__}: right")
