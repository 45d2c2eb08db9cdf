"""Any columns of the trajectory below the losses: the figure of a measure of one's own."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go

from grokinterp.errors import ConfigError
from grokinterp.figures.lines import Line, Panel, figure_of_panels
from grokinterp.figures.style import LOSS_TITLE, SPLIT_COLORS, key_color, key_dash
from grokinterp.trajectory.analysis import Analysis


def plot_columns(
    analysis: Analysis, columns: Iterable[str], *, y_title: str = "value", is_log: bool = False
) -> go.Figure:
    """Draw columns of ``analysis.trajectory`` below the train and test loss.

    Parameters
    ----------
    analysis
        Measures of one's own are columns of its trajectory, under the function's name.
    columns
        Names of columns, at least one.
    y_title
        Title of their axis, with the unit.
    is_log
        Whether their axis is logarithmic.

    Returns
    -------
    plotly.graph_objects.Figure
        Two panels over steps in updates.

    Raises
    ------
    ConfigError
        If there is no such column, with the names that exist.
    FitError
        If neither a loss nor one of the columns has a number.

    Examples
    --------
    >>> figure = plot_columns(analysis, ["gini_W_E"], y_title="Gini coefficient")
    >>> [trace.name for trace in figure.data]
    ['train loss', 'test loss', 'gini_W_E']
    """
    names = list(columns)
    known = [str(name) for name in analysis.trajectory.columns if name != "step"]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(
            f"columns={names}: there is no {', '.join(unknown) or 'column to draw'}; the "
            f"trajectory has {', '.join(known)}."
        )
    losses = tuple(
        Line(f"{side}_loss", f"{side} loss", SPLIT_COLORS[side]) for side in ("train", "test")
    )
    lines = tuple(
        Line(name, name, key_color(index), key_dash(index)) for index, name in enumerate(names)
    )
    panels = [
        Panel(LOSS_TITLE, analysis.run.curves, losses, is_log=True),
        Panel(y_title, analysis.trajectory, lines, is_log=is_log),
    ]
    absent = ("Neither a loss nor one of these columns was measured", *names)
    return figure_of_panels(analysis, panels, title=" and ".join(names), absent=absent)
