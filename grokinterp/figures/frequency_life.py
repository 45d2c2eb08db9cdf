"""The power of every frequency along a run, with what happened to each."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import Line, Panel, figure_of_panels, finite_points
from grokinterp.figures.spectrum import Spectrum, spectrum_of
from grokinterp.figures.style import MARK_COLOR, OTHER_COLOR, key_color, key_dash, key_name
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.events import Event

MOST_OTHERS = 8
"""Lines of components that nothing happened to and that are not key, the strongest first."""
_MARKS = {"birth": "triangle-up", "death": "triangle-down", "swap": "diamond"}
_WORDS = {"birth": "born", "death": "gone", "swap": "swapped"}
_RULES = {
    "second_circuit": ("second circuit", "#6741D9", "solid"),
    "collapse": ("collapse", "#D55E00", "solid"),
    "slingshot": ("slingshot", MARK_COLOR, "dot"),
    "spike": ("spike", MARK_COLOR, "dot"),
}
_SHARE, _COEFFICIENT = "logit_power_share", "logit_coefficient"

MAX_STEPS = 400
"""Checkpoints that are drawn, evenly spaced, beside those of events: two panels of many lines."""


def plot_frequency_life(analysis: Analysis) -> go.Figure:
    """Draw what every frequency holds along a run, and mark the events.

    Frequencies that are key, or that an event happened to, have a color; the strongest of the
    others are gray. In a group that is not cyclic the same of representations.

    Returns
    -------
    plotly.graph_objects.Figure
        Over the steps, the share of the logits' power on a logarithmic axis, and the coefficient of
        the wave in logits. Triangles mark births (up) and deaths (down), diamonds swaps, vertical
        lines second circuits, collapses, slingshots and spikes.

    Raises
    ------
    FitError
        If the task has neither frequencies nor representations.

    Examples
    --------
    >>> figure = gi.figures.plot_frequency_life(analysis)
    >>> [trace.name for trace in figure.data if trace.mode == "markers"]
    ['born']
    """
    spectrum = spectrum_of(analysis)
    absent = (f"No {spectrum.noun} was followed", *FIELDS_OF_FIGURES["frequency-life"])
    if not {"step", spectrum.noun, _SHARE, _COEFFICIENT} <= set(spectrum.table.columns):
        raise nothing_to_draw(analysis, *absent)
    marked = [event.step for event in analysis.events]
    shares, sizes = (_wide(spectrum, column, marked) for column in (_SHARE, _COEFFICIENT))
    lines = _lines(analysis, spectrum, shares)
    panels = (
        Panel("share of logit power<br>(fraction)", shares, lines, is_log=True),
        Panel("coefficient<br>(logits)", sizes, lines),
    )
    title = f"Life of the {spectrum.plural}"
    figure = figure_of_panels(analysis, panels, title=title, absent=absent, panel_height=230)
    _mark_lives(figure, analysis.events, shares)
    _mark_whole_network(figure, analysis.events)
    return figure


def _wide(spectrum: Spectrum, column: str, marked: Sequence[int]) -> pd.DataFrame:
    """One column per component over the steps: some hundred of them, and those of events."""
    wide = spectrum.table.pivot_table(column, "step", spectrum.noun, aggfunc="last")
    wide.columns = [key_name(label) for label in wide.columns]
    is_drawn = wide.index.isin(list(marked))
    is_drawn[np.linspace(0, len(wide) - 1, min(len(wide), MAX_STEPS)).round().astype(int)] = True
    return wide[is_drawn].reset_index()


def _lines(analysis: Analysis, spectrum: Spectrum, shares: pd.DataFrame) -> tuple[Line, ...]:
    """Those that are key keep their color; then those with events; then the strongest others."""
    of_events = [label for event in analysis.events for label in event.frequencies]
    colored = list(dict.fromkeys([*spectrum.colored, *of_events]))
    names = [key_name(label) for label in colored]
    lines = [
        Line(name, name, key_color(i), key_dash(i))
        for i, name in enumerate(names)
        if name in shares
    ]
    rest = [name for name in shares.columns if name != "step" and name not in names]
    strongest = shares[rest].max().sort_values(ascending=False).index[:MOST_OTHERS]
    # One entry of the legend for all of them.
    others = [Line(str(name), "others", OTHER_COLOR, width=1.0) for name in strongest]
    return (*others, *lines)


def _mark_lives(figure: go.Figure, events: Sequence[Event], shares: pd.DataFrame) -> None:
    """Put a mark on the line of a component where something happened to it."""
    for kind, symbol in _MARKS.items():
        points = [
            (event.step, float(values[steps == event.step][0]), escape(event.sentence))
            for event in events
            if event.kind == kind
            for steps, values in [finite_points(shares, key_name(event.frequencies[-1]))]
            if (steps == event.step).any()
        ]
        points = [point for point in points if point[1] > 0]
        if points:
            x, y, text = zip(*points, strict=True)
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    text=text,
                    name=_WORDS[kind],
                    mode="markers",
                    marker={"symbol": symbol, "size": 10, "color": MARK_COLOR},
                    hovertemplate="%{text}<extra></extra>",
                ),
                row=1,
                col=1,
            )


def _mark_whole_network(figure: go.Figure, events: Sequence[Event]) -> None:
    """Draw a line through both panels where something happened to the network as a whole."""
    for event in events:
        if event.kind in _RULES:
            name, color, dash = _RULES[event.kind]
            figure.add_vline(
                x=event.step,
                line={"color": color, "width": 1.2, "dash": dash},
                name=f"{name} at step {event.step:,}",
                row="all",
                col="all",
            )
