"""Families of two-dimensional modes: the spectrum, and what each family does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.circuits.mode_families import ModeFamilies
from grokinterp.errors import ConfigError, FitError
from grokinterp.figures.lines import numbers
from grokinterp.figures.style import KEY_COLORS, MARK_COLOR, OTHER_COLOR, TOP_BARE, decorate
from grokinterp.trajectory.analysis import Analysis

FAMILY_WORDS = {
    "constant": "constant",
    "sum": "a + b: (k, k)",
    "difference": "a − b: (k, −k)",
    "product": "ab",
    "same_representation": "one representation, not ab",
    "a": "a alone: (k, 0)",
    "b": "b alone: (0, k)",
    "generic": "generic: (j, k)",
}
"""Words for each family."""
_SMALLEST = 1e-6
"""Shares below it have one color: the axis of colors is logarithmic."""
_PARTS = ("logits", "neurons")


def plot_mode_families(found: ModeFamilies | Analysis) -> go.Figure:
    """Draw the two-dimensional spectrum, and the share and the accuracy of every family.

    Parameters
    ----------
    found
        What :func:`grokinterp.mode_families` returns, or an analysis, which has the same tables.

    Returns
    -------
    plotly.graph_objects.Figure
        A column for the logits, and one for the neurons if there are any. Above,
        bars by family: its share, the share that it would have by chance, the accuracy on all pairs
        with it alone, and the accuracy without it. Below, the share of the variance by the
        frequency of a and that of b, on a logarithmic scale: the diagonal has (k, k) and (k, -k)
        together, the edges have a alone and b alone, all else is generic.

    Raises
    ------
    ConfigError
        If it is neither of the two.
    FitError
        If the analysis has no families.

    Examples
    --------
    >>> figure = gi.figures.plot_mode_families(gi.mode_families(snapshot, keys))
    >>> [trace.type for trace in figure.data][:2]
    ['heatmap', 'bar']
    """
    table, spectrum = _tables(found)
    parts = [part for part in _PARTS if part in set(table["part"])]
    is_cyclic = all(isinstance(label, int | np.integer) for label in spectrum["first"])
    noun, unit = ("frequency", " (cycles)") if is_cyclic else ("representation", "")
    figure = make_subplots(
        2, len(parts), column_titles=parts, row_heights=[0.4, 0.6], vertical_spacing=0.27
    )
    for column, part in enumerate(parts, start=1):
        figure.add_trace(_map(spectrum.loc[spectrum["part"] == part]), row=2, col=column)
        for bar in _bars(table.loc[table["part"] == part], is_first=column == 1):
            figure.add_trace(bar, row=1, col=column)
        figure.update_xaxes(title_text=f"{noun} of b{unit}", row=2, col=column)
        figure.update_yaxes(title_text=f"{noun} of a{unit}", row=2, col=column)
    figure.update_yaxes(title_text="share, accuracy (fraction)", range=[0, 1.02], row=1)
    # Words of a family are long: upright they need the same room at every width.
    figure.update_xaxes(tickangle=-90, automargin=False, row=1)
    figure.update_layout(barmode="group")
    title = "Families of two-dimensional modes"
    return decorate(figure, title, plot_height=720, above=TOP_BARE + 20)


def _tables(found: ModeFamilies | Analysis) -> tuple[pd.DataFrame, pd.DataFrame]:
    if isinstance(found, ModeFamilies):
        return found.table, found.by_frequency
    if not isinstance(found, Analysis):
        raise ConfigError(
            f"found={type(found).__name__} is of the wrong type. Pass "
            "gi.mode_families(snapshot), or an analysis."
        )
    if found.mode_families.empty:
        why = found.why("key_frequencies", "key_representations")
        raise FitError(
            "There are no families of two-dimensional modes. Reason: "
            f"{why or 'the task has no view of a group, or they were not asked for'}."
        )
    return found.mode_families, found.mode_spectrum


def _map(spectrum: pd.DataFrame) -> go.Heatmap:
    labels = list(dict.fromkeys([*spectrum["first"], *spectrum["second"]]))
    if all(isinstance(label, int | np.integer) for label in labels):
        labels.sort()
    cells = spectrum.pivot_table("share", "first", "second", aggfunc="sum", sort=False)
    shares = cells.reindex(index=labels, columns=labels).to_numpy(float)
    return go.Heatmap(
        x=labels,
        y=labels,
        z=np.log10(np.clip(shares, _SMALLEST, None)),
        customdata=shares,
        zmin=np.log10(_SMALLEST),
        zmax=0,
        name="share of the variance",
        colorscale="Viridis",
        showscale=False,
        hovertemplate="a: %{y}<br>b: %{x}<br>share %{customdata:.3g}<extra></extra>",
    )


def _bars(table: pd.DataFrame, *, is_first: bool) -> list[go.Bar]:
    shown = {
        "share": ("share of the variance", KEY_COLORS[0]),
        "share_by_chance": ("share by chance", OTHER_COLOR),
        "kept_accuracy_all": ("accuracy with it alone", KEY_COLORS[3]),
        "ablated_accuracy_all": ("accuracy without it", MARK_COLOR),
    }
    names = [FAMILY_WORDS[str(family)] for family in table["family"]]
    return [
        go.Bar(
            x=names,
            y=table[column].tolist(),
            name=words,
            legendgroup=words,
            showlegend=is_first,
            marker={"color": color},
            hovertemplate="%{x}<br>%{y:.3g}",
        )
        for column, (words, color) in shown.items()
        if column in table and bool(np.isfinite(numbers(table, column)).any())
    ]
