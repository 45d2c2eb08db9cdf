"""Losses with one circuit alone, or with one removed: along training and at its end."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import Line, figure_of_lines, finite_points
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.figures.style import (
    LOSS_TITLE,
    SPLIT_COLORS,
    TOP_BARE,
    decorate,
    key_color,
    key_dash,
    key_name,
)
from grokinterp.trajectory.analysis import Analysis

_TRAIN, _TEST, _ALL = (SPLIT_COLORS[name] for name in ("train", "test", "all"))
_FULL = (
    Line("train_loss", "full, train", _TRAIN, width=1.8),
    Line("test_loss", "full, test", _TEST, width=1.8),
)
_CIRCUITS = (
    Line("restricted_loss_test", "restricted, test", _TEST, "dash", 2.4),
    Line("excluded_loss_train", "excluded, train", _TRAIN, "dot", 2.8),
    Line("held_out_restricted_loss", "restricted, held out", _TEST, "dashdot", is_shown=False),
    Line("restricted_loss_all", "restricted, all", _ALL, "dash", is_shown=False),
    Line("restricted_loss_train", "restricted, train", _TRAIN, "dash", is_shown=False),
    Line("excluded_loss_all", "excluded, all", _ALL, "dot", is_shown=False),
)


def plot_restricted_and_excluded_loss(analysis: Analysis) -> go.Figure:
    """Loss of the trigonometric circuit alone, and loss without it, beside the full losses.

    Colors say which pairs (train, test, all), dashes which circuit is left: solid for the
    full network, dashed for restricted, dotted for excluded.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses in nats over steps in updates, on a logarithmic axis.

    Raises
    ------
    FitError
        If there are no key frequencies, since then neither loss exists.
    """
    table = analysis.trajectory
    absent = (
        "There is neither a restricted nor an excluded loss: that takes key "
        f"{spectrum_of(analysis).plural}",
        *FIELDS_OF_FIGURES["restricted-and-excluded-loss"],
    )
    if not any(len(finite_points(table, line.column)[0]) for line in _CIRCUITS):
        raise nothing_to_draw(analysis, *absent)
    return figure_of_lines(
        analysis,
        table,
        (*_FULL, *_CIRCUITS),
        title="Restricted and excluded loss",
        y_title=LOSS_TITLE,
        is_log=True,
        absent=absent,
    )


def plot_excluded_loss_by_frequency(analysis: Analysis) -> go.Figure:
    """Loss on the training pairs with one key frequency removed, one line per frequency.

    In a group that is not cyclic with one key representation removed.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses in nats over steps in updates, on a logarithmic axis.

    Raises
    ------
    FitError
        If there are no key frequencies.
    """
    spectrum = spectrum_of(analysis)
    wide, lines = by_key_frequency(analysis, "excluded_loss_train")
    absent = (
        f"No {spectrum.noun} was removed alone: that takes key {spectrum.plural}",
        *FIELDS_OF_FIGURES["excluded-loss-by-frequency"],
    )
    if not lines:
        raise nothing_to_draw(analysis, *absent)
    table = wide.merge(_train_loss(analysis.trajectory), on="step", how="left")
    return figure_of_lines(
        analysis,
        table,
        (Line("train_loss", "full, train", _TRAIN, width=1.8), *lines),
        title=f"Excluded loss per key {spectrum.noun}",
        y_title="excluded loss on train (nats)",
        is_log=True,
        absent=absent,
    )


def by_key_frequency(analysis: Analysis, column: str) -> tuple[pd.DataFrame, tuple[Line, ...]]:
    """One column per key frequency over the steps, and the lines that draw them.

    In a group that is not cyclic one per key representation.
    """
    spectrum = spectrum_of(analysis)
    table, keys = spectrum.table, spectrum.keys
    if not {"step", spectrum.noun, column} <= set(table.columns) or not keys:
        return pd.DataFrame({"step": []}), ()
    wide = table[table[spectrum.noun].isin(keys)].pivot_table(
        column, "step", spectrum.noun, aggfunc="last"
    )
    lines = tuple(
        Line(key_name(key), key_name(key), key_color(index), key_dash(index))
        for index, key in enumerate(spectrum.colored)
        if key in wide
    )
    wide.columns = [key_name(key) for key in wide.columns]
    return wide.reset_index(), lines


def _train_loss(trajectory: pd.DataFrame) -> pd.DataFrame:
    steps, losses = finite_points(trajectory, "train_loss")
    return pd.DataFrame({"step": steps, "train_loss": losses})


def plot_ablations(analysis: Analysis) -> go.Figure:
    """Loss at the last checkpoint with each part of the logits removed, on a logarithmic axis.

    Bars are the loss on all pairs, dots those on the train and the test pairs.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses in nats, one bar per row of the ablations of the logits.

    Raises
    ------
    FitError
        If nothing was ablated.
    """
    absent = ("Nothing was ablated", "ablations")
    table = analysis.ablations
    if "intervention" in table:
        table = table.loc[table["intervention"].isin(["none", "removed from logits"]), :]
    losses = [name for name in ("all", "train", "test") if f"loss_{name}" in table]
    if not len(table) or not losses:
        raise nothing_to_draw(analysis, *absent)
    values = table[[f"loss_{name}" for name in losses]].to_numpy(dtype=float)
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        raise nothing_to_draw(analysis, *absent)
    names = _unique([ablation_name(row) for row in table.to_dict("records")])
    figure = go.Figure()
    for name in losses:
        _add_ablations(figure, name, names, table[f"loss_{name}"].to_numpy(dtype=float))
    decorate(
        figure,
        "Ablations of the last checkpoint",
        plot_height=38 * len(names) + 10,
        above=TOP_BARE,
    )
    foot = np.floor(np.log10(positive.min())) - 0.3
    figure.update_xaxes(
        type="log",
        exponentformat="power",
        tickfont={"size": 9.5},
        nticks=7,
        title_text=LOSS_TITLE,
        range=[foot, np.log10(positive.max()) + 0.4],
    )
    figure.update_yaxes(autorange="reversed", automargin=True, ticks="", showgrid=False)
    return figure


def ablation_name(row: dict) -> str:
    """What the network lost, in words of two short lines: ``without k = 14``."""
    component = str(row.get("component") or "unnamed")
    place = str(row.get("intervention") or "").removeprefix("removed from ")
    if component == "full":
        return "full network"
    kind, _, key = component.partition("_")
    if kind == "frequency" and key.isdigit():
        what = f"without {key_name(int(key))}"
    elif kind == "representation" and key:
        what = f"without {key_name(key)}"
    else:
        what = f"without {component.replace('_', ' ')}"
    # Removal from the logits is what the measures along training mean as well.
    return what if place in ("", "none", "logits") else f"{what} ({place})"


def _add_ablations(figure: go.Figure, name: str, names: list[str], losses: np.ndarray) -> None:
    is_drawn = np.isfinite(losses) & (losses > 0)
    labels = [_two_lines(label) for label, drawn in zip(names, is_drawn, strict=True) if drawn]
    hover = "%{y}<br>" + name + " %{x:.3g} nats<extra></extra>"
    if name == "all":
        trace = go.Bar(
            x=losses[is_drawn],
            y=labels,
            name=name,
            orientation="h",
            marker={"color": SPLIT_COLORS[name], "opacity": 0.55},
            hovertemplate=hover,
        )
    else:
        symbol = "circle" if name == "train" else "diamond"
        trace = go.Scatter(
            x=losses[is_drawn],
            y=labels,
            name=name,
            mode="markers",
            marker={"color": SPLIT_COLORS[name], "size": 9, "symbol": symbol},
            hovertemplate=hover,
        )
    figure.add_trace(trace)


def _two_lines(label: str) -> str:
    """Break a long name, so that the names leave room for the bars on a narrow page."""
    first, space, rest = label.partition(" ")
    return html.escape(first) + ("<br>" if len(label) > 20 else space) + html.escape(rest)


def _unique(names: list[str]) -> list[str]:
    """Rows of one name would fall on one bar, so a repeated name gets its number."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result
