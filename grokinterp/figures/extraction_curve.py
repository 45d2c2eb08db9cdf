"""Closed forms along a run: how much of the network they are, and how well they do."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.errors import ConfigError
from grokinterp.fields import checked
from grokinterp.figures.lines import Line, add_lines, set_log_axis
from grokinterp.figures.style import LOSS_TITLE, SPLIT_COLORS, STEP_TITLE, decorate, traces

_NETWORK = SPLIT_COLORS["all"]
_COLORS = {1: "#6741D9", 2: "#009E73"}
_NAMES = {1: "logits (level 1)", 2: "neurons (level 2)"}
_NEEDED = ("step", "level", "accuracy", "loss", "variance_explained")


def plot_extraction_curve(curve: pd.DataFrame) -> go.Figure:
    """Draw what :func:`grokinterp.extraction_curve` found.

    Parameters
    ----------
    curve
        A row per checkpoint and level.

    Returns
    -------
    plotly.graph_objects.Figure
        Three panels over the steps: the share of the variance of the network's logits that each
        formula explains; accuracy on all pairs of the network and of each formula; their losses
        in nats, on a logarithmic axis.

    Raises
    ------
    ConfigError
        If it is no table, or a column is missing.

    Examples
    --------
    >>> figure = gi.figures.plot_extraction_curve(gi.extraction_curve(run, every=4))
    >>> len(figure.data)
    8
    """
    checked("curve", curve, pd.DataFrame, "Make one: gi.extraction_curve(run).")
    absent = [name for name in _NEEDED if name not in curve]
    if absent:
        raise ConfigError(
            f"curve has no column {absent[0]!r}. Pass what gi.extraction_curve(run) returns."
        )
    figure = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.05)
    of_network = curve.drop_duplicates("step")
    network = ((2, "network_accuracy"), (3, "network_loss"))
    for row, column in network:
        _draw(figure, of_network, Line(column, "network", _NETWORK), row)
    for level, of_level in curve.groupby("level"):
        color, name = _COLORS[int(str(level))], _NAMES[int(str(level))]
        for row, column in enumerate(("variance_explained", "accuracy", "loss"), start=1):
            _draw(
                figure, of_level, Line(column, name, color, "dash" if level == 1 else "solid"), row
            )
    titles = ("variance of the logits<br>explained (fraction)", "accuracy<br>on all pairs")
    for row, title in enumerate((*titles, LOSS_TITLE), start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    set_log_axis(figure, 3)
    figure.update_xaxes(tickformat=",d")
    figure.update_xaxes(title_text=STEP_TITLE, row=3, col=1)
    drawn: set[str] = set()
    for trace in traces(figure):
        trace.update(legendgroup=trace.name, showlegend=trace.name not in drawn)
        drawn.add(trace.name)
    decorate(figure, "The network as a formula", plot_height=600)
    return figure


def _draw(figure: go.Figure, table: pd.DataFrame, line: Line, row: int) -> None:
    add_lines(figure, table, (line,), row=row, only_positive=row == 3)
