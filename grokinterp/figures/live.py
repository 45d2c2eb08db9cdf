"""A figure in a notebook that is updated while a network is trained."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from grokinterp.circuits.embedding_circles import embedding_circles, why_no_circles
from grokinterp.errors import ConfigError
from grokinterp.figures.lines import set_log_axis, thin_points
from grokinterp.figures.style import (
    BELOW_STEPS,
    LOSS_TITLE,
    OTHER_COLOR,
    SPLIT_COLORS,
    STEP_TITLE,
    TOP_BARE,
    decorate,
    key_color,
    key_name,
    show_step,
)
from grokinterp.training import TrainingEvent

log = logging.getLogger(__name__)

SECONDS = 0.5
"""Between two updates at least."""
MOST_OF_THE_TIME = 0.03
"""Share of the time that updates may take: after a slow one the next waits longer."""
N_CIRCLES = 3
_LOSSES = ("train_loss", "test_loss")
_ENDS = {
    "finished": "finished",
    "stopped_early": "stopped early",
    "diverged": "diverged",
    "interrupted": "interrupted",
}


class LiveFigure:
    """Callback that draws losses, the spectrum of W_E and its circles while a network is trained.

    ``gi.train(..., live=True)`` makes one. Spectrum and circles are drawn for transformers on
    tasks with a cyclic view, for any other run the losses alone. The three circles are those of
    the frequencies with the largest norm at that moment. A figure is updated between steps, at
    most every half second, and seldom enough that updates take at most 3 % of the time.

    Parameters
    ----------
    new_figure
        Makes the figure, and shows it, when training begins; by default plotly's widget in the
        cell that is running.

    Raises
    ------
    ConfigError
        If this is no notebook, or the extra ``[notebook]`` is not installed.

    Examples
    --------
    >>> live = gi.figures.LiveFigure(new_figure=lambda figure: figure)
    >>> short = gi.TrainConfig(task=gi.TaskSpec(p=13), n_steps=20)
    >>> run = gi.train(short, "ckpts/live", callbacks=[live], progress=False)
    >>> live.figure.layout.title.text
    'Addition modulo 13: finished at step 20'
    """

    figure: go.Figure
    """What is shown; there once training has begun."""

    def __init__(self, new_figure: Callable[[go.Figure], go.Figure] | None = None) -> None:
        if new_figure is None:
            reason = why_not_live()
            if reason is not None:
                raise ConfigError(f"there is no live figure: {reason}. Leave it out.")
        self._new_figure = new_figure or _shown_widget
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._has_circles = False
        self._due = 0.0

    def __call__(self, event: TrainingEvent) -> None:
        """Take an event, and draw if enough time has passed."""
        if event.moment == "begin":
            self._begin(event)
            return
        for name in _LOSSES:
            value = event.numbers.get(name)
            if event.moment == "step" and value is not None:
                self._points[name].append((event.step, value))
        start = time.monotonic()
        if event.moment == "end" or start >= self._due:
            self._draw(event)
            end = time.monotonic()
            self._due = end + max(SECONDS, (end - start) / MOST_OF_THE_TIME)

    def _begin(self, event: TrainingEvent) -> None:
        if self._points and self._config != event.config:
            raise ConfigError("a LiveFigure shows one run. Make one for each.")
        self._config = event.config
        self._points = {name: [] for name in _LOSSES}
        self._has_circles = why_no_circles(event.split, event.config.model) is None
        self.figure = self._new_figure(_empty_figure(event, self._has_circles))

    def _draw(self, event: TrainingEvent) -> None:
        words = event.split.task.spec.in_words
        title = f"{words[0].upper()}{words[1:]}: {_place(event)}"
        with self.figure.batch_update():
            self.figure.update_layout(title_text=title)
            for name in _LOSSES:
                steps, values = (np.array(column) for column in _columns(self._points[name]))
                x, y = thin_points(steps, values)
                self.figure.update_traces({"x": x, "y": y}, selector={"meta": name})
            if self._has_circles and event.outcome not in ("diverged", "interrupted"):
                self._draw_embedding(event)

    def _draw_embedding(self, event: TrainingEvent) -> None:
        weights, spec = event.weights(), event.config.model
        found = embedding_circles(weights, event.split, spec, n_circles=N_CIRCLES)
        colors = [OTHER_COLOR] * len(found.norms)
        for index, (k, points) in enumerate(found.circles.items()):
            colors[k - 1] = key_color(index)
            order = k * np.arange(len(points)) % len(points)
            self.figure.update_traces(
                {"x": points[:, 0].numpy(), "y": points[:, 1].numpy(), "marker.color": order},
                selector={"meta": f"circle {index}"},
            )
            self.figure.update_xaxes(title_text=key_name(k), row=3, col=index + 1)
        self.figure.update_traces(
            {"y": found.norms.numpy(), "marker.color": colors}, selector={"meta": "spectrum"}
        )


def live_figure() -> LiveFigure | None:
    """Return a live figure, or None where there can be none, which is logged with the reason."""
    reason = why_not_live()
    if reason is None:
        return LiveFigure()
    log.warning("no live figure, but a progress bar: %s", reason)
    return None


def why_not_live() -> str | None:
    """Why no figure can be updated here; None in a notebook that has what it needs.

    Examples
    --------
    >>> why_not_live()
    'this is no notebook'
    """
    # Where nobody has imported IPython there is no notebook either.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if getattr(shell, "kernel", None) is None:
        return "this is no notebook"
    missing = [name for name in ("anywidget", "ipywidgets") if find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed: pip install -c .ci/constraints.txt '.[notebook]'"
    return None


def _shown_widget(figure: go.Figure) -> go.Figure:
    from IPython.display import display

    widget = go.FigureWidget(figure)
    display(widget)
    return widget


def _place(event: TrainingEvent) -> str:
    if event.outcome is not None:
        return f"{_ENDS[event.outcome]} at step {show_step(event.step)}"
    return f"step {show_step(event.step)} of {show_step(event.n_steps)}"


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _empty_figure(event: TrainingEvent, has_circles: bool) -> go.Figure:
    """Panels without points: losses, and where there are circles the spectrum and three of them."""
    if has_circles:
        specs: list[list[Any]] = [[{"colspan": N_CIRCLES}, *[None] * (N_CIRCLES - 1)]] * 2
        specs = [*specs, [{}] * N_CIRCLES]
        heights = [0.4, 0.28, 0.32]
        figure = make_subplots(
            3, N_CIRCLES, specs=specs, row_heights=heights, vertical_spacing=0.11
        )
    else:
        figure = make_subplots(1, 1)
    for name in _LOSSES:
        side = name.removesuffix("_loss")
        line = {"color": SPLIT_COLORS[side], "width": 2}
        trace = go.Scatter(name=side, mode="lines", line=line, meta=name)
        figure.add_trace(trace, row=1, col=1)
    if has_circles:
        _add_embedding(figure, event)
    decorate(figure, "", plot_height=680 if has_circles else 270, above=TOP_BARE, below=BELOW_STEPS)
    title = "squared error (no unit)" if event.config.loss == "mse" else LOSS_TITLE
    figure.update_yaxes(title_text=title, row=1, col=1)
    figure.update_xaxes(
        title_text=STEP_TITLE, range=[event.step, event.n_steps], tickformat=",d", row=1, col=1
    )
    set_log_axis(figure, 1)
    return figure


def _add_embedding(figure: go.Figure, event: TrainingEvent) -> None:
    n = event.split.task.group_view.order
    bars = go.Bar(x=list(range(1, n // 2 + 1)), showlegend=False, meta="spectrum", name="norm")
    figure.add_trace(bars, row=2, col=1)
    figure.update_xaxes(title_text="frequency k (cycles)", row=2, col=1)
    figure.update_yaxes(title_text="norm of W_E", rangemode="tozero", row=2, col=1)
    for index in range(min(N_CIRCLES, (n - 1) // 2)):
        points = go.Scatter(
            mode="markers",
            marker={"colorscale": "HSV", "cmin": 0, "cmax": n, "size": 6},
            showlegend=False,
            meta=f"circle {index}",
            name=f"circle {index + 1}",
            hovertemplate="%{x:.3g}, %{y:.3g}<extra></extra>",
        )
        figure.add_trace(points, row=3, col=index + 1)
        # The first two axes are those of the losses and of the spectrum.
        axis = f"x{index + 3}"
        figure.update_yaxes(scaleanchor=axis, showticklabels=False, row=3, col=index + 1)
        figure.update_xaxes(showticklabels=False, row=3, col=index + 1)
