"""HTML pages and drawings of captions, comparisons, data sets, diagnoses and training runs."""

from typing import TYPE_CHECKING

from cutline._lazy import lazily

if TYPE_CHECKING:
    from cutline.reports.captions import write_report as write_report
    from cutline.reports.comparison import write_comparison as write_comparison
    from cutline.reports.training import write_training_report as write_training_report

__all__ = ["write_comparison", "write_report", "write_training_report"]
_HOMES = {
    "write_comparison": "comparison",
    "write_training_report": "training",
    "write_report": "captions",
}
if not TYPE_CHECKING:  # else a misspelt name would be of type Any
    __getattr__ = lazily(__name__, _HOMES)
