"""Figures as plain data: experiments say what is drawn, ``grokinterp.figures`` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grokinterp.errors import ShapeError

SeriesKind = Literal["line", "points", "steps"]
SeriesRole = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Series:
    """Points of a chart that belong together and share a name and a color.

    Examples
    --------
    >>> Series("seed 0", x=[0.5, 1.0], y=[4000, 2000], is_censored=[True, False]).y
    array([4000., 2000.])
    """

    name: str
    """Entry of the legend."""
    x: Any
    """(n,) numbers; kept as float64."""
    y: Any
    """(n,) numbers; None and NaN are gaps."""
    kind: SeriesKind = "points"
    """``line`` through the points, ``points`` alone, or ``steps``: a line that holds its value
    until the next point."""
    is_censored: Any = None
    """(n,) booleans: the true value lies above. Drawn as open triangles that point up."""
    low: Any = None
    """(n,) lower ends of error bars, in units of y."""
    high: Any = None
    """(n,) upper ends."""
    color_index: int | None = None
    """Which color; None: by position among the series of the chart. A fit has that of its
    points."""
    role: SeriesRole | None = None
    """``train`` or ``test``: the house's colors for the two, instead of a number."""
    is_dashed: bool = False

    def __post_init__(self) -> None:
        arrays = {"x": self.x, "y": self.y, "low": self.low, "high": self.high}
        for name, values in arrays.items():
            if values is not None:
                self._set(name, np.asarray(values, dtype=np.float64))
        if self.is_censored is not None:
            self._set("is_censored", np.asarray(self.is_censored, dtype=bool))
        for name in ("y", "low", "high", "is_censored"):
            values = getattr(self, name)
            if values is not None and values.shape != self.x.shape:
                raise ShapeError(
                    f"series {self.name!r} has {len(self.x)} x and {len(values)} of {name}. "
                    "Give one for each point."
                )

    def _set(self, name: str, values: np.ndarray) -> None:
        object.__setattr__(self, name, values)


@dataclass(frozen=True)
class Mark:
    """A straight line across the chart with a word to it."""

    axis: Literal["x", "y"]
    """``x`` for a vertical line at that x, ``y`` for a horizontal one."""
    at: int | float
    text: str


@dataclass(frozen=True, eq=False)
class Chart:
    """One figure of an experiment."""

    name: str
    """Its id, such as ``time-against-weight-decay``."""
    title: str
    x_title: str
    """With its unit."""
    y_title: str
    caption: str
    """What to see, in plain text."""
    series: tuple[Series, ...]
    is_x_log: bool = False
    is_y_log: bool = False
    marks: tuple[Mark, ...] = ()
