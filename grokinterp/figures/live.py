"""A figure in a notebook that is updated while a network is trained."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

from grokinterp.circuits.embedding_circles import embedding_circles, why_no_circles
from grokinterp.errors import ConfigError
from grokinterp.figures.lines import MAX_POINTS
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
from grokinterp.tasks import Task
from grokinterp.thinning import thin_points
from grokinterp.training import TrainingEvent

log = logging.getLogger(__name__)

SECONDS = 1.0
"""Between two updates at least: the browser that draws them may share the cores."""
MOST_OF_THE_TIME = 0.01
"""Share of the processor time that updates may take: after a slow one the next waits longer."""
N_CIRCLES = 3
FIRST_CIRCLE = 3
"""Number of its axes: the first two are those of the losses and of the spectrum."""
_LOSSES = ("train_loss", "test_loss")
_CONFIG = {"responsive": True, "displayModeBar": False}
"""What plotly.js is told of the widget; its buttons would cover the title of a narrow figure."""
_GONE = (
    "A live figure lasts as long as its kernel. Run the cell again, or draw what it showed: "
    "gi.analyze_run(run).plot()"
)
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
    most every second, and seldom enough that updates take at most 1 % of the processor time.

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
        self._due, self._due_of_processor = 0.0, 0.0

    def __call__(self, event: TrainingEvent) -> None:
        """Take an event, and draw if enough time has passed."""
        if event.moment == "begin":
            self._begin(event)
            return
        for name in _LOSSES:
            value = event.numbers.get(name)
            if event.moment == "step" and value is not None:
                self._points[name].append((event.step, value))
        start = time.process_time()
        is_due = time.monotonic() >= self._due and start >= self._due_of_processor
        if event.moment == "end" or is_due:
            self._draw(event)
            end = time.process_time()
            self._due = time.monotonic() + SECONDS
            # Of the processor, since other programs do not make an update dearer.
            self._due_of_processor = end + (end - start) / MOST_OF_THE_TIME

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
        lines = [thin_points(*_columns(self._points[name]), MAX_POINTS) for name in _LOSSES]
        x, y = ([line[axis] for line in lines] for axis in (0, 1))
        colors: list[Any] = [SPLIT_COLORS["train"], SPLIT_COLORS["test"]]
        titles = {"title.text": title}
        if self._has_circles and event.outcome not in ("diverged", "interrupted"):
            _add_embedding(event, x, y, colors, titles)
        # One message for all traces costs much less than one for each.
        self.figure.plotly_update(
            {"x": x, "y": y, "marker.color": colors}, titles, trace_indexes=list(range(len(x)))
        )


def _add_embedding(
    event: TrainingEvent, x: list[Any], y: list[Any], colors: list[Any], titles: dict[str, str]
) -> None:
    """Add what the spectrum and the circles are at this moment."""
    found = embedding_circles(event.weights(), event.split, event.config.model, n_circles=N_CIRCLES)
    norms = found.norms.numpy()
    of_bars = [OTHER_COLOR] * len(norms)
    x.append(np.arange(1, len(norms) + 1))
    y.append(norms)
    colors.append(of_bars)
    for index, (k, points) in enumerate(found.circles.items()):
        of_bars[k - 1] = key_color(index)
        # Arrays are sent as they lie in memory.
        across, up = points.T.contiguous().numpy()
        x.append(across)
        y.append(up)
        colors.append(k * np.arange(len(points)) % len(points))
        titles[f"xaxis{FIRST_CIRCLE + index}.title.text"] = key_name(k)


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


def _shown_widget(figure: go.Figure) -> Any:
    from IPython.display import display

    # A type checker knows the widget only where it is installed.
    widget: Any = go.FigureWidget(figure)
    # As wide as the cell, now and when that changes; plotly's widgets have 700 pixels otherwise.
    widget.update_layout(autosize=True, title_font_size=13)
    widget.set_trait("_config", _CONFIG)
    # A notebook that is opened again has no widget; the text is what it then shows.
    display({**widget._repr_mimebundle_(), "text/plain": _GONE}, raw=True)
    return widget


def _place(event: TrainingEvent) -> str:
    if event.outcome is not None:
        return f"{_ENDS[event.outcome]} at step {show_step(event.step)}"
    return f"step {show_step(event.step)} of {show_step(event.n_steps)}"


def _columns(points: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([step for step, _ in points]), np.array([value for _, value in points])


def _empty_figure(event: TrainingEvent, has_circles: bool) -> go.Figure:
    """Panels without points: losses, and where there are circles the spectrum and three of them.

    Made of dictionaries, in a few milliseconds: training waits.
    """
    data: list[dict[str, Any]] = []
    for name in _LOSSES:
        side = name.removesuffix("_loss")
        line = {"color": SPLIT_COLORS[side], "width": 2}
        data.append({"type": "scatter", "name": side, "mode": "lines", "line": line, "meta": name})
    words = "squared error (no unit)" if event.config.loss == "mse" else LOSS_TITLE
    # As set_log_axis has it.
    ticks = {"exponentformat": "power", "nticks": 8, "tickfont": {"size": 9.5}}
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": STEP_TITLE},
            "range": [event.step, event.n_steps],
            "tickformat": ",d",
            "anchor": "y",
        },
        "yaxis": {"title": {"text": words}, "type": "log", **ticks},
    }
    if has_circles:
        layout["yaxis"]["domain"] = [0.68, 1.0]
        view = cast(Task, event.split.task).group_view
        assert view is not None
        _add_panels(data, layout, view.order)
    figure = go.Figure({"data": data, "layout": layout})
    height = 680 if has_circles else 270
    return decorate(figure, "", plot_height=height, above=TOP_BARE, below=BELOW_STEPS)


def _add_panels(data: list[dict[str, Any]], layout: dict[str, Any], n: int) -> None:
    """Add the spectrum and the circles of n elements, on axes of their own."""
    bars = {"type": "bar", "name": "norm", "meta": "spectrum", "xaxis": "x2", "yaxis": "y2"}
    data.append({**bars, "showlegend": False})
    layout["xaxis2"] = {"title": {"text": "frequency k (cycles)"}, "anchor": "y2"}
    layout["yaxis2"] = {
        "title": {"text": "norm of W_E"},
        "rangemode": "tozero",
        "domain": [0.37, 0.56],
        "anchor": "x2",
    }
    for index in range(min(N_CIRCLES, (n - 1) // 2)):
        number = FIRST_CIRCLE + index
        marker = {"colorscale": "HSV", "cmin": 0, "cmax": n, "size": 6}
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "marker": marker,
                "showlegend": False,
                "name": f"circle {index + 1}",
                "meta": f"circle {index}",
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "hovertemplate": "%{x:.3g}, %{y:.3g}<extra></extra>",
            }
        )
        bare = {"showticklabels": False, "ticks": ""}
        left = index / N_CIRCLES
        layout[f"xaxis{number}"] = {
            **bare, "domain": [left, left + 0.28], "anchor": f"y{number}",
        }  # fmt: skip
        layout[f"yaxis{number}"] = {
            **bare, "domain": [0.0, 0.25], "anchor": f"x{number}", "scaleanchor": f"x{number}",
        }  # fmt: skip
