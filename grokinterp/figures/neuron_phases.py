"""Whether the phases of the neurons fit: output against activation, neuron by neuron."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE
from grokinterp.errors import FitError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.style import (
    BELOW_STEPS,
    MARK_COLOR,
    OTHER_COLOR,
    TOP_BARE,
    decorate,
    key_color,
    key_name,
    key_symbol,
)
from grokinterp.trajectory.analysis import Analysis

MAX_NAMED = 8
"""Key frequencies with a color and a name each; more than these share a color scale."""
_COLOR_BAR_HEIGHT = 62
_HOVER = (
    "neuron %{customdata[0]}, k = %{customdata[1]}<br>sum %{x:.3f}<br>out %{y:.3f}<br>"
    "error %{customdata[2]:.3f}<extra></extra>"
)


def plot_neuron_phases(analysis: Analysis) -> go.Figure:
    r"""Phase of each neuron's output against that of its wave of a + b, in the last checkpoint.

    On the diagonal, :math:`\psi_{out} = \phi_a + \phi_b`, and waves of a + b - c add up over the
    neurons. Phases are periodic, so the dashed lines in the corners are the diagonal as well.

    Returns
    -------
    plotly.graph_objects.Figure
        Neurons in which one frequency explains over 85 % of what depends on a + b alone, colored
        by frequency.

    Raises
    ------
    FitError
        If no neuron has such phases, or they were not looked for.

    References
    ----------
    Gromov, "Grokking modular arithmetic", arXiv:2301.02679.
    """
    table = analysis.neurons
    if "phase_error" not in table:
        raise _without_phases(analysis)
    is_shown = table["fraction_sum_explained"].gt(SINGLE_FREQUENCY_SHARE)
    shown = table.loc[is_shown & table["phase_error"].notna()]
    if shown.empty:
        raise FitError(
            "No neuron has a phase to show. Reason: one frequency explains over "
            f"{SINGLE_FREQUENCY_SHARE:.0%} of what depends on a + b alone in 0 of {len(table):,} "
            "neurons."
        )
    keys = analysis.key_frequencies.frequencies
    has_names = 0 < len(keys) <= MAX_NAMED
    traces = _by_name(shown, keys) if has_names else [_by_scale(shown)]
    figure = go.Figure([*_diagonals(), *traces])
    below = BELOW_STEPS + (0 if has_names else _COLOR_BAR_HEIGHT)
    decorate(figure, "Phases of the neurons", plot_height=340, above=TOP_BARE, below=below)
    ticks = [-math.pi, -math.pi / 2, 0, math.pi / 2, math.pi]
    axis: dict[str, Any] = {
        "range": [-1.04 * math.pi, 1.04 * math.pi],
        "tickvals": ticks,
        "ticktext": ["−π", "−π/2", "0", "π/2", "π"],
    }
    figure.update_xaxes(title_text="phase of the wave of a + b (radians)", **axis)
    figure.update_yaxes(title_text="phase of the output (radians)", **axis)
    return figure


def _without_phases(analysis: Analysis) -> FitError:
    missing = analysis.run.missing_parts
    reason = missing.get("neurons") or missing.get("readout")
    if reason:
        return FitError(f"The neurons have no phases. Reason: {reason}.")
    if analysis.run.task.has_representations:
        return FitError(
            f"The neurons have no phases. Reason: {analysis.run.task.spec.in_words} has "
            "representations instead of frequencies."
        )
    if not len(analysis.neurons):
        return FitError("The neurons were not analyzed.")
    return nothing_to_draw(analysis, "The neurons have no phases", "by_frequency")


def _by_name(shown: pd.DataFrame, keys: tuple[int, ...]) -> list[go.Scatter]:
    traces = []
    for index, key in enumerate(keys):
        chosen = shown.loc[shown["frequency"] == key]
        if len(chosen):
            traces.append(_points(chosen, key_name(key), key_color(index), key_symbol(index)))
    others = shown.loc[~shown["frequency"].isin(keys)]
    if len(others):
        traces.append(_points(others, "another frequency", OTHER_COLOR, "circle-open"))
    return traces


def _by_scale(shown: pd.DataFrame) -> go.Scatter:
    trace = _points(shown, "neurons", shown["frequency"].astype(int).tolist(), "circle")
    trace.update(
        marker={
            "colorscale": "Viridis",
            "colorbar": {
                "orientation": "h",
                "thickness": 12,
                "y": -0.17,
                "yanchor": "top",
                "title": {"text": "frequency k (no unit)", "side": "bottom", "font": {"size": 12}},
            },
        }
    )
    return trace


def _points(shown: pd.DataFrame, name: str, color: Any, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=shown["phase_sum"].tolist(),
        y=shown["phase_out"].tolist(),
        customdata=shown[["neuron", "frequency", "phase_error"]].astype(float).to_numpy(),
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 6, "opacity": 0.8},
        hovertemplate=_HOVER,
    )


def _diagonals() -> list[go.Scatter]:
    lines = []
    for turns in (0, 1, -1):
        # Of the lines that are a turn away only a corner lies in the square.
        middle, half = -turns * math.pi, 0.12 if turns else math.pi
        x = [middle - half, middle + half]
        lines.append(
            go.Scatter(
                x=x,
                y=[value + 2 * math.pi * turns for value in x],
                mode="lines",
                name="output = sum",
                line={"color": MARK_COLOR, "dash": "dash", "width": 1.2},
                showlegend=turns == 0,
                hoverinfo="skip",
            )
        )
    return lines
