"""Kills at random moments: no file is lost or half, and the same command goes on to its end."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from hostile.scenarios import (
    Contents,
    Scenario,
    contents_of,
    find_damage,
    litter_of,
    refresh,
    run_alone,
    run_fork,
    scenarios,
)

IN_A_ROW = 4
"""Kills of one folder, before the command may end."""
SHARES = {"export": 0.25, "train": 0.5}
"""Of the kills that others get: these take long."""


def kill_all(
    kills: int, model: Path, work: Path, *, seed: str = "0", only: Iterable[str] = ()
) -> dict[str, Any]:
    """Figures by scenario: kills that met a running process, damage, what was left lying."""
    return run_alone("hostile.kills", model, work, kills, seed, *only)


def main(model: str, work: str, kills: str, seed: str, *only: str) -> None:
    """In a process without threads, which may fork: kill, and print the figures at the end."""
    known = scenarios(Path(model), Path(work) / "mirror")
    weights = {name: SHARES.get(name, 1.0) for name in known if not only or name in only}
    figures = {}
    for name, weight in weights.items():
        wanted = round(int(kills) * weight / sum(weights.values()))
        dice = Random(f"{seed}/{name}")
        figures[name] = _kill(name, known[name], wanted, Path(work) / "album", dice)
        print(name, figures[name], file=sys.stderr, flush=True)
    print(json.dumps(figures))


def _kill(name: str, scenario: Scenario, kills: int, folder: Path, dice: Random) -> dict[str, Any]:
    before = refresh(folder, scenario)
    whole = run_fork(folder, scenario.command)
    assert whole.code == 0, f"{name} ends with {whole.code}: {whole.said}"
    after, met, damage, litter = contents_of(folder), 0, list[str](), set[str]()
    for _ in range(3 * kills):  # some come when all is done already
        if met >= kills:
            break
        refresh(folder, scenario)
        for _ in range(min(IN_A_ROW, kills - met)):
            ended = run_fork(folder, scenario.command, kill_after=dice.uniform(0, whole.seconds))
            met += ended.code == -9
            damage += find_damage(scenario, before, after, contents_of(folder))
        damage += _end(name, scenario, folder, after)
        litter |= set(litter_of(folder))
    for sentence in damage:
        print(f"{name}: {sentence}", file=sys.stderr, flush=True)
    return {"kills": met, "damaged": len(damage), "left lying": len(litter)}


def _end(name: str, scenario: Scenario, folder: Path, after: Contents) -> Iterator[str]:
    """The same command once more, to its end; what is not as after a run that nobody killed."""
    ended = run_fork(folder, scenario.command)
    if ended.code and not (name == "undo" and "there is no journal" in ended.said):
        yield f"goes on with {ended.code}: {ended.said[-300:]}"
    now = contents_of(folder)
    if now.keys() != after.keys():
        yield f"in the end there are {sorted(now.keys() ^ after.keys())} too many or too few"
    if scenario.is_exact:
        yield from (f"{n} is otherwise in the end" for n in now if now[n] != after.get(n))


if __name__ == "__main__":
    main(*sys.argv[1:])
