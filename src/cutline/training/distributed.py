"""Training in several processes, as `torchrun` and `accelerate launch` start them.

Every process runs the same program on the same plan and takes its share of each batch. The model is
not wrapped: losses are exchanged as sums and counts, and gradients are added up in one flat
all-reduce, so that all processes take the same step. In a single process every function here is
trivial.

Processes that fail: of all that stop, one says why. A process that dies closes its connections,
which the others notice at once; one that hangs is noticed after `STRAGGLES`.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import chain, zip_longest
from typing import Any, Literal, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from cutline.errors import TrainingError
from cutline.models.weights import fingerprint

STRAGGLES = timedelta(seconds=45)
"""How long processes wait for another in what takes all of them equally long, such as a step."""
WORKS_ALONE = timedelta(minutes=30)
"""How long they wait for one that works alone: process 0 scores, fits concepts and writes."""
ROLL_CALL = 3.0
"""Seconds in which the processes that are still there answer before the others are named."""

Item = TypeVar("Item")


class LostProcessError(TrainingError):
    """Another process of this training has ended or does not answer."""


def rank() -> int:
    """The number of this process, counted from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """The number of processes of this training."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is process 0, which alone writes and shows."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that a launcher started, for the `with` block; alone, do nothing.

    Raises `TrainingError` if the others cannot be reached. If several processes fail, only the
    first of them raises its error; the others exit with code 1.
    """
    if _launched() == 1:
        yield
        return
    store = _join()
    try:
        yield
        gather()  # process 0 may still be saving, and the launcher ends all when one has ended
    except BaseException as error:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from the launcher: we are ending
        if not _is_first_to_fail(store):
            raise SystemExit(1) from None
        if isinstance(error, LostProcessError):
            raise TrainingError(_describe_lost(store)) from None
        raise
    dist.destroy_process_group()


def require_joined() -> None:
    """Raise `TrainingError` in one of several processes that have not joined."""
    if size() != _launched():
        raise TrainingError(
            f"a launcher started {_launched()} processes (WORLD_SIZE), which would overwrite each "
            "other's files; train inside `with cutline.training.distributed.joined():`"
        )


def device_of_process(name: str) -> str:
    """The device of this process: with `auto` and `cuda`, each process of a machine gets a GPU."""
    if size() > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', rank())) % torch.cuda.device_count()}"
    return name


def seed_of_step(seed: int, step: int) -> int:
    """The seed for what this process draws in a step: dropout, sampled words and captions."""
    return int(np.random.SeedSequence((seed, step, rank())).generate_state(1, np.uint64)[0])


# ---------------------------------------------------------------------------- shares of work


def share(items: Sequence[Item]) -> Sequence[Item]:
    """The items that this process works on."""
    return items[rank() :: size()]


