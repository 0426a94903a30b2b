"""Several processes as `torchrun` starts them, without the time for its imports."""

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch.distributed as dist

from cutline.training import distributed

Answer = Any
"""What a process returned, its exception, or None if it died."""


def in_processes(count: int, work: Callable[..., Any], *arguments: Any) -> list[Answer]:
    """Call `work` in `count` forked processes that have joined; what each returned, by rank."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True)  # as the launcher's agent
    context = multiprocessing.get_context("fork")
    pipes, processes = [], []
    for rank in range(count):
        receiver, sender = context.Pipe(duplex=False)
        environment = {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": store.port}
        process = context.Process(target=_run, args=(environment, sender, work, arguments))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, from Python 3.12
            process.start()
        sender.close()
        pipes.append(receiver)
        processes.append(process)
    answers = [_receive(pipe) for pipe in pipes]
    for process in processes:
        process.join()
    return answers


def _run(
    environment: dict[str, Any], sender: Connection, work: Callable[..., Any], arguments: Any
) -> None:
    os.environ.update({name: str(value) for name, value in environment.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_USE_AGENT_STORE="True")
    try:
        with distributed.joined():
            answer = work(*arguments)
    except BaseException as error:
        error.add_note(traceback.format_exc())
        answer = error
    sender.send(answer)
    sender.close()
    os._exit(0)  # nothing of the tests' own process ends here


def _receive(pipe: Connection) -> Answer:
    try:
        return pipe.recv()
    except EOFError:
        return None
