"""Figures of an analysis as blocks of its report, or the reason why one is not drawn."""

from __future__ import annotations

from typing import Any

from grokinterp.errors import FitError
from grokinterp.figures import FIGURES
from grokinterp.report.page import figure_block, paragraph
from grokinterp.report.text import escape
from grokinterp.trajectory.analysis import Analysis


def figure_or_reason(analysis: Analysis, name: str, caption: str, *, followed_by: str = "") -> str:
    """The figure of a name of the catalogue, or a note that says why there is none."""
    try:
        figure = FIGURES[name](analysis)
    except FitError as error:
        return paragraph(escape(error), kind="note")
    layout: Any = figure.layout
    if len(analysis.trajectory) == 1 and layout.xaxis.tickvals:
        caption += " There is one checkpoint, so every line is one point."
    return figure_block(f"figure-{name}", figure, caption, followed_by=followed_by)


def figure_if_any(analysis: Analysis, name: str, caption: str) -> list[str]:
    """The figure alone; nothing where another block of the section has said why."""
    try:
        return [figure_block(f"figure-{name}", FIGURES[name](analysis), caption)]
    except FitError:
        return []