def block(count: int) -> slice:
    """Which of `count` items this process works on, next to each other: in shards of its own."""
    return slice(count * rank() // size(), count * (rank() + 1) // size())


def rows_of_process(images: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of a batch that this process learns from, whose images are next to each other.

    With fewer rows than processes, every process learns from all of them, which gives the same
    means.
    """
    if size() == 1 or len(images) < size():
        return np.arange(len(images))
    return np.argsort(images, kind="stable")[block(len(images))]


def collect(own: Sequence[Any]) -> list[Any]:
    """The results of all processes for their `share`, in the order of the items, as JSON."""
    if size() == 1:
        return list(own)
    missing = object()
    rounds = zip_longest(*gather(list(own)), fillvalue=missing)
    return [result for result in chain.from_iterable(rounds) if result is not missing]


def rounds(own: Iterable[Item], count: int) -> Iterator[Item | None]:
    """The items of a `block` of `count` in step with the other processes: None after the last."""
    items = iter(own)
    for _ in range(-(-count // size())):
        yield next(items, None)


# ------------------------------------------------------------------------------- exchanging


def gather(value: Any = None, *, patient: bool = True) -> list[Any]:
    """A JSON value of every process, by rank; no process goes on before all are here.

    `patient` waits for a process that works alone.
    """
    if size() == 1:
        return [value]
    own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    group = _patient() if patient else None
    with _noticing_loss():
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size())]
        dist.all_gather(lengths, torch.tensor([len(own)]), group=group)
        longest = max(int(length) for length in lengths)
        padded = nn.functional.pad(own, (0, longest - len(own)))
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(size())]
        dist.all_gather(parts, padded, group=group)
    return [
        json.loads(part[: int(length)].numpy().tobytes())
        for part, length in zip(parts, lengths, strict=True)
    ]


def add(tensor: Tensor) -> Tensor:
    """Add up a tensor in memory over all processes, in place."""
    if size() > 1:
        with _noticing_loss():
            dist.all_reduce(tensor)
    return tensor


def is_any(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return bool(add(torch.tensor([float(flag)])).item())


def add_gradients(
    parameters: Iterable[nn.Parameter], precision: Literal["fp32", "bf16"] = "fp32"
) -> int:
    """Add up the gradients over all processes in one flat all-reduce; returns its bytes."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if size() == 1 or not gradients:
        return 0
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    flat = flat.bfloat16() if precision == "bf16" else flat
    with _noticing_loss():
        dist.all_reduce(flat, group=_nccl() if flat.is_cuda else None)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
    return flat.nbytes


def spread(model: nn.Module) -> None:
    """Give every process the weights of process 0: other machines may compute the last bit anew."""
    for tensor in model.state_dict().values() if size() > 1 else ():
        if not tensor.numel():
            continue
        copy = tensor.detach().cpu().contiguous().clone()
        with _noticing_loss():
            dist.broadcast(copy.view(-1).view(torch.uint8), 0, group=_patient())
        tensor.copy_(copy)


def require_equal(value: Any, what: str) -> None:
    """Raise `TrainingError` if a JSON value differs between processes."""
    if any(each != value for each in gather(value)):
        raise TrainingError(
            f"{what} differs between the {size()} processes of this training; all need the same "
            "command, version, data, --out and --cache folder"
        )


def require_equal_weights(model: nn.Module, epoch: int) -> None:
    """Raise `TrainingError` if any bit of the weights differs between processes."""
    if size() > 1:
        require_equal(fingerprint(model), f"a weight after epoch {epoch + 1}")


# ---------------------------------------------------------------------- joining and failing


def _launched() -> int:
    """How many processes the launcher started, by its environment."""
    processes = os.environ.get("WORLD_SIZE", "1")
    return int(processes) if processes.isdecimal() else 1


def _join() -> Store:
    try:
        store, number, count = next(rendezvous("env://", timeout=STRAGGLES))
        dist.init_process_group(
            "gloo", store=store, rank=number, world_size=count, timeout=STRAGGLES
        )
    except (RuntimeError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TrainingError(
            f"the {_launched()} processes of this training cannot reach each other: {reason}"
        ) from None
    _patient.cache_clear()
    _nccl.cache_clear()
    _patient()
    return PrefixStore("cutline", store)


@cache
def _patient() -> Any:
    return dist.new_group(timeout=WORKS_ALONE, backend="gloo")


@cache
def _nccl() -> Any:
    return dist.new_group(timeout=STRAGGLES, backend="nccl")


@contextmanager
def _noticing_loss() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # a closed connection or a timeout, however the backend says it
        raise LostProcessError("another process of this training was lost") from error


def _is_first_to_fail(store: Store) -> bool:
    """Whether no other process has announced that it fails; says that this one is still there."""
    with suppress(RuntimeError):  # the store may be gone with the process that held it
        store.set(f"here/{rank()}", "1")
        return store.compare_set("failed", "", str(rank())) == str(rank()).encode()
    return True


def _describe_lost(store: Store) -> str:
    time.sleep(ROLL_CALL)
    absent = []
    with suppress(RuntimeError):
        absent = [number for number in range(size()) if not store.check([f"here/{number}"])]
    who = " and ".join(map(str, absent)) or "another one"
    which = "process" if len(absent) < 2 else "processes"
    return (
        f"{which} {who} of the {size()} processes of this training (counted from 0) ended or did "
        f"not answer for {STRAGGLES.seconds} seconds; everything saved so far is intact, and the "
        "same command resumes the run"
    )
