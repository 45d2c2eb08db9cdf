"""Lines along training: columns of a table over the steps, with phases and marked steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.style import (
    MARK_COLOR,
    PHASE_TINTS,
    STEP_TITLE,
    decorate,
    show_step,
    traces,
)
from grokinterp.thinning import thin_points
from grokinterp.trajectory.analysis import Analysis

MAX_POINTS = 1600
"""Points of one line; more cannot be distinguished on a screen."""

# Below this many points the points themselves are worth seeing, and one point alone has no line.
_FEW_POINTS = 40


@dataclass(frozen=True)
class Line:
    """One column of a table and how it is drawn."""

    column: str
    name: str
    color: str
    dash: str = "solid"
    width: float = 2.0
    is_shown: bool = True
    """False: only in the legend until the reader asks for it."""


def finite_points(table: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a column where the value is finite; empty if there is no column."""
    if column not in table or "step" not in table:
        return np.empty(0), np.empty(0)
    values = numbers(table, column)
    is_finite = np.isfinite(values)
    return np.asarray(table["step"])[is_finite], values[is_finite]


def numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    """Values of a column as float64; NaN for whatever is not a number."""
    values = pd.Series(pd.to_numeric(pd.Series(table[column]), errors="coerce"))
    return np.asarray(values.astype(float))


def add_line(
    figure: go.Figure, steps: np.ndarray, values: np.ndarray, line: Line, row: int | None = None
) -> bool:
    """Draw one line unless it has no points; say whether it was drawn."""
    if not len(values):
        return False
    x, y = thin_points(steps, values, MAX_POINTS)
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            name=line.name,
            mode="lines+markers" if len(x) <= _FEW_POINTS else "lines",
            line={"color": line.color, "dash": line.dash, "width": line.width},
            marker={"size": 5},
            visible=True if line.is_shown else "legendonly",
            hovertemplate="%{y:.4g}",
        ),
        row=row,
        col=None if row is None else 1,
    )
    return True


def add_lines(
    figure: go.Figure,
    table: pd.DataFrame,
    lines: Sequence[Line],
    *,
    row: int | None = None,
    only_positive: bool = False,
) -> int:
    """Draw the columns that are there; return how many were.

    `only_positive` leaves out the values that a logarithmic axis cannot show, and with them
    the lines that have no others.
    """
    n_drawn = 0
    for line in lines:
        steps, values = finite_points(table, line.column)
        if only_positive:
            steps, values = steps[values > 0], values[values > 0]
        n_drawn += add_line(figure, steps, values, line, row)
    if n_drawn and all(trace.visible == "legendonly" for trace in traces(figure)):
        # Lines that wait in the legend beside others are all there is to see here.
        for trace in traces(figure):
            trace.update(visible=True)
    return n_drawn


def figure_of_lines(
    analysis: Analysis,
    table: pd.DataFrame,
    lines: Sequence[Line],
    *,
    title: str,
    y_title: str,
    absent: tuple[str, ...],
    is_log: bool = False,
) -> go.Figure:
    """One panel of lines over the steps with phases and marked steps.

    `absent` is what the error says where no line has a point: the fact, then the fields whose
    reasons explain it (:func:`~grokinterp.figures.absence.nothing_to_draw`).
    """
    figure = go.Figure()
    if not add_lines(figure, table, lines, only_positive=is_log):
        raise nothing_to_draw(analysis, *absent)
    decorate(figure, title)
    figure.update_xaxes(title_text=STEP_TITLE, tickformat=",d")
    figure.update_yaxes(title_text=y_title)
    if is_log:
        set_log_axis(figure)
    figure.update_layout(hovermode="x unified")
    mark_steps(figure, analysis)
    return figure


@dataclass(frozen=True)
class Panel:
    """One of several panels over a shared step axis."""

    y_title: str
    table: pd.DataFrame
    lines: tuple[Line, ...]
    is_log: bool = False


