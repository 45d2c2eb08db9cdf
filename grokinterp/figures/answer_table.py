"""The table of all answers, and what is left of it for the network."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.errors import ConfigError
from grokinterp.figures.style import TOP_BARE, decorate
from grokinterp.tasks import Split, Task


def plot_answer_table(task: Task, split: Split | None = None) -> go.Figure:
    """Answer of every pair as a color, and beside it the training pairs alone.

    Parameters
    ----------
    task
        Any task on pairs of tokens.
    split
        Of the same task; without one, only the whole table is drawn.

    Returns
    -------
    plotly.graph_objects.Figure
        Rows are a, columns b. The colors run in a circle where answers are residues, since 0 comes
        after p - 1. Pairs without an answer, and test pairs in the second panel, are blank.

    Raises
    ------
    ConfigError
        If the split belongs to a task with other pairs.

    Examples
    --------
    >>> figure = plot_answer_table(run.task, run.split)
    >>> [len(trace.z) for trace in figure.data]
    [13, 13]
    """
    if split is not None and len(split.is_train) != task.n_pairs:
        raise ConfigError(
            f"the split has {len(split.is_train):,} pairs and the task {task.n_pairs:,}; draw the "
            "split of this task with gi.draw_split(task)."
        )
    answers = _table(task, np.ones(task.n_pairs, dtype=bool))
    panels = {"all pairs": answers}
    if split is not None:
        panels["training pairs"] = _table(task, np.asarray(split.is_train))
    view = task.group_view
    colors = "Phase" if view is not None and view.is_cyclic else "Viridis"
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True)
    for column, table in enumerate(panels.values(), start=1):
        heatmap = go.Heatmap(
            z=table,
            colorscale=colors,
            zmin=0,
            zmax=task.n_classes,
            showscale=column == len(panels),
            colorbar={"title": {"text": "answer"}, "thickness": 12},
            hovertemplate="a = %{y}, b = %{x}<br>answer %{z}<extra></extra>",
        )
        figure.add_trace(heatmap, row=1, col=column)
        figure.update_yaxes(
            scaleanchor="x" if column == 1 else f"x{column}",
            autorange="reversed",
            constrain="domain",
            row=1,
            col=column,
        )
    figure.update_xaxes(title_text="b", constrain="domain")
    figure.update_yaxes(title_text="a", col=1)
    title = f"The answers of {task.spec.in_words}"
    decorate(figure, title, plot_height=330, above=TOP_BARE + 20)
    return figure.update_layout(showlegend=False)


def _table(task: Task, shown: np.ndarray) -> np.ndarray:
    """Answers by a and b; NaN where there is none, or where the pair is not shown."""
    pairs, answers = np.asarray(task.pairs), np.asarray(task.labels, dtype=float)
    table = np.full((task.n_tokens, task.n_tokens), np.nan)
    table[pairs[shown, 0], pairs[shown, 1]] = answers[shown]
    return table
