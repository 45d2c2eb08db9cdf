"""Runs side by side: a measure of all of them over the steps, and when each of them grokked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.comparison import Comparison, comparison_of, setting_table
from grokinterp.comparison.settings import short_names, show_setting
from grokinterp.errors import ConfigError, FitError
from grokinterp.figures.charts import CENSORED_NAME
from grokinterp.figures.curves import loss_title
from grokinterp.figures.lines import finite_points, set_log_axis
from grokinterp.figures.run_looks import DECADE, looks_of, numbers_of
from grokinterp.figures.style import (
    BELOW_STEPS,
    LOSS_TITLE,
    MARK_COLOR,
    SPLIT_COLORS,
    STEP_TITLE,
    TOP_BARE,
    decorate,
    traces,
)
from grokinterp.runs.run import Run
from grokinterp.thinning import thin_points
from grokinterp.trajectory.analysis import Analysis

Runs = Sequence[Analysis | Run | str | Path] | Comparison
"""What :func:`grokinterp.compare` takes, or a comparison that was made of it."""

MOST_POINTS = 30_000
"""Points of all lines of one figure together."""


def plot_compared_losses(runs: Runs, *, by: str | Sequence[str] | None = None) -> go.Figure:
    """Train (dashed) and test loss (solid) of all runs, on a logarithmic axis.

    Runs of one setting share a color, and its seeds differ in how strong it is. Where one
    number makes the setting, colors go along its values, by their logarithms where they span
    more than a factor of 8.

    Parameters
    ----------
    runs
        As :func:`grokinterp.compare` takes them.
    by
        Config fields that make a setting; None: all that differ but seeds and lengths.

    Returns
    -------
    plotly.graph_objects.Figure
        Loss in nats over steps in updates.

    Examples
    --------
    >>> figure = gi.figures.plot_compared_losses(analyses, by="weight_decay")
    >>> figure.layout.yaxis.title.text
    'loss (nats)'
    """
    compared = comparison_of(runs, by)
    y_title = loss_title(*compared.analyses)
    return _overlay(compared, ("test_loss", "train_loss"), "Loss", y_title, is_log=True)


def plot_compared_accuracies(runs: Runs, *, by: str | Sequence[str] | None = None) -> go.Figure:
    """Train (dashed) and test accuracy (solid) of all runs.

    Parameters and colors are those of :func:`plot_compared_losses`.

    Returns
    -------
    plotly.graph_objects.Figure
        Fractions in [0, 1] over steps in updates.

    Examples
    --------
    >>> figure = gi.figures.plot_compared_accuracies(analyses)
    >>> figure.layout.yaxis.title.text
    'accuracy (fraction)'
    """
    compared = comparison_of(runs, by)
    columns = ("test_accuracy", "train_accuracy")
    figure = _overlay(compared, columns, "Accuracy", _FRACTION)
    figure.update_yaxes(range=[-0.03, 1.06])
    return figure


def plot_compared(
    runs: Runs,
    column: str,
    *,
    by: str | Sequence[str] | None = None,
    title: str | None = None,
    is_log: bool | None = None,
) -> go.Figure:
    """Draw one measure of all runs along training.

    Parameters
    ----------
    runs, by
        As in :func:`plot_compared_losses`.
    column
        Of measures.csv or curves.csv, such as ``restricted_loss_test``.
    title
        None: the column in words.
    is_log
        Whether the axis is logarithmic; None: for losses and squared weights.

    Returns
    -------
    plotly.graph_objects.Figure
        The column over steps in updates.

    Raises
    ------
    ConfigError
        If no run could have that column.

    Examples
    --------
    >>> figure = gi.figures.plot_compared(analyses, "gini_W_E")
    >>> figure.layout.yaxis.title.text
    'gini W E'
    """
    compared = comparison_of(runs, by)
    known = dict.fromkeys(c for analysis in compared.analyses for c in _columns_of(analysis))
    if column not in known:
        near = ", ".join(get_close_matches(column, list(known), 3)) or ", ".join(list(known)[:4])
        raise ConfigError(f"no run has a column {column!r}. Try {near}.")
    words = column.replace("_", " ")
    if is_log is None:
        is_log = "loss" in column or column.startswith("sum_squared_weights")
    unit = LOSS_TITLE if "loss" in column else _FRACTION if "accuracy" in column else words
    return _overlay(compared, (column,), title or _titled(column), unit, is_log=is_log)


def plot_grokking_steps(runs: Runs, *, by: str | Sequence[str] | None = None) -> go.Figure:
    """When each run memorized and grokked, against what differs between them.

    A run that never grokked is an open triangle at its last step: its grokking step, if it has
    one, lies above. The line goes through the medians of the settings, which count such runs;
    it has a gap where too many of them are censored for a median.

    Parameters
    ----------
    runs
        As :func:`grokinterp.compare` takes them.
    by
        The config field to draw against. None: the one that makes the settings; if that is
        not a single number, the settings stand side by side under their names.

    Returns
    -------
    plotly.graph_objects.Figure
        Steps in updates.

    Examples
    --------
    >>> figure = gi.figures.plot_grokking_steps(analyses, by="weight_decay")
    >>> figure.layout.xaxis.title.text
    'weight decay'
    """
    compared = comparison_of(runs, by)
    axis = _axis_of(compared)
    figure = go.Figure()
    for column, name, color, symbol in (
        ("grokking_step", "grokking step", SPLIT_COLORS["test"], "circle"),
        (
            "censored_at",
            f"grokking step, {CENSORED_NAME}",
            SPLIT_COLORS["test"],
            "triangle-up-open",
        ),
        ("memorization_step", "memorization step", SPLIT_COLORS["train"], "circle-open"),
    ):
        steps = compared.steps_of(column)
        rows = np.flatnonzero(np.isfinite(steps))
        if not len(rows):
            continue
        figure.add_trace(
            go.Scatter(
                x=[axis.at[i] for i in rows],
                y=steps[rows],
                name=name,
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 10, "opacity": 0.85},
                text=[compared.labels[i] for i in rows],
                hovertemplate="%{text}: "
                + ("above " if column == "censored_at" else "")
                + "%{y:,}<extra></extra>",
            )
        )
    drawn = traces(figure)
    if not drawn:
        raise FitError("No run has a grokking step, nor a last step without one.")
    _add_medians(figure, compared, axis)
    decorate(figure, "When the runs generalized", above=TOP_BARE, below=axis.below)
    figure.update_xaxes(title_text=axis.title, **axis.layout)
    figure.update_yaxes(title_text=STEP_TITLE)
    _spread(figure, np.concatenate([np.asarray(trace.y, dtype=float) for trace in drawn]))
    return figure


_FRACTION = "accuracy (fraction)"
_CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


def _columns_of(analysis: Analysis) -> list[str]:
    """Columns that an analysis has, or would have if its measures applied."""
    columns = [*_CURVES, *map(str, analysis.trajectory.columns)]
    return columns + [name for measure in analysis.measures for name in measure.columns]


def _overlay(
    compared: Comparison, columns: Sequence[str], title: str, y_title: str, *, is_log: bool = False
) -> go.Figure:
    """One line for each run and column: solid, and dashed for what is measured on train pairs."""
    figure = go.Figure()
    points = MOST_POINTS // (len(compared.analyses) * len(columns))
    looks = looks_of(compared)
    for position in [i for group in compared.groups().values() for i in group]:
        look, is_first = looks[position], True
        for column in columns:
            x, y = finite_points(_table_with(compared.analyses[position], column), column)
            if is_log:
                x, y = x[y > 0], y[y > 0]
            if not len(y):
                continue
            x, y = thin_points(x, y, max(200, points))
            is_named = is_first and bool(look.name)
            side = f", {_side_of(column)}" if len(columns) > 1 else ""
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    name=look.name or look.group,
                    legendgroup=look.group,
                    showlegend=is_named,
                    mode="lines" if len(x) > 1 else "markers",
                    opacity=look.opacity,
                    line={
                        "color": look.color,
                        "dash": "dash" if _side_of(column) == "train" else "solid",
                        "width": 1.3 if _side_of(column) == "train" and len(columns) > 1 else 2,
                    },
                    meta={"run": compared.labels[position], "column": column},
                    hovertemplate=f"{_plain_text(compared.labels[position])}{side}: %{{y:.4g}} at "
                    "step %{x:,}<extra></extra>",
                )
            )
            is_first = False
    if not traces(figure):
        raise FitError(f"No run has a finite number to draw in {' or '.join(columns)}.")
    if len(columns) > 1:
        _add_key_of_dashes(figure)
    decorate(figure, title, above=TOP_BARE)
    figure.update_xaxes(title_text=STEP_TITLE, tickformat=",d")
    figure.update_yaxes(title_text=y_title)
    if is_log:
        set_log_axis(figure)
    figure.update_layout(hovermode="closest")
    return figure


def _plain_text(text: str) -> str:
    """Text that plotly takes as it stands: no markup, no place for a number."""
    return text.replace("<", "&lt;").replace("%{", "% {")


def _titled(column: str) -> str:
    """Title of a figure of a column: ``Restricted loss, test``."""
    name, _, side = column.rpartition("_")
    words = f"{name}, {side}" if name and side in SPLIT_COLORS else column
    return words[0].upper() + words[1:].replace("_", " ")


def _side_of(column: str) -> str:
    for side in ("train", "test"):
        if column.startswith(f"{side}_") or column.endswith(f"_{side}"):
            return side
    return "all"


def _table_with(analysis: Analysis, column: str) -> pd.DataFrame:
    """Curves, which have every step, where they have the column; or else the checkpoints."""
    curves = analysis.run.curves
    return curves if len(finite_points(curves, column)[0]) else analysis.trajectory


def _add_key_of_dashes(figure: go.Figure) -> None:
    for name, dash in (("test", "solid"), ("train", "dash")):
        figure.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                name=name,
                mode="lines",
                line={"color": MARK_COLOR, "dash": dash, "width": 2},
                hoverinfo="skip",
            )
        )


@dataclass(frozen=True)
class _Axis:
    """What grokking steps are drawn against."""

    at: list[Any]
    """x of each run."""
    title: str
    layout: dict[str, Any]
    is_numeric: bool
    below: int = BELOW_STEPS


def _axis_of(compared: Comparison) -> _Axis:
    groups, fields = compared.groups(), compared.settings.of_setting
    numbers = numbers_of(compared, groups)
    if numbers is not None:
        title = short_names(fields)[fields[0]].replace("_", " ")
        values = [float(value) for value in compared.values_of(fields[0])]
        positive = [v for v in numbers if v > 0]
        has_decades = len(positive) > 1 and max(positive) / min(positive) >= DECADE
        if len(positive) == len(numbers) and has_decades:
            ticks = {"type": "log", "tickvals": numbers, "minor": {"showgrid": False}}
            return _Axis(values, title, {**ticks, "ticktext": _texts(numbers)}, True)
        if not has_decades:
            return _Axis(values, title, {}, True)
        # No axis shows both a zero and decades; evenly spaced values do.
        places = {value: i for i, value in enumerate(numbers)}
        layout = {"tickvals": list(places.values()), "ticktext": _texts(numbers)}
        return _Axis([places[v] for v in values], title, layout, True)
    if len(groups) == 1:
        layout = {"type": "category", "categoryorder": "array"}
        return _Axis(list(compared.labels), "run", layout, False, below=BELOW_STEPS + 30)
    names = list(groups)
    layout = {"type": "category", "categoryorder": "array", "categoryarray": names}
    return _Axis(list(compared.settings.settings), "setting", layout, False, BELOW_STEPS + 30)


def _texts(values: Sequence[float]) -> list[str]:
    return [show_setting(value) for value in values]


def _add_medians(figure: go.Figure, compared: Comparison, axis: _Axis) -> None:
    """A line through the medians of settings along a number, with gaps where there is none."""
    groups = compared.groups()
    if not axis.is_numeric or max(len(group) for group in groups.values()) < 2:
        return
    medians = setting_table(compared)["grokking_step"].astype("Float64")
    y = medians.to_numpy(dtype=float, na_value=np.nan)
    if np.isfinite(y).sum() < 2:
        return
    figure.add_trace(
        go.Scatter(
            x=[axis.at[positions[0]] for positions in groups.values()],
            y=y,
            name="median grokking step",
            mode="lines",
            connectgaps=False,
            line={"color": SPLIT_COLORS["test"], "width": 1.4},
            hovertemplate="median: %{y:,}<extra></extra>",
        )
    )


def _spread(figure: go.Figure, steps: np.ndarray) -> None:
    """Logarithmic steps where they span decades, from zero where they do not."""
    steps = steps[np.isfinite(steps)]
    if len(steps) and steps.min() > 0 and steps.max() / steps.min() >= DECADE:
        figure.update_yaxes(type="log", dtick="D2", tickformat=",~g", minor={"showgrid": False})
    else:
        figure.update_yaxes(rangemode="tozero", tickformat=",d")
