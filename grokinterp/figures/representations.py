"""Irreducible representations along training, for networks on a group that is not cyclic."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.lines import Line, Panel, figure_of_panels
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.figures.style import key_color, key_dash
from grokinterp.trajectory.analysis import Analysis

_PANELS = {
    "logit_power_share": "share of logit power<br>(fraction)",
    "embedding_norm": "embedding norm<br>(weight units)",
    "excluded_loss_train": "loss on train without it<br>(nats)",
    "n_neurons": "neurons<br>(count)",
}


def plot_representations(analysis: Analysis) -> go.Figure:
    """What every representation holds and what the network loses without it, one line each.

    Returns
    -------
    plotly.graph_objects.Figure
        One panel per column that was measured.

    Raises
    ------
    FitError
        For cyclic groups, which have frequencies instead.
    """
    spectrum = spectrum_of(analysis)
    absent = ("No representation was followed", "key_representations")
    table = spectrum.table
    if "representation" not in table:
        raise nothing_to_draw(analysis, *absent)
    lines = tuple(
        Line(
            str(name),
            str(name),
            key_color(index),
            key_dash(index),
            width=2.6 if name in spectrum.keys else 1.4,
        )
        for index, name in enumerate(spectrum.colored)
    )
    panels = [
        Panel(
            title,
            table.pivot_table(column, "step", "representation", aggfunc="last").reset_index(),
            lines,
            is_log=column == "excluded_loss_train",
        )
        for column, title in _PANELS.items()
        if column in table
    ]
    return figure_of_panels(analysis, panels, title="Representations along training", absent=absent)
