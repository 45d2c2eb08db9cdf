"""Small pictures of a card: inline SVG, with its numbers in words below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from grokinterp.cards.markup import escaped
from grokinterp.thinning import thin_points

TRAIN, TEST = "#0072B2", "#D55E00"
KEY, OTHER = "#009E73", "#9AA0A6"
"""The colors of the figures, all visible on white and on black."""
WIDTH, HEIGHT = 600, 100
"""Size of the drawing in its own units: half a pixel of a wide page."""
POINTS = 120
"""Points of one curve: a peak and a dip for every fifth pixel."""
BARS = 120
_MARGIN = 4
_SVG = f"display:block;width:100%;max-width:{WIDTH // 2}px;height:{HEIGHT // 2}px"


def sparkline(
    losses: Mapping[str, tuple[np.ndarray, np.ndarray]],
    marks: Mapping[str, int | None] | None = None,
) -> str:
    """Draw losses over steps, values on a logarithm, with a word on range and colors.

    Parameters
    ----------
    losses
        Steps and values, such as ``{"train": (steps, losses), "test": ...}``, the first in blue
        and the second in vermilion. Only positive, finite values are drawn.
    marks
        Steps to mark by a dashed line, by name; None where there is none.

    Returns
    -------
    str
        HTML; empty where no curve has two points.

    Examples
    --------
    >>> steps = np.arange(3)
    >>> drawn = sparkline({"train": (steps, np.array([4.0, 1.0, 0.1]))})
    >>> drawn.count("<polyline"), "loss 0.1 to 4 (log scale)" in drawn
    (1, True)
    """
    curves = {name: _drawable(*points) for name, points in losses.items()}
    curves = {name: points for name, points in curves.items() if len(points[0]) > 1}
    if not curves:
        return ""
    x_ends = _ends([x for x, _ in curves.values()])
    y_ends = _ends([np.log10(y) for _, y in curves.values()])
    colors = dict(zip(losses, (TRAIN, TEST), strict=False))
    drawn = [
        _polyline(_places(x, x_ends, WIDTH), HEIGHT - _places(np.log10(y), y_ends, HEIGHT), color)
        for name, color in colors.items()
        if name in curves
        for x, y in [thin_points(*curves[name], POINTS)]
    ]
    shown = {name: at for name, at in (marks or {}).items() if _is_within(at, x_ends)}
    lines = [_mark(_places(np.array([at], dtype=float), x_ends, WIDTH)[0]) for at in shown.values()]
    low, high = (10**end for end in y_ends)
    said = f"loss {low:.3g} to {high:.3g} (log scale)"
    said += f"; steps {x_ends[0]:,.0f} to {x_ends[1]:,.0f}"
    if shown:
        said += "; dashed: " + ", ".join(f"{name} at step {at:,}" for name, at in shown.items())
    shown_colors = {name: color for name, color in colors.items() if name in curves}
    return _figure("".join(lines + drawn), said, shown_colors)


def bars(
    heights: np.ndarray,
    is_key: np.ndarray,
    said: str,
    names: Sequence[int | str],
    words: tuple[str, str] = ("key", "other"),
) -> str:
    """Draw shares as bars, those of key components in green, with a sentence below.

    `words` are what the legend calls green and gray.

    Of many neighbors the tallest is drawn, and a key component before any other.

    Examples
    --------
    >>> bars(np.array([0.1, 0.9]), np.array([False, True]), "shares", [1, 2]).count("<rect")
    2
    """
    values = np.nan_to_num(np.asarray(heights, dtype=float), nan=0.0, posinf=0.0, neginf=0.0)
    keys = np.asarray(is_key, dtype=bool)
    if not len(values) or values.max() <= 0:
        return ""
    chosen = [
        max(part, key=lambda i: (keys[i], values[i]))
        for part in np.array_split(np.arange(len(values)), min(BARS, len(values)))
    ]
    step = WIDTH / len(chosen)
    scale = (HEIGHT - _MARGIN) / values.max()
    drawn = "".join(
        f'<rect x="{number * step:.1f}" y="{HEIGHT - max(1, values[i] * scale):.1f}" '
        f'width="{0.75 * step:.1f}" height="{max(1, values[i] * scale):.1f}" '
        f'fill="{KEY if keys[i] else OTHER}"/>'
        for number, i in enumerate(chosen)
    )
    ends = f"{names[0]} to {names[-1]}" if len(names) else ""
    said = f"{ends}: {said}" if ends else said
    return _figure(drawn, said, dict(zip(words, (KEY, OTHER), strict=True)))


def _figure(drawn: str, said: str, colors: Mapping[str, str]) -> str:
    """The drawing, its colors by name, and in words what it shows."""
    legend = " ".join(_swatch(color, name) for name, color in colors.items())
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escaped(said)}" style="{_SVG}">{drawn}</svg>'
        f'<div style="font-size:12px;opacity:.85">{legend} · {escaped(said)}</div>'
    )


def _drawable(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps, values = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    is_drawn = np.isfinite(values) & (values > 0) & np.isfinite(steps)
    return steps[is_drawn], values[is_drawn]


def _ends(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    return min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)


def _is_within(at: int | None, ends: tuple[float, float]) -> bool:
    return at is not None and ends[0] <= at <= ends[1]


def _places(values: np.ndarray, ends: tuple[float, float], length: int) -> np.ndarray:
    """Places of values along an axis; a constant stands in its middle."""
    span = ends[1] - ends[0]
    share = (values - ends[0]) / span if span > 0 else np.full(len(values), 0.5)
    return _MARGIN + share * (length - 2 * _MARGIN)


def _polyline(x: np.ndarray, y: np.ndarray, color: str) -> str:
    points = " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _mark(x: float) -> str:
    return (
        f'<line x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{HEIGHT}" stroke="currentColor" '
        'stroke-opacity="0.6" stroke-dasharray="3 3" vector-effect="non-scaling-stroke"/>'
    )


def _swatch(color: str, name: str) -> str:
    style = f"display:inline-block;width:1.1em;border-top:2px solid {color};vertical-align:middle"
    return f'<span style="{style}"></span> {escaped(name, 40)}'
