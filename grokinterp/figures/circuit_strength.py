"""The two circuits against each other along training, and what every part is worth at its end."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from grokinterp.circuits.components import Component, words_of_component
from grokinterp.errors import ConfigError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import Line, Panel, figure_of_panels
from grokinterp.figures.style import LOSS_TITLE, SPLIT_COLORS, TOP_BARE, decorate
from grokinterp.trajectory.analysis import Analysis

_TRAIN, _TEST, _ALL = (SPLIT_COLORS[name] for name in ("train", "test", "all"))
_SYMBOLS = {"mean": "circle", "zero": "x", "resample": "diamond"}
FILL_COLORS = {"mean": "#009E73", "zero": "#CC79A7", "resample": "#E69F00"}
"""Color of what stands in place of an ablated part."""


def plot_circuit_strength(analysis: Analysis) -> go.Figure:
    """What each circuit adds to the correct logit, and how often it is right alone.

    Solid lines are the trigonometric circuit, dotted ones the memorization circuit.

    Returns
    -------
    plotly.graph_objects.Figure
        Logits, accuracies and a share of power over steps in updates.

    Raises
    ------
    FitError
        If there are no key frequencies.
    """
    table = analysis.trajectory
    panels = (
        Panel(
            "correct logit above the mean<br>(logits)",
            table,
            (
                Line("trigonometric_logit_train", "trigonometric, train", _TRAIN),
                Line("memorization_logit_train", "memorization, train", _TRAIN, "dot"),
                Line("memorization_logit_test", "memorization, test", _TEST, "dot"),
            ),
        ),
        Panel(
            "accuracy alone<br>(fraction)",
            table,
            (
                Line("held_out_restricted_accuracy", "trigonometric alone, test", _TEST),
                Line("excluded_accuracy_train", "memorization alone, train", _TRAIN, "dot"),
            ),
        ),
        Panel(
            "power outside<br>(fraction)",
            table,
            (
                Line(
                    "fraction_logit_power_memorization",
                    "logit power outside the trigonometric circuit",
                    _ALL,
                ),
            ),
        ),
    )
    fields = FIELDS_OF_FIGURES["circuit-strength"]
    absent = ("The two circuits were not separated", *fields, "circuits")
    return figure_of_panels(analysis, panels, title="Circuits against each other", absent=absent)


def plot_component_ablations(analysis: Analysis) -> go.Figure:
    """Loss without each head, group of neurons and residual path, by what stands in its place.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses in nats on all pairs, one row per part and one mark per replacement.

    Raises
    ------
    FitError
        If only the logits were ablated, as with ``deep=False``.
    """
    rows = analysis.ablations.to_dict(orient="records")
    parts = [row for row in rows if _is_part(row)]
    if not parts:
        fields = FIELDS_OF_FIGURES["component-ablations"]
        raise nothing_to_draw(analysis, "No head, neuron or path was ablated", *fields)
    figure = go.Figure()
    for fill in FILL_COLORS:
        marks = [row for row in parts if _fill(row) == fill]
        if marks:
            figure.add_trace(_marks(marks, fill))
    names = list(dict.fromkeys(_words(row) for row in parts))
    decorate(
        figure,
        f"Ablations of {_places(parts)}",
        plot_height=30 * len(names) + 20,
        above=TOP_BARE,
    )
    full = float(rows[0]["loss_all"])
    if full > 0:
        figure.add_vline(x=full, line={"dash": "dash", "color": _ALL, "width": 1})
    figure.update_xaxes(
        type="log",
        exponentformat="power",
        nticks=7,
        tickfont={"size": 9.5},
        title_text=f"{LOSS_TITLE}, all pairs",
        range=_span([full, *(float(row["loss_all"]) for row in parts)]),
    )
    order = {"categoryorder": "array", "categoryarray": names}
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", **order)
    return figure


def _span(losses: Sequence[float]) -> list[float]:
    """Ends of a logarithmic axis on which every loss stands, the dashed line too."""
    logs = [math.log10(loss) for loss in losses if loss > 0]
    room = max(0.04 * (max(logs) - min(logs)), 0.02)
    return [min(logs) - room, max(logs) + room]


def _places(rows: Sequence[Mapping[Hashable, Any]]) -> str:
    """Where something was taken out, in words: ``heads, neurons and paths``."""
    components = [component for row in rows if (component := _component(row))]
    done = {site for component in components for site in component.sites}
    places = [place for place in ("heads", "neurons", "paths") if place in done] or ["parts"]
    return " and ".join([", ".join(places[:-1]), places[-1]] if places[1:] else places)


def _is_part(row: Mapping[Hashable, Any]) -> bool:
    """Whether a row removes a head, neurons or a path, with a loss that can be drawn."""
    if not str(row["intervention"]).startswith("removed from"):
        return False
    component = _component(row)
    is_of_waves = component is not None and component.is_of_waves
    return not is_of_waves and math.isfinite(row["loss_all"]) and row["loss_all"] > 0


def _component(row: Mapping[Hashable, Any]) -> Component | None:
    try:
        return Component.parse(str(row["component"]))
    except ConfigError:  # a row that somebody added to the table
        return None


def _fill(row: Mapping[Hashable, Any]) -> str:
    found = re.search(r"\((\w+)\)$", str(row["intervention"]))
    return found.group(1) if found else "mean"


def _marks(rows: Sequence[Mapping[Hashable, Any]], fill: str) -> go.Scatter:
    return go.Scatter(
        x=np.array([row["loss_all"] for row in rows], dtype=float),
        y=[_words(row) for row in rows],
        name=fill,
        mode="markers",
        marker={"color": FILL_COLORS[fill], "symbol": _SYMBOLS[fill], "size": 9},
        hovertemplate="%{y}<br>" + fill + " %{x:.3g} nats<extra></extra>",
    )


def _words(row: Mapping[Hashable, Any]) -> str:
    return html.escape(words_of_component(row["component"]))
