"""Sparsity and size of the weights along training."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import Line, figure_of_lines
from grokinterp.figures.style import MATRIX_STYLES, OTHER_COLOR, SPLIT_COLORS
from grokinterp.trajectory.analysis import Analysis

_PREFIX = "sum_squared_weights"


def plot_gini(analysis: Analysis) -> go.Figure:
    """Gini coefficient of the Fourier norms of W_E and W_L: 0 is flat, 1 a single frequency.

    Returns
    -------
    plotly.graph_objects.Figure
        Both coefficients over steps in updates.

    Raises
    ------
    FitError
        If neither was measured.
    """
    lines = [Line(f"gini_{name}", name, *MATRIX_STYLES[name]) for name in ("W_E", "W_L")]
    return figure_of_lines(
        analysis,
        analysis.trajectory,
        lines,
        title="Gini coefficient of the Fourier norms",
        y_title="Gini coefficient (no unit)",
        absent=(
            "The Gini coefficients were not computed",
            *FIELDS_OF_FIGURES["gini"],
            "by_frequency",
        ),
    )


def plot_sum_squared_weights(analysis: Analysis) -> go.Figure:
    """Sum of the squared weights, in total and for each matrix, on a logarithmic axis.

    Returns
    -------
    plotly.graph_objects.Figure
        Sums over steps in updates.

    Raises
    ------
    FitError
        If no sum was measured.
    """
    lines = [Line(_PREFIX, "all weights", SPLIT_COLORS["all"], width=3.0)]
    for column in analysis.trajectory.columns:
        name = str(column).removeprefix(f"{_PREFIX}_")
        if name != column:
            color, dash = MATRIX_STYLES.get(name, (OTHER_COLOR, "dot"))
            lines.append(Line(str(column), name, color, dash, 1.6))
    return figure_of_lines(
        analysis,
        analysis.trajectory,
        lines,
        title="Sum of squared weights",
        y_title="sum of squared weights (no unit)",
        absent=("The weights were not measured", *FIELDS_OF_FIGURES["sum-squared-weights"]),
        is_log=True,
    )
