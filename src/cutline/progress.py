"""How far long work is, where a person looks on; and how a person stops it.

tqdm is imported late: captioning starts sooner without it.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cutline.terminal import visible


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
def stop_after_the_event() -> Iterator[threading.Event]:
    """Ctrl-C asks to stop where everything is whole; a second one insists."""
    asked = threading.Event()

    def ask(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
