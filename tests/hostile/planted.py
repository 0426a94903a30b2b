"""Readers that do everything wrong, to see that the campaign sees it."""

import ctypes
import os
import sys
import time
from pathlib import Path
from random import Random

import numpy as np

from hostile.material import Material


def make_nothing(dice: Random, folder: Path, material: Material) -> Path:
    """An empty file."""
    (folder / "nothing").touch()
    return folder / "nothing"


def raise_error(dice: Random, path: Path, material: Material) -> None:
    raise IndexError("planted")


def complain_without_words(dice: Random, path: Path, material: Material) -> None:
    from cutline.errors import DataError

    raise DataError(" ")


def compute_for_ever(dice: Random, path: Path, material: Material) -> None:
    while True:
        pass


def wait_for_ever(dice: Random, path: Path, material: Material) -> None:
    time.sleep(10**6)


def crash(dice: Random, path: Path, material: Material) -> None:
    ctypes.string_at(0)


def hold_much(dice: Random, path: Path, material: Material) -> None:
    np.ones(1_200_000_000, np.uint8)


def write_elsewhere(dice: Random, path: Path, material: Material) -> None:
    (path.parents[1] / "home" / "precious").write_text("mine now")


def run_a_program(dice: Random, path: Path, material: Material) -> None:
    os.system("true")


def leave(dice: Random, path: Path, material: Material) -> None:
    sys.exit()


PLANTED = {
    "traceback": raise_error,
    "untidy": complain_without_words,
    "endless": compute_for_ever,
    "waiting": wait_for_ever,
    "crash": crash,
    "memory": hold_much,
    "elsewhere": write_elsewhere,
    "program": run_a_program,
    "leaving": leave,
}
