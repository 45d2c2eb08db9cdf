"""The elements in the planes of frequencies: clock faces in the embedding."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.embedding_circles import circle_of_rows
from grokinterp.errors import FitError
from grokinterp.figures.style import TOP_BARE, decorate, key_color, key_name

_MOST_PANELS = 8
_LABELS = 9
"""Elements that are named on each circle, so that their order can be read."""


def plot_embedding_circles(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> go.Figure:
    """Draw the embedding of every residue in the plane of each key frequency.

    Parameters
    ----------
    snapshot
        Of a network with operands, on a task with a cyclic view.
    key_frequencies
        Frequencies without a sine (n / 2 of an even n) have no plane and are left out.

    Returns
    -------
    plotly.graph_objects.Figure
        A panel for each frequency, at most eight. A line joins the residues in the order in which a
        hand of that frequency meets them. Where the network has learned the frequency this is a
        ring; otherwise it is a tangle.

    Raises
    ------
    FitError
        If there is no frequency to draw.
    ConfigError
        If the network has no operands.

    Examples
    --------
    >>> figure = plot_embedding_circles(snapshot, keys)
    >>> len(figure.data) == len(keys.frequencies)
    True
    """
    view = snapshot.task.group_view
    if view is None or not view.is_cyclic:
        raise FitError(f"There are no circles: {snapshot.task.spec.in_words} has no cyclic view.")
    n = view.order
    frequencies = [k for k in key_frequencies.frequencies if 2 * k != n][:_MOST_PANELS]
    if not frequencies:
        reason = f" Reason: {key_frequencies.reason}." if key_frequencies.reason else ""
        raise FitError(f"There is no key frequency to draw a circle of.{reason}")
    n_columns = min(4, len(frequencies))
    n_rows = -(-len(frequencies) // n_columns)
    names = [key_name(k) for k in frequencies]
    figure = make_subplots(n_rows, n_columns, subplot_titles=names, horizontal_spacing=0.05)
    for index, k in enumerate(frequencies):
        points = circle_of_rows(snapshot.operand_rows, k).numpy()
        order = _order_of_hand(n, k)
        axis = "" if index == 0 else str(index + 1)
        row, column = index // n_columns + 1, index % n_columns + 1
        figure.add_trace(_ring(points, order, index), row=row, col=column)
        figure.update_yaxes(scaleanchor=f"x{axis}", showticklabels=False, row=row, col=column)
        figure.update_xaxes(showticklabels=False, row=row, col=column)
    figure.update_xaxes(ticks="", showgrid=False)
    figure.update_yaxes(ticks="", showgrid=False)
    title = f"The residues in the embedding, step {snapshot.step:,}"
    decorate(figure, title, plot_height=230 * n_rows, above=TOP_BARE + 20)
    return figure.update_layout(showlegend=False)


def _order_of_hand(n: int, k: int) -> np.ndarray:
    """Residues in the order in which a hand of frequency k meets them, closed where it is one."""
    angle = np.arange(n) * k % n
    order = np.argsort(angle, kind="stable")
    return np.append(order, order[0])


def _ring(points: np.ndarray, order: np.ndarray, index: int) -> go.Scatter:
    n = len(order) - 1
    step = max(1, round(n / _LABELS))
    words = ["" if i % step or i == n else str(x) for i, x in enumerate(order)]
    return go.Scatter(
        x=points[order, 0],
        y=points[order, 1],
        mode="lines+markers+text",
        text=words,
        textposition="top center",
        hovertext=[str(x) for x in order],
        hoverinfo="text",
        marker={"color": key_color(index), "size": 5},
        line={"color": key_color(index), "width": 1},
    )
