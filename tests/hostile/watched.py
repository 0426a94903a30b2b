"""The process in which hostile input is read: limits on it, eyes on what it touches.

Enters on its command line: material, folder to work in, seed; on standard input lines of a kind and
a number. Leaves on standard output a line of JSON for each. A read of more than `SECONDS` of
processor time is ended by the kernel.
"""

import ctypes
import gc
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

SECONDS = 10.0
LARGEST = 10**9
"""Bytes that a process may come to hold; what goes on to four times that gets no more."""
FRESH = 120 * 10**6
"""Bytes that a process holds before it has read anything; what it kept of other inputs since is no
cost of the next one.
"""
SENTENCE = 1_000
"""Characters of a refusal, at the most."""

RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink",
           "os.truncate", "os.utime", "os.chown", "shutil.rmtree")  # fmt: skip

TWO = ("os.rename", "os.link")
"""Of these both paths are touched."""


class Watch:
    """What a reader does outside of the folder that it was given, by Python's audit events."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.is_on = os.path.realpath(folder), list[str](), False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, about: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event in RUNS:
            self.seen.append(f"ran {about[0]!r:.80}")
        elif event == "open":
            path, mode, flags = about
            writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
            if isinstance(path, str | bytes) and (flags or 0) & writes:
                self._insist_inside(event, path)
        elif event in CHANGES:
            paths = about[1:2] if event == "os.symlink" else about[: 1 + (event in TWO)]
            for path in paths:
                if isinstance(path, str | bytes | os.PathLike):
                    self._insist_inside(event, path, follow=False)

    def _insist_inside(self, event: str, path: Any, *, follow: bool = True) -> None:
        self.is_on = False
        named = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  links are not followed
        folder, name = os.path.split(named)
        real = os.path.realpath(named) if follow else f"{os.path.realpath(folder)}/{name}"
        if not f"{real}/".startswith(f"{self.folder}/") and not real.startswith("/dev/"):
            self.seen.append(f"{event} {named:.80}")
        self.is_on = True

    @contextmanager
    def on(self) -> Iterator[None]:
        """Listen meanwhile."""
        self.seen.clear()
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


def main(material: str, folder: str, seed: str) -> None:
    """Read what standard input names, until it ends."""
    sys.dont_write_bytecode = True
    work = Path(folder)
    _make_home(work)
    os.environ |= {"HOME": str(work / "stranger"), "TMPDIR": str(work / "stranger")}
    telling = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print themselves
    from hostile.material import Material

    held = Material(Path(material))
    resource.setrlimit(resource.RLIMIT_DATA, (4 * LARGEST, 4 * LARGEST))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch = Watch(work / "stranger")
    for line in sys.stdin:
        name, _, number = line.strip().rpartition(" ")
        told = read_one(name, int(number), held, work, seed, watch)
        telling.write(json.dumps(told) + "\n")
        telling.flush()


def read_one(
    name: str, number: int, material: Any, work: Path, seed: str, watch: Watch
) -> dict[str, Any]:
    """Make an input, read it, and say what came of it."""
    from hostile.kinds import KINDS, Kind
    from hostile.planted import PLANTED, make_nothing

    kind = KINDS[name] if name in KINDS else Kind(make_nothing, PLANTED[name], 0)
    for module in kind.needs:
        import_module(module)
    folder = work / "stranger"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.chdir(folder)
    path = kind.make(Random(f"{seed}/{name}/{number}"), folder, material)
    if _memory("VmRSS") > LARGEST / 2:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # without handler: whatever it is doing
    began = time.process_time()
    with watch.on():
        outcome, detail = _judge(lambda: kind.read(Random(f"{number}/{seed}"), path, material))
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, memory = time.process_time() - began, FRESH + max(0, _memory("VmHWM") - before)
    if touched := watch.seen or _look_at_home(work):
        outcome, detail = "touched", "; ".join(map(str, touched))[:300]
        _make_home(work)
    elif memory > LARGEST and outcome != "traceback":
        outcome, detail = "over memory", f"{memory / 1e6:,.0f} MB"
    return {
        "kind": name,
        "number": number,
        "outcome": outcome,
        "detail": detail,
        "seconds": round(seconds, 3),
        "memory": memory,
    }


def _judge(read: Any) -> tuple[str, str]:
    from hostile.kinds import Refusal

    try:
        read()
    except Refusal as error:
        sentence = str(error)
        if not sentence.strip() or len(sentence) > SENTENCE or _has_controls(sentence):
            return "untidy", ascii(sentence[:200])
        return "refused", ""
    except MemoryError:
        return "over memory", _place_of(sys.exc_info()[1])
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if os.environ.get("CAMPAIGN_TELLS"):
            traceback.print_exc()
        return "traceback", _place_of(error)
    return "answered", ""


def _has_controls(sentence: str) -> bool:
    return any(ord(sign) < 32 or 126 < ord(sign) < 160 for sign in sentence)


def _place_of(error: BaseException | None) -> str:
    """The error, and the innermost line of cutline's own that it came through."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    own = [frame for frame in frames if "/src/cutline/" in frame.filename] or list(frames)[-1:]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return f"{type(error).__name__} at {place}: {ascii(str(error))[:160]}"


def _memory(name: str) -> int:
    """Bytes that are held (`VmRSS`), or at the most since `clear_refs` (`VmHWM`)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def _make_home(work: Path) -> None:
    from hostile.folders import PRECIOUS

    shutil.rmtree(work / "home", ignore_errors=True)
    (work / "home").mkdir(parents=True)
    (work / "home" / "precious").write_bytes(PRECIOUS)
    (work / "home" / "precious").chmod(0o640)


def _look_at_home(work: Path) -> list[str]:
    from hostile.folders import PRECIOUS

    home = work / "home"
    found = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
    if found != ["precious"]:
        return [f"home holds {found}"]
    status = (home / "precious").stat()
    if (home / "precious").read_bytes() != PRECIOUS or status.st_mode & 0o7777 != 0o640:
        return ["home/precious was changed"]
    return []


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(*sys.argv[1:])
