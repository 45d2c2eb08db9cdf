"""Long curves with fewer points, for a screen."""

from __future__ import annotations

import numpy as np


def thin_points(
    steps: np.ndarray, values: np.ndarray, max_points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keep what a screen can show of a long curve: every peak and every dip stays.

    The points are cut into ``max_points // 2`` runs of equal length and each gives its
    smallest and its largest value, in their order; the first and the last point stay too.

    Examples
    --------
    >>> x = np.arange(10_000)
    >>> y = np.zeros(10_000); y[5_432] = 1.0
    >>> thin_points(x, y, 100)[1].max()
    np.float64(1.0)
    """
    n = len(values)
    if n <= max_points:
        return steps, values
    edges = np.linspace(0, n, max(1, max_points // 2 - 1) + 1).astype(int)
    kept = {0, n - 1}
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        kept.add(first + int(np.argmin(values[first:last])))
        kept.add(first + int(np.argmax(values[first:last])))
    rows = sorted(kept)
    return steps[rows], values[rows]
