"""The local learning coefficient: its chains, its plateau, and its course along a run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.errors import ConfigError
from grokinterp.fields import checked
from grokinterp.figures.lines import Line, add_lines, set_log_axis
from grokinterp.figures.style import (
    LOSS_TITLE,
    MARK_COLOR,
    SPLIT_COLORS,
    STEP_TITLE,
    decorate,
    key_color,
)
from grokinterp.learning_coefficient import LearningCoefficient
from grokinterp.thinning import thin_points

_COLOR = "#6741D9"
_TITLE = "local learning<br>coefficient (no unit)"
_MOST_POINTS = 800
_NEEDED = ("step", "value", "estimate", "standard_error", "loss", "test_accuracy")


def plot_learning_coefficient(found: LearningCoefficient) -> go.Figure:
    """Draw what :func:`grokinterp.local_learning_coefficient` found.

    Parameters
    ----------
    found
        With a value or without.

    Returns
    -------
    plotly.graph_objects.Figure
        Two panels: the loss of each chain over its draws, with the loss at the weights
        themselves; the estimate of every setting over the step size, a line for each n beta.
        Settings on the plateau are filled, those that are not usable are crosses.

    Raises
    ------
    ConfigError
        If `found` is something else.

    Examples
    --------
    >>> found = gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[1e-3])
    >>> [trace.name for trace in gi.figures.plot_learning_coefficient(found).data]
    ['chain 1', 'chain 2', 'chain 3', 'chain 4', 'n beta 2']
    """
    remedy = "Make one: gi.local_learning_coefficient(snapshot)."
    checked("found", found, LearningCoefficient, remedy)
    figure = make_subplots(2, 1, vertical_spacing=0.2)
    for chain, losses in enumerate(found.traces.numpy()):
        x, y = thin_points(np.arange(1, len(losses) + 1), losses, _MOST_POINTS)
        line = {"color": key_color(chain), "width": 1}
        name = f"chain {chain + 1}"
        figure.add_trace(go.Scatter(x=x, y=y, name=name, mode="lines", line=line), row=1, col=1)
    figure.add_hline(found.loss, line={"color": MARK_COLOR, "dash": "dash"}, row=1, col=1)  # type: ignore[arg-type]
    for index, (n_beta, cells) in enumerate(found.plateau.groupby("n_beta")):
        figure.add_trace(_estimates(cells, f"n beta {n_beta:.3g}", key_color(index)), row=2, col=1)
    figure.update_xaxes(title_text="draw (updates)", row=1, col=1)
    figure.update_yaxes(title_text=LOSS_TITLE, row=1, col=1)
    figure.update_xaxes(title_text="step size (weight units)", type="log", row=2, col=1)
    figure.update_yaxes(title_text=_TITLE, row=2, col=1)
    said = found.title if found.reason is None else "no local learning coefficient"
    decorate(figure, said.replace("LearningCoefficient", "local learning coefficient"))
    figure.update_layout(height=620)
    return figure


def plot_learning_coefficient_curve(curve: pd.DataFrame) -> go.Figure:
    """Draw what :func:`grokinterp.learning_coefficient_curve` found.

    Parameters
    ----------
    curve
        A row per checkpoint.

    Returns
    -------
    plotly.graph_objects.Figure
        Three panels over the steps: the coefficient, in gray also where it is not to be
        believed; the loss over the pairs it was estimated on; the accuracy on test pairs.

    Raises
    ------
    ConfigError
        If a column is missing.

    Examples
    --------
    >>> curve = gi.learning_coefficient_curve(run, n_beta=2, step_size=1e-3, every=4, n_draws=100)
    >>> len(gi.figures.plot_learning_coefficient_curve(curve).data)
    4
    """
    absent = [name for name in _NEEDED if name not in curve]
    if absent:
        raise ConfigError(
            f"curve has no column {absent[0]!r}. Pass what gi.learning_coefficient_curve(run, ...) "
            "returns."
        )
    figure = make_subplots(3, 1, shared_xaxes=True, vertical_spacing=0.05)
    estimate = Line("estimate", "estimate", MARK_COLOR, "dot")
    add_lines(figure, curve, (estimate, Line("value", "coefficient", _COLOR)), row=1)
    add_lines(figure, curve, (Line("loss", "loss", SPLIT_COLORS["train"]),), row=2)
    accuracy = Line("test_accuracy", "test accuracy", SPLIT_COLORS["test"])
    add_lines(figure, curve, (accuracy,), row=3)
    titles = (_TITLE, LOSS_TITLE, "accuracy on<br>test pairs (fraction)")
    for row, title in enumerate(titles, start=1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    set_log_axis(figure, 2)
    figure.update_xaxes(tickformat=",d")
    figure.update_xaxes(title_text=STEP_TITLE, row=3, col=1)
    decorate(figure, "Local learning coefficient", plot_height=600)
    return figure


def _estimates(cells: pd.DataFrame, name: str, color: str) -> go.Scatter:
    """Estimates of one n beta, marked by whether they count."""
    is_usable = np.asarray(cells["problem"] == "")
    is_on = np.asarray(cells["on_plateau"], dtype=bool)
    symbols = np.where(is_on, "circle", np.where(is_usable, "circle-open", "x"))
    return go.Scatter(
        x=cells["step_size"],
        y=cells["estimate"],
        error_y={"type": "data", "array": cells["standard_error"]},
        name=name,
        mode="lines+markers",
        line={"color": color},
        marker={"symbol": symbols, "size": 9},
        customdata=cells[["r_hat", "problem"]].to_numpy(object),
        hovertemplate="%{y:.4g}, R-hat %{customdata[0]:.3f} %{customdata[1]}",
    )
