"""Every write, sync and rename of a command fails once, with EIO or ENOSPC: one sentence, and no
file is lost or half; with the disk mended, the same command ends as if nothing had been.

The calls are intercepted by a library (`faults.c`) that this module compiles and has loaded into a
process of its own before everything else.
"""

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hostile.scenarios import (
    Contents,
    Scenario,
    contents_of,
    find_damage,
    refresh,
    run_alone,
    run_fork,
    scenarios,
)

HERE = Path(__file__).parent
CODES = (errno.EIO, errno.ENOSPC)
MOST = 40
"""Calls of a command that are made to fail, spread over all it makes."""


def fail_all(
    model: Path, work: Path, *, only: Iterable[str] = (), most: int = MOST
) -> dict[str, Any]:
    """Figures by scenario; raises `FileNotFoundError` where there is no C compiler."""
    library = compile_library(work)
    loaded = {"LD_PRELOAD": str(library)}
    return run_alone("hostile.faults", model, work, most, *only, environment=loaded)


def compile_library(folder: Path) -> Path:
    """The library that lets calls fail."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise FileNotFoundError("there is no C compiler")
    library = folder / "faults.so"
    source = str(HERE / "faults.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"]
    subprocess.run(command, check=True)
    return library


def main(model: str, work: str, most: str, *only: str) -> None:
    """In the process with the library: fail every scenario, print the figures at the end."""
    figures = {}
    for name, scenario in scenarios(Path(model), Path(work) / "mirror").items():
        if not only or name in only:
            told = list(_fail(scenario, Path(work) / "album", int(most)))
            damage = [sentence for each in told for sentence in each]
            for sentence in damage:
                print(f"{name}: {sentence}", file=sys.stderr, flush=True)
            figures[name] = {"faults": len(told), "damaged": len(damage)}
    print(json.dumps(figures))


def _fail(scenario: Scenario, folder: Path, most: int) -> Iterator[list[str]]:
    """For each call that failed, what is wrong after it."""
    before, count = refresh(folder, scenario), folder.with_name("count")
    counting = {"FAULT_BELOW": f"{folder}/", "FAULT_COUNT": str(count)}
    whole = run_fork(folder, scenario.command, environment=counting)
    assert whole.code == 0, whole.said
    after, calls = contents_of(folder), int(count.read_text())
    for at in sorted({1 + calls * n // most for n in range(most)}):
        for number in CODES:
            for lasts in ("", "1"):
                refresh(folder, scenario)
                fault = {"FAULT_AT": str(at), "FAULT_ERRNO": str(number), "FAULT_LASTS": lasts}
                half = {"FAULT_HALF": "1", "FAULT_BELOW": f"{folder}/"}
                ended = run_fork(folder, scenario.command, environment={**fault, **half})
                told = f"call {at} of {calls}, {errno.errorcode[number]}{' on' * bool(lasts)}"
                wrong = [
                    *_find_bad_manners(ended.code, ended.said),
                    *find_damage(scenario, before, after, contents_of(folder)),
                    *_find_unmended(scenario, folder, after),
                ]
                yield [f"{told}: {sentence}" for sentence in wrong]


def _find_bad_manners(code: int, said: str) -> Iterator[str]:
    if "Traceback" in said or code not in (0, 1):
        yield f"ends with {code}: {' / '.join(said.splitlines()[-3:])[-400:]}"
    if code and not said.strip():
        yield "ends without a word"


def _find_unmended(scenario: Scenario, folder: Path, after: Contents) -> Iterator[str]:
    ended = run_fork(folder, scenario.command)
    if ended.code and "there is no journal" not in ended.said:
        yield f"does not go on: {ended.said[-300:]}"
    now = contents_of(folder)
    if scenario.is_exact and now != after:
        names = [n for n in {*now, *after} if now.get(n) != after.get(n)]
        yield f"in the end otherwise: {sorted(names)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
