"""An analysis as one self-contained HTML file."""

from grokinterp.report.writing import render_report, write_report

__all__ = ["render_report", "write_report"]
