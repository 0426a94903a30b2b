"""The command that compares settings of a recipe: sweep. torch is imported late."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cutline.cli.options import json_option, out_option
from cutline.cli.progress import note, warn
from cutline.cli.runs import RunOptions, open_experiment, run, run_options
from cutline.cli.terminal import echo
from cutline.errors import TrainingError, needs_training
from cutline.recipe import find_recipe

if TYPE_CHECKING:
    from cutline.training.sweep import Row


@click.command()
@run_options
@out_option("Folder of the runs [default: sweeps/RECIPE].")
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Runs of each setting, with the seeds 0, 1, ...",
)
@json_option("a row for each setting")
def sweep(options: RunOptions, out: Path | None, seeds: int, as_json: bool) -> None:
    """Train a recipe with several settings and seeds, and compare their validation scores.

    --set takes several values: `--set training.learning_rate=1e-4,3e-4`. Of several options, all
    combinations are trained. Run the same command again to resume after an interruption. The table
    is printed, and drawn in report.html in the folder.
    """
    with needs_training():
        from cutline.training.sweep import plan_sweep, summarize
    from cutline.reports.sweep import write_sweep_report

    path = find_recipe(options.recipe)
    folder = out or Path("sweeps") / path.stem
    runs = plan_sweep(options.overrides, seeds)
    options, failed = replace(options, overrides=()), []
    folders = {one: folder / one.name for one in runs}
    for number, one in enumerate(runs):
        note(f"run {number + 1} of {len(runs)}: {', '.join(one.overrides)}")
        try:
            experiment = open_experiment(options, folders[one], one.overrides)
            if code := run(experiment, options.logs):
                note(f"stopped: run the same command to resume ({folder})")
                sys.exit(code)
        except TrainingError as error:
            warn(f"{folders[one]}: {error}")
            failed.append(one)
        done = {one: folders[one] for one in runs[: number + 1]}
        rows = summarize(done, failed)
        page = write_sweep_report(folder, path.stem, rows, done)
    echo("\n".join(json.dumps(asdict(row)) for row in rows) if as_json else _table(rows))
    note(f"{page} shows the curves; every run is a model folder beside it")


def _table(rows: Sequence["Row"]) -> str:
    """One line for each setting: mean and spread of every score."""
    names = list(dict.fromkeys(name for row in rows for name in row.means))
    lines = [["setting", "seeds", *names]]
    for row in rows:
        seeds = f"{row.seeds}" + (f" ({row.failed} failed)" if row.failed else "")
        lines.append([row.setting, seeds, *(_show(row, name) for name in names)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _show(row: "Row", name: str) -> str:
    if name not in row.means:
        return ""
    spread = f" ± {100 * row.spreads[name]:.1f}" if name in row.spreads else ""
    return f"{100 * row.means[name]:.1f}{spread}"
