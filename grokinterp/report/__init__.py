"""An analysis, a comparison or a reproduction as one HTML file; figures as pictures."""

from grokinterp.report.comparison import render_comparison
from grokinterp.report.comparison_files import write_comparison
from grokinterp.report.experiment import render_experiment_report
from grokinterp.report.images import write_images
from grokinterp.report.writing import render_report, write_experiment_report, write_report

__all__ = [
    "render_comparison",
    "render_experiment_report",
    "render_report",
    "write_comparison",
    "write_experiment_report",
    "write_images",
    "write_report",
]
