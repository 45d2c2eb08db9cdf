"""Why a frequency is key: the evidence, frequency by frequency."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.lines import numbers, set_log_axis
from grokinterp.figures.style import (
    MARK_COLOR,
    OTHER_COLOR,
    TOP_BARE,
    decorate,
    key_color,
    key_name,
)
from grokinterp.trajectory.analysis import Analysis

_PANELS = {
    "logit_power_share": "share of logit power<br>(fraction)",
    "embedding_norm": "embedding norm<br>(weight units)",
    "n_neurons": "neurons<br>(count)",
    "W_L_norm": "W_L norm<br>(weight units)",
}


def plot_key_frequency_evidence(analysis: Analysis, *, min_share: float = MIN_SHARE) -> go.Figure:
    """Four views of every frequency at the step where the key frequencies were chosen.

    The share of the logit power decides, on a logarithmic axis with its threshold and the
    level that permuted pairs reach; embedding norms, neurons per frequency and norms of
    W_L = W_out W_U stand beside it and change nothing.

    Parameters
    ----------
    analysis
        Its key frequencies carry the evidence.
    min_share
        Share of the logit power that the default rule asks for; drawn for that rule only.

    Returns
    -------
    plotly.graph_objects.Figure
        One panel per column that the evidence has.

    Raises
    ------
    FitError
        If there is no evidence, and for representations, which a table shows better.
    """
    absent = ("There is no evidence frequency by frequency", "evidence")
    evidence = analysis.key_frequencies.evidence
    if evidence is None or "frequency" not in evidence or not len(evidence):
        raise nothing_to_draw(analysis, *absent)
    columns = [c for c in _PANELS if c in evidence and _has_numbers(evidence, c)]
    if not columns:
        raise nothing_to_draw(analysis, *absent)
    figure = make_subplots(len(columns), 1, shared_xaxes=True, vertical_spacing=0.16 / len(columns))
    for row, column in enumerate(columns, start=1):
        _add_panel(figure, analysis, evidence, column, row)
        figure.update_yaxes(title_text=_PANELS[column], row=row, col=1)
    if columns[0] == "logit_power_share":
        _add_levels(figure, analysis, evidence, min_share)
    figure.update_xaxes(title_text="frequency k (cycles)", row=len(columns), col=1)
    figure.update_layout(barmode="overlay", bargap=0.2)
    height = 165 * len(columns)
    return decorate(figure, "Key frequencies: the evidence", plot_height=height, above=TOP_BARE)


def _has_numbers(table: pd.DataFrame, column: str) -> bool:
    return bool(np.isfinite(numbers(table, column)).any())


def _add_panel(
    figure: go.Figure, analysis: Analysis, evidence: pd.DataFrame, column: str, row: int
) -> None:
    keys = analysis.key_frequencies.frequencies
    is_other = ~np.isin(numbers(evidence, "frequency"), keys)
    rest = "other frequencies" if keys else "frequencies"
    groups = [(rest, OTHER_COLOR, pd.DataFrame(evidence[is_other]))]
    for index, key in enumerate(keys):
        rows = pd.DataFrame(evidence[evidence["frequency"] == key])
        groups.append((key_name(key), key_color(index), rows))
    for name, color, rows in groups:
        if len(rows):
            trace = _points if column == "logit_power_share" else _bars
            figure.add_trace(trace(rows, column, name, color, row == 1), row=row, col=1)
    if column == "logit_power_share":
        set_log_axis(figure, row)
        figure.update_yaxes(dtick=1, row=row, col=1)
    elif not np.nanmax(numbers(evidence, column)) > 0:
        # Bars that are all zero have no height; the axis has one all the same.
        figure.update_yaxes(range=[0, 1], row=row, col=1)


def _points(rows: pd.DataFrame, column: str, name: str, color: str, is_first: bool) -> go.Scatter:
    # Bars have no honest foot on a logarithmic axis.
    return go.Scatter(
        x=np.asarray(rows["frequency"]),
        y=numbers(rows, column),
        name=name,
        legendgroup=name,
        showlegend=is_first,
        mode="markers",
        marker={"color": color, "size": 9 if name.startswith("k =") else 5},
        hovertemplate="k = %{x}<br>%{y:.3g}<extra></extra>",
    )


def _bars(rows: pd.DataFrame, column: str, name: str, color: str, is_first: bool) -> go.Bar:
    return go.Bar(
        x=np.asarray(rows["frequency"]),
        y=numbers(rows, column),
        name=name,
        legendgroup=name,
        showlegend=is_first,
        marker={"color": color, "line": {"width": 0}},
        hovertemplate="k = %{x}<br>%{y:.4g}<extra></extra>",
    )


def _add_levels(
    figure: go.Figure, analysis: Analysis, evidence: pd.DataFrame, min_share: float
) -> None:
    """Draw the two levels that a key frequency must exceed under the default rule."""
    if analysis.key_frequencies.rule != "logit_power":
        return
    levels = [("threshold", min_share, "dash")]
    if "null_share" in evidence and _has_numbers(evidence, "null_share"):
        levels.append(
            ("permuted pairs, 99.9%", float(np.nanmax(numbers(evidence, "null_share"))), "dot")
        )
    frequencies = numbers(evidence, "frequency")
    ends = [int(frequencies.min()), int(frequencies.max())]
    for name, level, dash in levels:
        figure.add_trace(
            go.Scatter(
                x=ends,
                y=[level, level],
                mode="lines",
                name=f"{name} ({level:.2g})",
                line={"color": MARK_COLOR, "width": 1.3, "dash": dash},
                hoverinfo="skip",
            ),
            row=1,
            col=1,
        )
