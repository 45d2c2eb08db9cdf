"""The spectrum of the embedding along training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import mark_steps
from grokinterp.figures.style import (
    BELOW_STEPS,
    OTHER_COLOR,
    SLIDER_HEIGHT,
    STEP_TITLE,
    TOP_BARE,
    decorate,
    key_color,
    key_name,
    key_symbol,
    show_step,
)
from grokinterp.trajectory.analysis import Analysis

MAX_FRAMES = 60
MAX_HEATMAP_STEPS = 160
_COLOR_BAR_HEIGHT = 62
_NORM_TITLE = "embedding norm (weight units)"
_FREQUENCY_TITLE = "frequency k (cycles)"
_ABSENT = (
    "There is no spectrum of the embedding",
    *FIELDS_OF_FIGURES["embedding-spectrum"],
    "by_frequency",
)


def plot_embedding_spectrum(analysis: Analysis, *, max_frames: int = MAX_FRAMES) -> go.Figure:
    """Norm of the embedding at every frequency, with a slider over the checkpoints.

    Returns
    -------
    plotly.graph_objects.Figure
        One bar per frequency, key frequencies in their colors, one frame per shown
        checkpoint (see :func:`chosen_steps`).

    Raises
    ------
    FitError
        If no spectrum was measured.
    """
    norms = _norms(analysis)
    if norms is None:
        raise nothing_to_draw(analysis, *_ABSENT)
    steps = chosen_steps(list(norms.index), max_frames, _steps_of_interest(analysis))
    norms = norms.loc[steps]
    groups = _bar_groups(analysis, list(norms.columns))
    figure = go.Figure(
        data=[_bars(norms.loc[steps[-1]], group) for group in groups],
        frames=[
            go.Frame(
                name=str(step),
                data=[{"type": "bar", "y": norms.loc[step, list(g[2])].to_numpy()} for g in groups],
            )
            for step in steps
        ],
    )
    sliders = [_slider(steps)] if len(steps) > 1 else []
    below = BELOW_STEPS + SLIDER_HEIGHT * len(sliders)
    decorate(figure, "Embedding spectrum", above=TOP_BARE, below=below)
    top = float(np.nanmax(norms.to_numpy())) * 1.06
    figure.update_layout(barmode="overlay", bargap=0.15, sliders=sliders)
    figure.update_xaxes(title_text=_FREQUENCY_TITLE)
    figure.update_yaxes(title_text=_NORM_TITLE, range=[0, top or 1.0])
    return figure


def plot_embedding_heatmap(analysis: Analysis) -> go.Figure:
    """Norm of the embedding as a map of steps and frequencies.

    Returns
    -------
    plotly.graph_objects.Figure
        Key frequencies carry a mark at the right edge.

    Raises
    ------
    FitError
        If no spectrum was measured, or at fewer than two checkpoints.
    """
    norms = _norms(analysis)
    if norms is None:
        raise nothing_to_draw(analysis, *_ABSENT)
    if len(norms) < 2:
        raise FitError("One checkpoint has a spectrum and no course of it: draw the spectrum.")
    steps = chosen_steps(list(norms.index), MAX_HEATMAP_STEPS, _steps_of_interest(analysis))
    norms = norms.loc[steps]
    figure = go.Figure(
        go.Heatmap(
            x=steps,
            y=list(norms.columns),
            z=norms.to_numpy().T,
            name="embedding norm",
            colorscale="Viridis",
            colorbar={
                "orientation": "h",
                "thickness": 12,
                "y": -0.17,
                "yanchor": "top",
                "title": {"text": _NORM_TITLE, "side": "bottom", "font": {"size": 12}},
            },
            hovertemplate="step %{x:,}<br>k = %{y}<br>norm %{z:.4g}<extra></extra>",
        )
    )
    _mark_keys(figure, analysis, float(steps[-1]))
    decorate(
        figure,
        "Embedding spectrum over time",
        plot_height=300,
        below=BELOW_STEPS + _COLOR_BAR_HEIGHT,
    )
    figure.update_xaxes(title_text=STEP_TITLE, tickformat=",d", range=[steps[0], steps[-1]])
    rows = [float(norms.columns[0]) - 0.5, float(norms.columns[-1]) + 0.5]
    figure.update_yaxes(title_text=_FREQUENCY_TITLE, range=rows)
    mark_steps(figure, analysis)
    figure.for_each_annotation(
        lambda words: words.update(font={"color": "#ffffff"}, bgcolor="rgba(40, 20, 60, 0.55)"),
        selector={"textangle": -90},
    )
    # Shading would change the colors of the map; names above it and lines across it do not.
    layout: Any = figure.layout
    layout.shapes = tuple(s for s in layout.shapes or () if s.type != "rect")
    return figure


def without_slider(figure: go.Figure) -> go.Figure:
    """Return a copy that has its frames but neither the slider nor the room under it."""
    bare = go.Figure(figure)
    layout: Any = bare.layout
    layout.sliders = ()
    layout.height -= SLIDER_HEIGHT
    layout.margin.b -= SLIDER_HEIGHT
    layout.meta = {"below": layout.meta["below"] - SLIDER_HEIGHT}
    return bare


def chosen_steps(steps: Sequence[int], limit: int, of_interest: Sequence[int] = ()) -> list[int]:
    """At most `limit` checkpoints: first, last, those nearest to events, and evenly between.

    Examples
    --------
    >>> chosen_steps(range(0, 1000, 10), 5, of_interest=[333])
    [0, 330, 660, 990]
    """
    steps = sorted(int(step) for step in steps)
    if len(steps) <= limit:
        return steps
    nearest = {min(steps, key=lambda s, at=at: abs(s - at)) for at in of_interest}
    kept = {steps[0], steps[-1], *sorted(nearest)[: max(0, limit - 2)]}
    for n_even in range(limit, 1, -1):
        rows = np.linspace(0, len(steps) - 1, n_even).round().astype(int)
        union = kept | {steps[row] for row in rows}
        if len(union) <= limit:
            return sorted(union)
    return sorted(kept)[:limit]


def _norms(analysis: Analysis) -> pd.DataFrame | None:
    """Steps by frequencies; None where no norm was measured."""
    table = analysis.by_frequency
    if not {"step", "frequency", "embedding_norm"} <= set(table.columns):
        return None
    norms = table.pivot_table("embedding_norm", "step", "frequency", aggfunc="last")
    norms = norms.astype(float).replace([np.inf, -np.inf], np.nan).dropna(how="all")
    return None if norms.empty else norms


def _steps_of_interest(analysis: Analysis) -> list[int]:
    phases = (analysis.phases.memorization, analysis.phases.circuit_formation)
    marked = (analysis.milestones.memorization_step, analysis.milestones.grokking_step)
    edges = [phase[1] for phase in (*phases, analysis.phases.cleanup) if phase is not None]
    return [int(step) for step in (*marked, *edges) if step is not None]


_BarGroup = tuple[str, str, tuple[int, ...]]


def _bar_groups(analysis: Analysis, frequencies: Sequence[int]) -> list[_BarGroup]:
    keys = analysis.key_frequencies.frequencies
    others = tuple(int(k) for k in frequencies if k not in keys)
    groups: list[_BarGroup] = []
    if others:
        groups.append(("other frequencies" if keys else "frequencies", OTHER_COLOR, others))
    for index, key in enumerate(keys):
        if key in frequencies:
            groups.append((key_name(key), key_color(index), (key,)))
    return groups


def _bars(norms: pd.Series, group: _BarGroup) -> go.Bar:
    name, color, frequencies = group
    return go.Bar(
        x=list(frequencies),
        y=norms.loc[list(frequencies)].to_numpy(),
        name=name,
        marker={"color": color, "line": {"width": 0}},
        hovertemplate="k = %{x}<br>norm %{y:.4g}<extra></extra>",
    )


def _slider(steps: Sequence[int]) -> dict:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    return {
        "active": len(steps) - 1,
        "currentvalue": {"prefix": "step ", "font": {"size": 13}, "xanchor": "left"},
        "pad": {"t": 44, "b": 4},
        "ticklen": 3,
        "minorticklen": 2,
        "font": {"size": 11},
        "bgcolor": "rgba(128, 128, 128, 0.25)",
        "bordercolor": "rgba(128, 128, 128, 0.5)",
        "activebgcolor": "#0072B2",
        "steps": [
            {
                "method": "animate",
                "label": show_step(step),
                "args": [[str(step)], {**still, "transition": {"duration": 0}}],
            }
            for step in steps
        ],
    }


def _mark_keys(figure: go.Figure, analysis: Analysis, last: float) -> None:
    for index, key in enumerate(analysis.key_frequencies.frequencies):
        figure.add_trace(
            go.Scatter(
                x=[last],
                y=[key],
                name=key_name(key),
                mode="markers",
                marker={
                    "symbol": key_symbol(index),
                    "color": key_color(index),
                    "size": 9,
                    "line": {"color": "#ffffff", "width": 1},
                },
                cliponaxis=False,
                hovertemplate=f"key frequency {key}<extra></extra>",
            )
        )
