"""What distinguishes a clock from a pizza at a glance: the correct logit by sum and difference."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.style import BELOW_STEPS, TOP_BARE, decorate
from grokinterp.trajectory.analysis import Analysis

_COLOR_BAR_HEIGHT = 62


def plot_correct_logits(analysis: Analysis) -> go.Figure:
    """Logit of the correct answer of every pair, by the sum and the difference of its indices.

    A pizza shows vertical stripes: the logit depends on the difference alone.

    Returns
    -------
    plotly.graph_objects.Figure
        A map of the last checkpoint. At an even order every other cell is empty, since sum and
        difference are both even or both odd.

    Raises
    ------
    FitError
        If no algorithm was looked for: that takes key frequencies.

    References
    ----------
    Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
    networks", NeurIPS 2023, arXiv:2306.17844, whose figure of the correct logits this is.
    """
    algorithm = analysis.algorithm
    if algorithm.correct_logits is None:
        because = f" Reason: {algorithm.reason}." if algorithm.reason else ""
        raise FitError(f"There is no verdict on the algorithm.{because}")
    table = algorithm.correct_logits.numpy()
    n = len(table)
    figure = go.Figure(
        go.Heatmap(
            x=list(range(n)),
            y=list(range(n)),
            z=table,
            name="correct logit",
            colorscale="Viridis",
            colorbar={
                "orientation": "h",
                "thickness": 12,
                "y": -0.17,
                "yanchor": "top",
                "title": {"text": "correct logit (logits)", "side": "bottom", "font": {"size": 12}},
            },
            hovertemplate="difference %{x}<br>sum %{y}<br>logit %{z:.4g}<extra></extra>",
        )
    )
    decorate(
        figure,
        "Correct logit by sum and difference",
        plot_height=320,
        above=TOP_BARE,
        below=BELOW_STEPS + _COLOR_BAR_HEIGHT,
    )
    figure.update_xaxes(title_text=f"a − b modulo {n} (no unit)")
    figure.update_yaxes(title_text=f"a + b modulo {n} (no unit)")
    return figure
