"""Which color the lines of each run have when many runs are laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokinterp.comparison import Comparison
from grokinterp.figures.style import KEY_COLORS

SCALE = ((47, 107, 199), (124, 88, 196), (190, 66, 140), (214, 92, 58), (205, 133, 24))
"""Red, green, blue of values from small to large: all dark enough for a white page and light
enough for a black one, and distinguished by the eye that sees no red or no green."""

MOST_ENTRIES = 8
"""Entries of the legend for values of a number; more are a scale, and every other one will do."""
DECADE = 8.0
"""A ratio of largest to smallest from which values are spread on a logarithm."""
_FAINTEST = 0.45


@dataclass(frozen=True)
class Look:
    """How the lines of one run are drawn."""

    color: str
    opacity: float
    group: str
    name: str
    """Entry of the legend, of the first run of a group alone; empty for none."""


def looks_of(compared: Comparison) -> list[Look]:
    """Colors of all runs, in their order."""
    groups = compared.groups()
    if len(groups) == 1:
        # Nothing but seeds and lengths differs, so the runs themselves are distinguished.
        groups = {label: [i] for i, label in enumerate(compared.labels)}
    values = numbers_of(compared, groups)
    colors = _colors(len(groups)) if values is None else [on_scale(at) for at in _along(values)]
    hidden = set() if values is None else _unnamed(len(groups))
    looks: dict[int, Look] = {}
    for number, (name, positions) in enumerate(groups.items()):
        several = f" ({len(positions)} runs)" if len(positions) > 1 else ""
        strengths = np.linspace(1, _FAINTEST, max(2, len(positions)))
        for rank, position in enumerate(positions):
            shown = "" if rank or number in hidden else f"{name}{several}"
            looks[position] = Look(colors[number], float(strengths[rank]), name, shown)
    return [looks[i] for i in range(len(compared.analyses))]


def numbers_of(compared: Comparison, groups: dict[str, list[int]]) -> list[float] | None:
    """Value of each setting where one number makes it, or None."""
    if len(compared.settings.of_setting) != 1:
        return None
    values = compared.values_of(compared.settings.of_setting[0])
    numbers = [values[positions[0]] for positions in groups.values()]
    is_numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in numbers)
    return [float(v) for v in numbers] if is_numeric and len(set(numbers)) > 1 else None


def _along(values: Sequence[float]) -> np.ndarray:
    """Places in [0, 1] of values, by their logarithms where they span decades.

    A zero among them stands one step below the smallest.
    """
    x = np.asarray(values, dtype=float)
    positive = x[x > 0]
    if (x >= 0).all() and len(positive) and positive.max() / positive.min() >= DECADE:
        logs = np.log(positive)
        step = (logs.max() - logs.min()) / max(1, len(set(logs)) - 1)
        x = np.array([np.log(v) if v > 0 else logs.min() - step for v in x])
    return (x - x.min()) / (x.max() - x.min())


def on_scale(at: float) -> str:
    """Color at a place in [0, 1] of the scale."""
    places = np.linspace(0, 1, len(SCALE))
    parts = [round(float(np.interp(at, places, part))) for part in zip(*SCALE, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in parts)


def _colors(n: int) -> list[str]:
    """Colors of settings that are no numbers; of many, neighbors on the scale."""
    if n <= len(KEY_COLORS):
        return list(KEY_COLORS[:n])
    return [on_scale(at) for at in np.linspace(0, 1, n)]


def _unnamed(n: int) -> set[int]:
    """Which of n values along a scale go without an entry in the legend; the ends have one."""
    kept = {round(i) for i in np.linspace(0, n - 1, min(n, MOST_ENTRIES))}
    return set(range(n)) - kept
