"""Steps on a logarithmic axis: early training, which a linear axis hides, gets its room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.lines import MAX_POINTS
from grokinterp.figures.style import traces
from grokinterp.thinning import thin_points

_LATE = 0.6
"""Share of the axis beyond which a name stands to the left of its step."""


def set_log_steps(figure: go.Figure, points: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Give a finished figure over steps a logarithmic axis of steps.

    Parameters
    ----------
    figure
        With phases, marked steps and all its lines.
    points
        Steps and values of each line by its name, not yet thinned.

    Raises
    ------
    FitError
        If no line has a positive value after step 0.
    """
    ends = []
    for trace in traces(figure):
        steps, values = points[trace.name]
        is_shown = (steps > 0) & (values > 0)
        trace.x, trace.y = thin_points(
            steps[is_shown], values[is_shown], MAX_POINTS, by_log_step=True
        )
        ends += [float(step) for step in steps[is_shown][[0, -1]]] if is_shown.any() else []
    if not ends:
        raise FitError(
            "No loss was recorded after step 0, which a logarithmic axis of steps cannot show. "
            "Draw it with log_steps=False."
        )
    first, last = min(ends), max(ends)
    layout = cast(Any, figure.layout)
    shapes = [shape for shape in layout.shapes if shape.x1 >= first]
    for shape in shapes:
        shape.x0 = max(float(shape.x0), first)
    layout.shapes = shapes
    last = max([last, *(float(shape.x1) for shape in shapes)])
    for label in layout.annotations:
        _move(label, first, last, {shape.name: float(shape.x1) for shape in shapes})
    # Plotly takes the range of a logarithmic axis, and the places of labels on it, as exponents.
    margin = 0.02 * np.log10(last / first) or 0.1
    ends_of_axis = [np.log10(first) - margin, np.log10(last) + margin]
    figure.update_xaxes(type="log", tickformat=",d", dtick=1, range=ends_of_axis)


def _move(label: Any, first: float, last: float, ends: Mapping[str, float]) -> None:
    """Put a label at its step on the logarithmic axis, on the side where it has room."""
    step = max(float(label.x), first)
    is_late = last > first and np.log10(step / first) > _LATE * np.log10(last / first)
    if is_late and label.textangle is None:
        # The name of a late phase ends where the phase does.
        step = ends.get(str(label.name).removesuffix(" phase").replace(" ", "_"), step)
    if is_late:
        label.xanchor = "right"
    label.x = float(np.log10(step))
