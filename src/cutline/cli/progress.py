"""How far long work is, where a person looks on; and how a person, or the system, stops it.

tqdm is imported late: captioning starts sooner without it.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cutline.cli.terminal import visible

_STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, `kill` or a shutdown, and a terminal that was closed."""


class Stopped(KeyboardInterrupt):  # noqa: N818 (as Python's own)
    """A signal asks to end; `code` is what a program ends with then, by its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class Asked(threading.Event):
    """Whether somebody asks to stop; `code` is what the program then ends with."""

    code = 130


class Bars:
    """A bar for whatever is under way, with the time left; silent where nobody looks."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._open = tqdm
        self._name, self._bar = "", tqdm(disable=True)

    def show(self, name: str, done: int, total: int, more: str = "", *, unit: str = "it") -> None:
        """`done` of `total`; a new name begins a new bar."""
        if name != self._name:
            self.close()
            self._name = name
            self._bar = self._open(
                desc=name,
                total=total,
                initial=done - 1,
                disable=None,
                leave=False,
                smoothing=0.05,
                unit=unit,
                unit_scale=unit != "it",
            )
        self._bar.set_postfix_str(more, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == total:
            self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
        self._name = ""


def say(text: str) -> None:
    """A line that stays, above whatever bar there is, every sign in it visible."""
    from tqdm import tqdm

    tqdm.write(visible(text), file=sys.stderr)


@contextmanager
def stop_after_the_event() -> Iterator[Asked]:
    """Ctrl-C, TERM and HUP ask to stop where everything is whole; a second one insists."""
    asked = Asked()

    def ask(number: int, *_: object) -> None:
        if asked.is_set():
            raise Stopped(number)
        asked.code = 128 + number
        asked.set()

    with _handling(ask):
        yield asked


@contextmanager
def stop_at_once() -> Iterator[None]:
    """TERM and HUP end what is under way as Ctrl-C does, so that nothing half is left."""

    def stop(number: int, *_: object) -> None:
        raise Stopped(number)

    with _handling(stop):
        yield


@contextmanager
def _handling(handle: Callable[..., None]) -> Iterator[None]:
    """Signals go to `handle` in the `with` block, but for those that nobody is to hear (nohup)."""
    before: dict[int, Any] = {}
    try:
        for number in (getattr(signal, name) for name in _STOPS if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
