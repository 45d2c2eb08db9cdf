"""What a figure shows, in words, for readers who hear the page instead of seeing it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import plotly.graph_objects as go

_MAX_TRACES = 12
_MAX_BARS = 12


def describe_figure(figure: go.Figure) -> str:
    """Title, axes and the course of every trace as plain text of a few sentences.

    Traces that wait in the legend are left out; of many, the first twelve are described.

    Examples
    --------
    >>> describe_figure(go.Figure(go.Scatter(x=[0, 10], y=[4.0, 0.5], name="train")))
    'Figure. train: 4 at 0, 0.5 at 10.'
    """
    layout: Any = figure.layout
    title = plain_text(layout.title.text) or "Figure"
    parts = [title, *_axes(figure)]
    shown = [trace for trace in _traces(figure) if trace.visible in (None, True)]
    said: dict[str, None] = {}
    for trace in shown:
        if words := _course(trace):
            said[words] = None
    if len(said) > _MAX_TRACES:
        rest = len(said) - _MAX_TRACES
        said = dict.fromkeys([*list(said)[:_MAX_TRACES], f"and {rest} more"])
    return " ".join(f"{part.rstrip('.')}." for part in (*parts, *said))


def plain_text(markup: str | None) -> str:
    """Text of a title of plotly without its tags and entities.

    Examples
    --------
    >>> plain_text("coefficient of cos w<sub>k</sub>(a+b−c)<br>(logits)")
    'coefficient of cos wk(a+b−c) (logits)'
    """
    text = re.sub(r"</?(?:b|i|sub|sup|em|strong)>", "", str(markup or "").replace("<br>", " "))
    return html.unescape(text)


def _traces(figure: go.Figure) -> list[Any]:
    return list(cast(Any, figure).data)


def _axes(figure: go.Figure) -> list[str]:
    """One sentence per direction: what runs along it, and whether it is logarithmic."""
    sentences = []
    for words, axes in (
        ("Horizontal axis", figure.select_xaxes()),
        ("Vertical axis", figure.select_yaxes()),
    ):
        titles: dict[str, None] = {}
        for axis in cast(Iterable[Any], axes):
            if title := plain_text(axis.title.text):
                titles[title + (", logarithmic" if axis.type == "log" else "")] = None
        if titles:
            one_or_many = words if len(titles) == 1 else words.replace("axis", "axes")
            sentences.append(f"{one_or_many}: {'; '.join(titles)}")
    return sentences


def _course(trace: Any) -> str:
    name = plain_text(trace.name)
    if trace.type == "heatmap":
        values = _finite(np.asarray(trace.z, dtype=float).ravel())
        return (
            f"{name}: from {_short(values.min())} to {_short(values.max())}" if len(values) else ""
        )
    across = trace.type == "bar" and trace.orientation == "h"
    if across or _has_names(trace.y):
        pairs = list(zip(_names(trace.y), _numbers(trace.x), strict=False))
    elif trace.type == "bar":
        pairs = sorted(zip(_names(trace.x), _numbers(trace.y), strict=False), key=lambda p: -p[1])
        return _listed(name, pairs[:3], len(pairs), between=" at ")
    elif trace.x is not None and _has_names(trace.x):
        # Points above names, such as the grokking steps of settings.
        pairs = list(zip(_names(trace.x), _numbers(trace.y), strict=False))
    else:
        return _line(name, trace)
    return _listed(name, pairs[:_MAX_BARS], len(pairs))


def _line(name: str, trace: Any) -> str:
    x, y = _numbers(trace.x), _numbers(trace.y)
    points = [(a, b) for a, b in zip(x, y, strict=False) if math.isfinite(a) and math.isfinite(b)]
    if not points:
        return ""
    chosen = {0, len(points) - 1}
    heights = [b for _, b in points]
    if len(points) > 1 and min(heights) == max(heights):
        return f"{name}: {_short(heights[0])} throughout"
    chosen |= {heights.index(max(heights)), heights.index(min(heights))}
    course = ", ".join(f"{_short(points[i][1])} at {_short(points[i][0])}" for i in sorted(chosen))
    return f"{name}: {course}"


def _listed(name: str, pairs: list[tuple[str, float]], n: int, *, between: str = "") -> str:
    """``label value`` for each pair, or ``value at label`` where the labels are numbers."""
    known = [(label, _short(value)) for label, value in pairs if math.isfinite(value)]
    if not known:
        return ""
    more = f" and {n - len(pairs)} others" if n > len(pairs) else ""
    words = [
        f"{value}{between}{label}" if between else f"{label} {value}" for label, value in known
    ]
    return f"{name}: {', '.join(words)}{more}"


def _has_names(values: Iterable[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _names(values: Iterable[Any]) -> list[str]:
    return [plain_text(v) if isinstance(v, str) else _short(float(v)) for v in values]


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _short(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.3g}"
