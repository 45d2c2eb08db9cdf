"""The circuit stage by stage: the loss after each replacement."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.style import MARK_COLOR, SPLIT_COLORS, TOP_BARE, decorate
from grokinterp.trajectory.analysis import Analysis

_ROW = 26


def plot_circuit_stages(
    circuit: Analysis | pd.DataFrame, *, n_classes: int | None = None
) -> go.Figure:
    """Loss on all pairs when a stage of the circuit is replaced by what it is said to be.

    Parameters
    ----------
    circuit
        An analysis, or the table of :func:`~grokinterp.circuit_table`.
    n_classes
        Number of answers, for the line of guessing; known from an analysis.

    Returns
    -------
    plotly.graph_objects.Figure
        One bar for each replacement, on a logarithmic axis. The dashed line is ln p, the loss of
        guessing.

    Raises
    ------
    FitError
        If the table has no loss.

    Examples
    --------
    >>> figure = plot_circuit_stages(analysis)
    >>> len(figure.data[0].y) > 3
    True
    """
    if isinstance(circuit, Analysis):
        table, n_classes = circuit.circuit, circuit.run.task.n_classes
    else:
        table = circuit
    if "quantity" not in table or not len(table):
        raise FitError("The circuit was not followed stage by stage, so there is no loss to draw.")
    is_loss = table["quantity"].str.startswith("loss") & (
        table["head"].isna() if "head" in table else True
    )
    losses = table.loc[is_loss & table["value"].gt(0)]
    if losses.empty:
        raise FitError("The table of the circuit has no loss of all heads together.")
    bars = go.Bar(
        x=losses["value"],
        y=losses["quantity"].str.removeprefix("loss, "),
        orientation="h",
        marker_color=SPLIT_COLORS["train"],
        hovertemplate="%{y}<br>%{x:.3g} nats<extra></extra>",
    )
    figure = go.Figure(bars)
    if n_classes:
        mark = {"color": MARK_COLOR, "dash": "dash"}
        figure.add_vline(x=float(np.log(n_classes)), line=mark)
    figure.update_xaxes(type="log", exponentformat="power", title_text="loss on all pairs (nats)")
    figure.update_yaxes(autorange="reversed")
    height = max(200, _ROW * len(losses))
    decorate(figure, "Loss after each replacement", plot_height=height, above=TOP_BARE)
    return figure.update_layout(showlegend=False)
