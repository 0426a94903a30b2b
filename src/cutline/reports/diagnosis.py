"""The page of an inspection: cause, reliability diagram, figures, worst captions."""

from collections.abc import Iterator

from cutline.evaluation.diagnose import Inspection, list_figures
from cutline.inference.calibration import RULE
from cutline.reports.charts import reliability_diagram
from cutline.reports.html import render_page
from cutline.reports.thumbnails import draw_thumbnails


def render_inspection(found: Inspection, model: str) -> Iterator[str]:
    """The page in pieces; thumbnails are drawn as they are reached."""
    thumbnails = draw_thumbnails(example.image for example, _, _ in found.worst)
    return render_page(
        "diagnosis.html",
        f"Inspection of {model}",
        found=found,
        figures=list_figures(found),
        rule=RULE[0].upper() + RULE[1:],
        chart=reliability_diagram(found.curve),
        worst=zip(found.worst, thumbnails, strict=True),
    )
