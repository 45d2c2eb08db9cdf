"""Charts of experiments: from their plain data to plotly figures in the house style."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.figures.lines import MAX_POINTS, set_log_axis
from grokinterp.figures.style import (
    MARK_COLOR,
    SPLIT_COLORS,
    TOP_BARE,
    decorate,
    key_color,
    key_symbol,
    traces,
)
from grokinterp.thinning import thin_points

CENSORED_NAME = "not by this step"
_FEW_POINTS = 60


def plot_chart(chart: Chart) -> go.Figure:
    """Draw a chart of an experiment.

    Censored points are open triangles that point up, at the last step that was seen. Points that
    a logarithmic axis cannot show are left out; :func:`n_off_axis` counts them.

    Returns
    -------
    plotly.graph_objects.Figure
        In the house style, with the chart's title and axes.

    Raises
    ------
    FitError
        If no point can be drawn.

    Examples
    --------
    >>> from grokinterp.experiments import Chart, Series
    >>> series = Series("runs", x=[0.5, 1.0], y=[4000, 2000], is_censored=[True, False])
    >>> figure = plot_chart(Chart("t", "Title", "λ", "T (steps)", "What to see.", (series,)))
    >>> [trace.name for trace in figure.data]
    ['runs', 'not by this step']
    """
    figure = go.Figure()
    n_numbered = 0
    for series in chart.series:
        # Only series that have no color of their own take the next one.
        position = n_numbered if series.color_index is None else series.color_index
        n_numbered += series.color_index is None and series.role is None
        _add_series(figure, series, _shown(chart, series), position)
    if not traces(figure):
        raise FitError(f"{chart.title}: there is no point to draw.")
    for mark in chart.marks:
        _add_mark(figure, mark, chart)
    decorate(figure, chart.title, above=TOP_BARE)
    figure.update_xaxes(title_text=chart.x_title)
    figure.update_yaxes(title_text=chart.y_title)
    figure.update_layout(xaxis_tickformat=",~g", yaxis_tickformat=",~g")
    if chart.is_x_log:
        figure.update_xaxes(type="log", tickformat=",~g", minor={"showgrid": False})
        figure.update_xaxes(dtick=_log_ticks([trace.x for trace in traces(figure)]))
    if chart.is_y_log:
        set_log_axis(figure)
        figure.update_yaxes(tickfont={"size": 11.5}, exponentformat="none", tickformat=",~g")
        figure.update_yaxes(dtick=_log_ticks([trace.y for trace in traces(figure)]))
    return figure


def _log_ticks(values: list[Any]) -> float | str:
    """Ticks at 1, 2 and 5 of every decade, or at decades alone where there are many."""
    drawn = np.concatenate([np.asarray(part, dtype=float).ravel() for part in values])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    n_decades = float(np.log10(drawn.max() / drawn.min())) if len(drawn) else 0.0
    return "D2" if n_decades < 3 else float(max(1, round(n_decades / 8)))


def n_off_axis(chart: Chart) -> int:
    """Points of a chart that are at or below zero on a logarithmic axis, and so not drawn."""
    finite = sum(int(np.isfinite(s.x * s.y).sum()) for s in chart.series)
    return finite - sum(int(_shown(chart, s).sum()) for s in chart.series)


def _shown(chart: Chart, series: Series) -> np.ndarray:
    """Which points of a series can be drawn."""
    shown = np.isfinite(series.x) & np.isfinite(series.y)
    # NaN compares false, so a gap is not positive either.
    if chart.is_x_log:
        shown &= series.x > 0
    if chart.is_y_log:
        shown &= series.y > 0
    return shown


@dataclass(frozen=True)
class _Look:
    color: str
    symbol: str
    dash: str


def _add_series(figure: go.Figure, series: Series, shown: np.ndarray, position: int) -> None:
    color = key_color(position) if series.role is None else SPLIT_COLORS[series.role]
    look = _Look(color, key_symbol(position), "dash" if series.is_dashed else "solid")
    censored = np.zeros(len(series.x), bool) if series.is_censored is None else series.is_censored
    # A line goes through all its points; points alone are drawn apart for what they mean.
    seen = shown if series.kind != "points" else shown & ~censored
    if seen.any():
        figure.add_trace(_trace(series, seen, look))
    if (shown & censored).any():
        # A series that is censored throughout has no other entry in the legend.
        name = CENSORED_NAME if seen.any() else f"{series.name}, {CENSORED_NAME}"
        first = all(trace.name != name for trace in traces(figure))
        figure.add_trace(
            go.Scatter(
                x=series.x[shown & censored],
                y=series.y[shown & censored],
                name=name,
                mode="markers",
                marker={"symbol": "triangle-up-open", "size": 10, "color": look.color},
                legendgroup=name,
                showlegend=first,
                hovertemplate=f"{series.name}: above %{{y:,.4~g}}<extra></extra>",
            )
        )


def _trace(series: Series, seen: np.ndarray, look: _Look) -> go.Scatter:
    x, y = series.x[seen], series.y[seen]
    is_line = series.kind != "points"
    bars = _error_bars(series, seen)
    if is_line and bars is None:
        x, y = thin_points(x, y, MAX_POINTS)
    is_fit = series.is_dashed or len(x) > _FEW_POINTS
    return go.Scatter(
        x=x,
        y=y,
        name=series.name,
        mode="markers" if not is_line else "lines" if is_fit else "lines+markers",
        line={
            "color": look.color,
            "dash": look.dash,
            "width": 2,
            "shape": "hv" if series.kind == "steps" else "linear",
        },
        marker={"color": look.color, "symbol": look.symbol, "size": 5 if is_line else 8},
        error_y=bars,
        hovertemplate="(%{x:,.4~g}, %{y:,.4~g})",
    )


def _error_bars(series: Series, seen: np.ndarray) -> dict[str, Any] | None:
    if series.low is None or series.high is None:
        return None
    y = series.y[seen]
    return {
        "type": "data",
        "symmetric": False,
        "array": series.high[seen] - y,
        "arrayminus": y - series.low[seen],
        "thickness": 1.2,
        "width": 4,
    }


def _add_mark(figure: go.Figure, mark: Mark, chart: Chart) -> None:
    """A line across what is drawn, named in the legend; none where its axis cannot show it."""
    is_log = chart.is_x_log if mark.axis == "x" else chart.is_y_log
    if not math.isfinite(mark.at) or (is_log and mark.at <= 0):
        return
    other = "y" if mark.axis == "x" else "x"
    drawn = np.concatenate([getattr(trace, other) for trace in traces(figure)])
    ends = [float(drawn.min()), float(drawn.max())]
    figure.add_trace(
        go.Scatter(
            {mark.axis: [mark.at, mark.at], other: ends},
            name=mark.text,
            mode="lines",
            line={"color": MARK_COLOR, "width": 1.4, "dash": "dot" if mark.axis == "y" else "dash"},
            hoverinfo="skip",
        )
    )
