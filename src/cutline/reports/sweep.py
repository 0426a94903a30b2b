"""The page of a sweep: one table with means and spreads, and the learning curve of each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cutline.io.atomic import write_text_file
from cutline.reports.charts import line_chart
from cutline.reports.html import render_page
from cutline.training.sweep import Row, Run, mean_curve

PAGE, CHOSEN_BY = "report.html", "CIDEr-D"


def write_sweep_report(
    folder: Path, recipe: str, rows: Sequence[Row], runs: Mapping[Run, Path]
) -> Path:
    """Write the page of a sweep into its folder, and return its path."""
    names = list(dict.fromkeys(name for row in rows for name in row.means))
    settings = dict.fromkeys(run.setting for run in runs)
    curves = []
    for row, setting in zip(rows, settings, strict=True):
        own = [path for run, path in runs.items() if run.setting == setting]
        title = f"{CHOSEN_BY}, {row.setting}"
        points = mean_curve(own, CHOSEN_BY)
        curves.append((title, line_chart(title, points, x_label="epoch", show_points=True)))
    page = folder / PAGE
    best = max((row.means.get(CHOSEN_BY, 0.0) for row in rows), default=0.0)
    pieces = render_page(
        "sweep.html",
        f"Sweep of {recipe}",
        rows=rows,
        names=names,
        best=best,
        chosen_by=CHOSEN_BY,
        curves=[(title, chart) for title, chart in curves if chart],
    )
    write_text_file(pieces, page)
    return page