def figure_of_panels(
    analysis: Analysis,
    panels: Sequence[Panel],
    *,
    title: str,
    absent: tuple[str, ...],
    panel_height: int = 200,
) -> go.Figure:
    """Panels under each other that share the step axis; those without a line are left out.

    `absent` is what the error says where no panel is left, as in :func:`figure_of_lines`.
    """
    kept = [
        panel
        for panel in panels
        if add_lines(go.Figure(), panel.table, panel.lines, only_positive=panel.is_log)
    ]
    if not kept:
        raise nothing_to_draw(analysis, *absent)
    spacing = 0.14 / len(kept)
    figure = make_subplots(len(kept), 1, shared_xaxes=True, vertical_spacing=spacing)
    for row, panel in enumerate(kept, start=1):
        add_lines(figure, panel.table, panel.lines, row=row, only_positive=panel.is_log)
        figure.update_yaxes(title_text=panel.y_title, row=row, col=1)
        if panel.is_log:
            set_log_axis(figure, row)
    figure.update_xaxes(tickformat=",d")
    figure.update_xaxes(title_text=STEP_TITLE, row=len(kept), col=1)
    drawn_before: set[str] = set()
    for trace in traces(figure):
        # The same thing in two panels needs one legend entry, which switches both.
        trace.update(legendgroup=trace.name, showlegend=trace.name not in drawn_before)
        drawn_before.add(trace.name)
    decorate(figure, title, plot_height=panel_height * len(kept))
    mark_steps(figure, analysis)
    return figure


def set_log_axis(figure: go.Figure, row: int | None = None) -> None:
    """Logarithmic values with ticks at the powers of ten, as the field draws losses."""
    figure.update_yaxes(
        type="log",
        exponentformat="power",
        nticks=8,
        minor={"showgrid": False},
        # Powers are set a quarter larger than other tick labels.
        tickfont={"size": 9.5},
        row=row,
        col=None if row is None else 1,
    )


def mark_steps(figure: go.Figure, analysis: Analysis) -> None:
    """Shade the phases with their names and mark the memorization and the grokking step."""
    drawn = [float(trace.x[i]) for trace in traces(figure) for i in (0, -1) if len(trace.x)]
    last = max(drawn, default=0.0)
    if len(set(drawn)) < 2:
        # One checkpoint has no phases, and its step alone is worth a tick.
        figure.update_xaxes(tickvals=drawn[:1])
        return
    # Every name has a line of its own, so that short phases do not write over each other.
    for position, (name, tint) in enumerate(PHASE_TINTS.items()):
        _shade_phase(figure, name, getattr(analysis.phases, name), tint, 2 - position, last)
    for field, name, height in (
        ("memorization_step", "memorization step", 0.98),
        ("grokking_step", "grokking step", 0.98),
    ):
        step = getattr(analysis.milestones, field)
        if step is not None:
            _mark_step(figure, float(step), f"{name} {show_step(step)}", height, last)


def _shade_phase(
    figure: go.Figure,
    name: str,
    steps: tuple[int, int] | None,
    tint: str,
    line_of_names: int,
    last: float,
) -> None:
    if steps is None or steps[1] <= steps[0]:
        return
    figure.add_vrect(
        x0=steps[0],
        x1=steps[1],
        fillcolor=tint,
        line_width=0,
        layer="below",
        name=name,
    )
    is_late = steps[0] > 0.7 * last
    figure.add_annotation(
        x=steps[1] if is_late else steps[0],
        xref="x",
        y=1,
        yref="paper",
        yanchor="bottom",
        yshift=16 * line_of_names,
        xanchor="right" if is_late else "left",
        text=name.replace("_", " "),
        name=f"{name} phase",
    )


def _mark_step(figure: go.Figure, step: float, text: str, height: float, last: float) -> None:
    figure.add_vline(
        x=step,
        line={"color": MARK_COLOR, "width": 1.4, "dash": "dash"},
        name=text,
    )
    figure.add_annotation(
        x=step,
        xref="x",
        y=height,
        yref="y domain",
        yanchor="top",
        xanchor="right" if step > 0.5 * last else "left",
        textangle=-90,
        text=text,
        font={"size": 10.5},
        name=text,
    )
