"""Irreducible representations along training, for networks on a group that is not cyclic."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.errors import ConfigError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.lines import Line, Panel, figure_of_panels, numbers
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.figures.style import (
    BELOW_STEPS,
    OTHER_COLOR,
    TOP_BARE,
    decorate,
    key_color,
    key_dash,
    show_step,
)
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


def plot_logit_power(analysis: Analysis, *, step: int | None = None) -> go.Figure:
    """How the power of the logits is shared among the representations of the group, as bars.

    The power of a representation is the squared size of the part of the logits that lies in its
    matrix elements (Chughtai, Chan and Nanda 2023, arXiv:2302.03025).

    Parameters
    ----------
    analysis
        Of a network on a group that is not cyclic.
    step
        A checkpoint; the last one if None.

    Returns
    -------
    plotly.graph_objects.Figure
        Fractions of the logits' power, a bar for each representation; the key ones have their
        colors, the others are gray.

    Raises
    ------
    FitError
        For cyclic groups, which have frequencies instead
        (:func:`~grokinterp.figures.plot_key_frequency_evidence`).
    ConfigError
        If there is no checkpoint at that step, with the nearest one.

    Examples
    --------
    >>> of_permutations = gi.analyze_run(gi.load_run("runs/s3"), deep=False)
    >>> plot_logit_power(of_permutations).layout.title.text
    'Power of the logits by representation, step 60'
    """
    spectrum = spectrum_of(analysis)
    table = spectrum.table
    if "representation" not in table or "logit_power_share" not in table:
        raise nothing_to_draw(analysis, "No representation was followed", "key_representations")
    steps = sorted({int(one) for one in table["step"]})
    at = steps[-1] if step is None else step
    if at not in steps:
        nearest = min(steps, key=lambda one: abs(one - at))
        raise ConfigError(f"step={at} is not a checkpoint. The nearest is {nearest}.")
    rows = table[table["step"] == at].set_index("representation")
    figure = go.Figure()
    # The first representation stands at the top.
    for index, name in reversed(list(enumerate(spectrum.colored))):
        is_key = name in spectrum.keys
        figure.add_trace(
            go.Bar(
                x=numbers(rows.loc[[name]], "logit_power_share"),
                y=[str(name)],
                orientation="h",
                name="key representations" if is_key else "other representations",
                showlegend=False,
                marker={"color": key_color(index) if is_key else OTHER_COLOR, "line": {"width": 0}},
                hovertemplate="%{y}: %{x:.3g}<extra></extra>",
            )
        )
    figure.update_xaxes(title_text="share of the logits' power (fraction)", rangemode="tozero")
    figure.update_yaxes(type="category")
    title = f"Power of the logits by representation, step {show_step(at)}"
    height = 34 * len(spectrum.colored) + 40
    return decorate(figure, title, plot_height=height, above=TOP_BARE, below=BELOW_STEPS)
