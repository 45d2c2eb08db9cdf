"""The league of progress measures as a picture: warnings, false alarms and leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.errors import FitError
from grokinterp.fields import checked
from grokinterp.figures.lines import numbers
from grokinterp.figures.style import MARK_COLOR, TOP_BARE, decorate
from grokinterp.leagues.league import League

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARES = {
    "warned": ("grokking runs warned", "#009E73", "circle"),
    "false_alarms_cannot": ("false alarms: cannot grok", "#D55E00", "x"),
    "false_alarms_censored": ("false alarms: not within its steps", "#E69F00", "diamond"),
}
_LEAD = ("lead_over_grokking", "lead over grokking step", "#0072B2")
ROW_HEIGHT = 20
"""Pixels of a measure."""
LEFT = 250
"""Pixels for the names of measures."""


def plot_league(league: League) -> go.Figure:
    """Draw what measures are worth as warnings.

    Parameters
    ----------
    league
        Of :func:`grokinterp.league`.

    Returns
    -------
    plotly.graph_objects.Figure
        A line per measure, the best at the top. On the left the share of the grokking runs with an
        alarm before the jump and the shares of false alarms, with 95 % intervals over
        configurations; the dotted line is the share that was allowed where thresholds were fixed.
        On the right the median lead over the grokking step, with its quartiles over runs.

    Raises
    ------
    FitError
        If no measure could be judged.

    Examples
    --------
    >>> figure = gi.figures.plot_league(gi.league(gi.MEASURES))
    >>> [trace.name for trace in figure.data][:2]
    ['grokking runs warned', 'false alarms: cannot grok']
    """
    checked("league", league, League, "Pass what gi.league() returns.")
    if league.table.empty:
        why = next(iter(league.reasons.values()), "no measure was named")
        raise FitError(f"no measure could be judged: {why}. Add runs of both kinds.")
    table = league.table.iloc[::-1]
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.03)
    for trace in _share_traces(table):
        figure.add_trace(trace, 1, 1)
    figure.add_trace(_lead_trace(table), 1, 2)
    level = {"dash": "dot", "color": MARK_COLOR}
    figure.add_vline(league.most_false_alarms, line=level, col=cast(Any, 1))
    figure.update_xaxes(title="share of runs", range=[-0.02, 1.02], col=1)
    figure.update_xaxes(title=_LEAD[1], range=[-0.02, 1.02], col=2)
    decorate(
        figure, "Warnings and false alarms", plot_height=ROW_HEIGHT * len(table), above=TOP_BARE
    )
    figure.update_layout(hovermode="closest", margin_l=LEFT)
    return figure


def _share_traces(table: pd.DataFrame) -> Iterator[go.Scatter]:
    for column, (name, color, symbol) in _SHARES.items():
        if bool(np.isfinite(numbers(table, column)).any()):
            yield _trace(table, column, ("_low", "_high"), name, color, symbol)


def _lead_trace(table: pd.DataFrame) -> go.Scatter:
    column, name, color = _LEAD
    return _trace(table, column, ("_q25", "_q75"), f"{name}, with quartiles", color, "circle")


def _trace(
    table: pd.DataFrame, column: str, ends: tuple[str, str], name: str, color: str, symbol: str
) -> go.Scatter:
    low, high = (table[column + end] for end in ends)
    return go.Scatter(
        x=table[column],
        y=list(table.index),
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 8},
        error_x={
            "type": "data",
            "array": (high - table[column]).clip(lower=0),
            "arrayminus": (table[column] - low).clip(lower=0),
            "thickness": 1,
            "color": color,
        },
    )
