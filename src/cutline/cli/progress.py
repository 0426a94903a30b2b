"""Progress bars and messages on standard error, and orderly stops on signals.

tqdm is imported late, so that captioning starts sooner.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from cutline.cli.terminal import visible

_QUIET = "cutline.quiet"
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, `kill` or a shutdown, and a closed terminal."""


class Stopped(KeyboardInterrupt):  # noqa: N818 (as Python's own)
    """A signal stopped the program; `code` is the exit code for it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


class StopRequest(threading.Event):
    """Set when a signal requests a stop; `code` is the exit code for it."""

    code = 130


def set_quiet() -> None:
    """Suppress progress bars and notes for the rest of the current command."""
    click.get_current_context().meta[_QUIET] = True


def _is_quiet() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


LINE_EVERY = 60.0
"""Seconds between two lines of progress without a terminal."""


class Bars:
    """A progress bar for the current step; silent with `--quiet`.

    Without a terminal it is silent too, or with `lines` it prints a line a minute.
    """

    def __init__(self, *, lines: bool = False) -> None:
        from tqdm import tqdm

        self._open = tqdm
        self._name, self._bar = "", tqdm(disable=True)
        self._has_lines = lines and not sys.stderr.isatty()
        self._began, self._first, self._printed = 0.0, 0, 0.0

    def show(self, name: str, done: int, total: int, more: str = "", *, unit: str = "it") -> None:
        """Show `done` of `total`; a new name starts a new bar."""
        if name != self._name:
            self.close()
            self._name = name
            self._began = self._printed = time.monotonic()
            self._first = done - 1
            self._bar = self._open(
                desc=name,
                total=total,
                initial=done - 1,
                disable=_is_quiet() or None,
                leave=False,
                smoothing=0.05,
                unit=unit,
                unit_scale=unit != "it",
            )
        self._bar.set_postfix_str(more, refresh=False)
        self._bar.update(done - self._bar.n)
        if self._has_lines and (now := time.monotonic()) - self._printed >= LINE_EVERY:
            self._printed = now
            left = (now - self._began) / (done - self._first) * (total - done)
            note(", ".join(filter(None, [f"{name} {done} of {total}", more, _time_left(left)])))
        if done == total:
            self.close()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
        self._name = ""


def _time_left(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min left" if hours else f"{max(minutes, 1)} min left"


def note(text: str) -> None:
    """Print a line on standard error, above any progress bar, unless `--quiet` is given."""
    if not _is_quiet():
        _write(text)


def warn(text: str) -> None:
    """Print `cutline: ` and a problem on standard error, even with `--quiet`."""
    _write(f"cutline: {text}")


class LogHandler(logging.Handler):
    """Prints the log `cutline` as `warn` does, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        warn(record.getMessage())


def _write(text: str) -> None:
    if "tqdm" not in sys.modules:  # no bar can be in the way
        click.echo(visible(text), err=True)
        return
    from tqdm import tqdm

    tqdm.write(visible(text), file=sys.stderr)


@contextmanager
def stop_after_the_event() -> Iterator[StopRequest]:
    """Turn Ctrl-C, TERM and HUP into a request to stop at a safe point; the second one stops."""
    requested = StopRequest()

    def request(number: int, *_: object) -> None:
        if requested.is_set():
            raise Stopped(number)
        requested.code = 128 + number
        requested.set()

    with _handling(request):
        yield requested


@contextmanager
def stop_at_once() -> Iterator[None]:
    """Let TERM and HUP raise an exception, as Ctrl-C does, so that cleanup code runs."""

    def stop(number: int, *_: object) -> None:
        raise Stopped(number)

    with _handling(stop):
        yield


@contextmanager
def _handling(handle: Callable[..., None]) -> Iterator[None]:
    """Handle the signals in the `with` block, except ignored ones (nohup)."""
    before: dict[int, Any] = {}
    try:
        for number in (getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
