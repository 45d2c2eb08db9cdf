"""Curves inside one cell of a table of runs: points separated by spaces, values by colons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float


def cell_of(points: Iterable[Iterable[float | int]]) -> str:
    """Write points of a curve, to five digits.

    Examples
    --------
    >>> cell_of([(0, 0.25), (100, 1 / 3)])
    '0:0.25 100:0.33333'
    """
    return " ".join(":".join(f"{value:.5g}" for value in point) for point in points)


def points_of(cell: Any, n_values: int) -> Float[np.ndarray, "point value"]:
    """Read what :func:`cell_of` wrote; an empty cell has no points.

    Examples
    --------
    >>> points_of("0:0.25 100:0.5", 2)[:, 1]
    array([0.25, 0.5 ])
    """
    text = "" if cell is None else str(cell)
    values = [float(part) for point in text.split() for part in point.split(":")]
    return np.array(values, dtype=np.float64).reshape(-1, n_values)


def spread_rows(n: int, n_kept: int) -> np.ndarray:
    """Return at most `n_kept` of the rows 0 .. n-1, the first and last with the others log-spaced.

    Examples
    --------
    >>> spread_rows(1000, 4).tolist()
    [0, 9, 99, 999]
    """
    return np.unique(np.geomspace(1, n, n_kept).round().astype(int)) - 1
