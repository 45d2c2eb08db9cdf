"""Loss and accuracy along training."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.absence import nothing_to_draw
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.forecast import add_forecast
from grokinterp.figures.lines import Line, add_lines, figure_of_lines, finite_points
from grokinterp.figures.log_steps import set_log_steps
from grokinterp.figures.style import LOSS_TITLE, MARK_COLOR, SPLIT_COLORS, traces
from grokinterp.trajectory.analysis import Analysis

_MIRRORED = (
    Line("test_accuracy_mirrored", "test, mirrored", SPLIT_COLORS["test"], "dash", 1.6),
    Line("test_accuracy_unmirrored", "test, unmirrored", SPLIT_COLORS["test"], "dot", 1.6),
)


def plot_losses(analysis: Analysis, *, log_steps: bool = False) -> go.Figure:
    """Train and test loss at every recorded step, on a logarithmic axis.

    Long curves are thinned for the screen in a way that keeps every peak; the losses
    themselves stay in ``analysis.run.curves``. For a run under way a band shows where it is
    expected to grok (:func:`grokinterp.forecast`), if anything can be said.

    Parameters
    ----------
    analysis
        Its run's curves are drawn; its checkpoints, if the run came without curves.
    log_steps
        Draw the steps on a logarithmic axis too, as Power et al. 2022 (arXiv:2201.02177) do.
        Step 0 has no place there.

    Returns
    -------
    plotly.graph_objects.Figure
        Loss in nats over steps in updates; squared errors if the run was trained on them.

    Raises
    ------
    FitError
        If no finite loss was recorded, or none after step 0 for a logarithmic axis of steps.

    Examples
    --------
    >>> plot_losses(analysis).layout.yaxis.title.text
    'loss (nats)'
    >>> plot_losses(analysis, log_steps=True).layout.xaxis.type
    'log'
    """
    lines = (
        Line("train_loss", "train", SPLIT_COLORS["train"]),
        Line("test_loss", "test", SPLIT_COLORS["test"]),
    )
    table = _curves_or_trajectory(analysis, *_LOSSES)
    figure = figure_of_lines(
        analysis,
        table,
        lines,
        title="Loss",
        y_title=loss_title(analysis),
        is_log=True,
        absent=("No finite loss was recorded", *FIELDS_OF_FIGURES["loss"]),
    )
    if analysis.forecast is not None:
        add_forecast(figure, analysis.forecast)
    if log_steps:
        points = {line.name: finite_points(table, line.column) for line in lines}
        set_log_steps(figure, points)
    return figure


def plot_accuracies(analysis: Analysis) -> go.Figure:
    """Train and test accuracy; the mirrored and unmirrored test pairs wait in the legend.

    Returns
    -------
    plotly.graph_objects.Figure
        Fractions in [0, 1] over steps in updates, with the level of chance.

    Raises
    ------
    FitError
        If no accuracy was recorded.
    """
    lines = (
        Line("train_accuracy", "train", SPLIT_COLORS["train"]),
        Line("test_accuracy", "test", SPLIT_COLORS["test"]),
    )
    table = _curves_or_trajectory(analysis, "train_accuracy", "test_accuracy")
    figure = figure_of_lines(
        analysis,
        table,
        lines,
        title="Accuracy",
        y_title=_FRACTION,
        absent=("No accuracy was recorded", *FIELDS_OF_FIGURES["accuracy"]),
    )
    n_lines = len(traces(figure))
    add_lines(figure, analysis.trajectory, _MIRRORED)
    for trace in traces(figure)[n_lines:]:
        trace.update(visible="legendonly")
    _add_level(figure, "chance", 1 / analysis.run.task.n_classes)
    figure.update_yaxes(range=[-0.03, 1.06])
    return figure


def plot_mirrored_accuracies(analysis: Analysis) -> go.Figure:
    """Test accuracy apart for the pairs (a, b) whose mirror image (b, a) is trained on.

    A network that has memorized its pairs and learned only a∘b = b∘a is right on the mirrored
    pairs and at chance on the others.

    Returns
    -------
    plotly.graph_objects.Figure
        Fractions in [0, 1] over steps in updates, with the train fraction and chance.

    Raises
    ------
    FitError
        If the operation does not commute, no test pair is mirrored, or the two accuracies
        were not measured.
    """
    table = analysis.trajectory
    absent = ("The two accuracies were not measured", *FIELDS_OF_FIGURES["mirrored-accuracy"])
    operation = analysis.run.task.operation
    if not operation.is_commutative:
        name = operation.words[0].upper() + operation.words[1:]
        raise FitError(f"{name} does not commute, so a pair says nothing about its mirror image.")
    split = analysis.run.split
    if split.is_known and not split.is_mirrored[split.test].any():
        raise FitError(
            "No test pair has a trained mirror image, so the test accuracy is already that of "
            "unmirrored pairs."
        )
    if not any(len(finite_points(table, line.column)[0]) for line in _MIRRORED):
        raise nothing_to_draw(analysis, *absent)
    lines = (Line("test_accuracy", "test", SPLIT_COLORS["test"]), *_MIRRORED)
    figure = figure_of_lines(
        analysis,
        table,
        lines,
        title="Mirrored and unmirrored accuracy",
        y_title=_FRACTION,
        absent=absent,
    )
    _add_level(figure, "train fraction", analysis.run.task.spec.train_fraction)
    _add_level(figure, "chance", 1 / analysis.run.task.n_classes)
    figure.update_yaxes(range=[-0.03, 1.06])
    return figure


def shows_squared_error(analysis: Analysis) -> bool:
    """Whether the loss that was recorded while training is a squared error and no cross-entropy."""
    is_trained_on = getattr(analysis.run.config, "loss", None) == "mse"
    return is_trained_on and _curves_or_trajectory(analysis, *_LOSSES) is analysis.run.curves


def loss_title(*analyses: Analysis) -> str:
    """Title of the axis of the recorded losses of some runs, with the unit."""
    kinds = {shows_squared_error(analysis) for analysis in analyses}
    if kinds == {True}:
        return "squared error (no unit)"
    return "loss (nats), or squared error" if len(kinds) > 1 else LOSS_TITLE


_LOSSES = ("train_loss", "test_loss")
_FRACTION = "accuracy (fraction)"


def _add_level(figure: go.Figure, name: str, level: float) -> None:
    ends = [float(trace.x[i]) for trace in traces(figure) for i in (0, -1)]
    figure.add_trace(
        go.Scatter(
            x=[min(ends), max(ends)],
            y=[level, level],
            name=f"{name} ({level:.3g})",
            mode="lines",
            line={"color": MARK_COLOR, "width": 1, "dash": "dot" if name == "chance" else "dash"},
            hoverinfo="skip",
        )
    )


def _curves_or_trajectory(analysis: Analysis, *columns: str) -> pd.DataFrame:
    """Imported runs may come without curves; then the checkpoints are all there is."""
    curves = analysis.run.curves
    has_points = any(len(finite_points(curves, column)[0]) for column in columns)
    return curves if has_points else analysis.trajectory
