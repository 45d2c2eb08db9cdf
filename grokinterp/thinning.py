"""Long curves with fewer points, for a screen."""

from __future__ import annotations

import numpy as np


def thin_points(
    steps: np.ndarray, values: np.ndarray, max_points: int, *, by_log_step: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Keep what a screen can show of a long curve: every peak and every dip stays.

    The points are cut into ``max_points // 2`` runs of equal length and each gives its
    smallest and its largest value, in their order; the first and the last point stay too.
    With `by_log_step` the runs have equal length on a logarithmic axis; all steps are positive.

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
    n_edges = max(1, max_points // 2 - 1) + 1
    if by_log_step:
        inner = np.searchsorted(steps, np.geomspace(steps[0], steps[-1], n_edges)[1:-1])
        edges = np.unique([0, *inner, n])
    else:
        edges = np.linspace(0, n, n_edges).astype(int)
    kept = {0, n - 1}
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        kept.add(first + int(np.argmin(values[first:last])))
        kept.add(first + int(np.argmax(values[first:last])))
    rows = sorted(kept)
    return steps[rows], values[rows]
