"""Which neurons are on cosets of a subgroup, against what chance reaches."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from grokinterp.circuits.coset_null import COSET_SHARE, MOST_LEFT
from grokinterp.errors import FitError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.style import (
    BELOW_STEPS,
    MARK_COLOR,
    OTHER_COLOR,
    TOP_BARE,
    decorate,
    key_color,
    key_symbol,
)
from grokinterp.trajectory.analysis import Analysis

SMALLEST_REST = 1e-7
"""What is left unexplained is drawn at least this high: an axis of logarithms has no zero."""
_MAX_NAMED = 8
_HOVER = (
    "neuron %{customdata[0]}, index %{customdata[1]}<br>unexplained %{y:.2g}<br>"
    "by chance %{x:.2g}<extra></extra>"
)


def plot_coset_neurons(analysis: Analysis) -> go.Figure:
    r"""What cosets leave unexplained of each neuron, against what they leave by chance.

    Returns
    -------
    plotly.graph_objects.Figure
        Neurons of the last checkpoint that some proper subgroup explains to over 95 %, colored
        by the largest such subgroup. Coset neurons lie below the dashed line.

    Raises
    ------
    FitError
        If the group has no such subgroup, the neurons were not looked at, or none is explained.

    References
    ----------
    Stander et al., "Grokking group multiplication with cosets", ICML 2024, arXiv:2312.06581.
    """
    table = analysis.neurons
    if "coset_subgroup" not in table:
        raise nothing_to_draw(
            analysis, "The neurons were not compared with cosets", "final.fraction_coset_neurons"
        )
    shown = table.loc[table["coset_subgroup"].notna()]
    if shown.empty:
        raise FitError(
            "No neuron is on cosets of a subgroup. Reason: none explains over "
            f"{COSET_SHARE:.0%} of any of the {len(table):,} neurons."
        )
    names = shown["coset_subgroup"].value_counts().index.tolist()
    figure = go.Figure([_line(), *_points_by_name(shown, names)])
    decorate(figure, "Neurons on cosets", plot_height=340, above=TOP_BARE, below=BELOW_STEPS)
    # Cosets leave at most 5 % of a neuron that is shown, and chance leaves up to all.
    for update, title, highest in (
        (figure.update_xaxes, "unexplained at best by chance (fraction)", 1.0),
        (figure.update_yaxes, "unexplained by its cosets (fraction)", 1 - COSET_SHARE),
    ):
        low, high = math.log10(SMALLEST_REST) - 0.15, math.log10(highest) + 0.15
        update(title_text=title, type="log", dtick=1, range=[low, high], exponentformat="power")
    return figure


def _points_by_name(shown: pd.DataFrame, names: list[str]) -> list[go.Scatter]:
    traces = []
    for number, name in enumerate(names[:_MAX_NAMED]):
        chosen = shown.loc[shown["coset_subgroup"] == name]
        traces.append(_points(chosen, name, key_color(number), key_symbol(number)))
    others = shown.loc[shown["coset_subgroup"].isin(names[_MAX_NAMED:])]
    if len(others):
        traces.append(_points(others, "another subgroup", OTHER_COLOR, "circle-open"))
    return traces


def _points(shown: pd.DataFrame, name: str, color: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=(1 - shown["coset_null"]).clip(lower=SMALLEST_REST).tolist(),
        y=(1 - shown["coset_fit"]).clip(lower=SMALLEST_REST).tolist(),
        customdata=shown[["neuron", "coset_index"]].astype(int).to_numpy(),
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 6, "opacity": 0.8},
        hovertemplate=_HOVER,
    )


def _line() -> go.Scatter:
    return go.Scatter(
        x=[SMALLEST_REST, 1],
        y=[MOST_LEFT * SMALLEST_REST, MOST_LEFT],
        mode="lines",
        name="half of what chance leaves",
        line={"color": MARK_COLOR, "dash": "dash", "width": 1.2},
        hoverinfo="skip",
    )
