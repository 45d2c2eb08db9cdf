"""When a curve changes from low to high and back for good, or for long, whatever its noise does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.stride_tricks import sliding_window_view

LEAST_ON_EACH_SIDE = 2
"""Records on each side of one that its median is taken over, however far apart they lie."""


@dataclass(frozen=True)
class Switch:
    """A change of a curve from low to high, or from high to low."""

    is_rise: bool
    start_step: int
    """Last step at which the curve was still low (of a fall: high)."""
    step: int
    """First step at which it is high (of a fall: low)."""


def find_switches(
    steps: Int[np.ndarray, " record"],
    values: Float[np.ndarray, " record"],
    *,
    high: float,
    low: float,
    patience: int,
) -> tuple[Switch, ...]:
    """Find where a curve that was low becomes high, and where one that was high becomes low.

    The curve is replaced by its running median over `patience` steps, half of them on each side
    (and 2 records on each side at least). It is high from where that is `high` or more until it is
    below `low`, and low from there on. So an excursion of less than half of `patience` is none,
    however high, and neither is noise between the two levels. A median moves no step: a curve that
    rises once is high from the record on at which it rises. A switch with less than half of
    `patience` left in the record (or less than 2 records) may be an excursion and does not count.

    Parameters
    ----------
    steps, values
        A curve, its steps rising; a value that is not finite counts as low.
    high, low
        Levels.
    patience
        Steps.

    Returns
    -------
    tuple[Switch, ...]
        In order of steps; rises and falls take turns.

    Examples
    --------
    >>> steps = np.arange(0, 10_000, 100)
    >>> values = np.where((steps >= 3000) & (steps < 7000), 1.0, 0.0)
    >>> values[[10, 50]] = 1.0, 0.0  # a spike, a dip
    >>> found = find_switches(steps, values, high=0.9, low=0.5, patience=1000)
    >>> [(switch.is_rise, switch.start_step, switch.step) for switch in found]
    [(True, 2900, 3000), (False, 6900, 7000)]
    """
    half = half_windows(steps, patience)
    level = smoothed(values, half)
    is_high, is_low = level >= high, level < low
    found: list[Switch] = []
    state: bool | None = None
    last = {True: 0, False: 0}
    for i in range(len(steps)):
        if not (is_high[i] or is_low[i]):
            continue
        now = bool(is_high[i])
        if state is not None and now != state:
            if _is_cut_off(steps, i, patience):
                break
            found.append(Switch(now, int(steps[last[state]]), int(steps[i])))
        state, last[now] = now, i
    return tuple(found)


def half_windows(steps: Int[np.ndarray, " record"], patience: int) -> Int[np.ndarray, " record"]:
    """Records on each side of every one that lie within half of `patience`, the fewer of the two.

    Two at least, but never more than there are to the nearer end.

    Examples
    --------
    >>> half_windows(np.arange(0, 1000, 100), 600).tolist()
    [0, 1, 2, 3, 3, 3, 3, 2, 1, 0]
    """
    index = np.arange(len(steps))
    before = index - np.searchsorted(steps, steps - patience // 2)
    after = np.searchsorted(steps, steps + patience // 2, side="right") - 1 - index
    to_end = np.minimum(index, len(steps) - 1 - index)
    return np.minimum(np.maximum(np.minimum(before, after), LEAST_ON_EACH_SIDE), to_end)


def smoothed(
    values: Float[np.ndarray, " record"], half: Int[np.ndarray, " record"]
) -> Float[np.ndarray, " record"]:
    """Median of each record and of so many on either side; what is not finite counts as 0.

    Examples
    --------
    >>> smoothed(np.array([0.0, 9.0, 1.0, 2.0, 3.0]), np.array([0, 1, 2, 1, 0])).tolist()
    [0.0, 1.0, 2.0, 2.0, 3.0]
    """
    known = np.where(np.isfinite(values), values, 0.0)
    level = known.copy()
    # Nearly all records have the same number on each side.
    for n in np.unique(half[half > 0]):
        at = np.flatnonzero(half == n)
        level[at] = np.median(sliding_window_view(known, 2 * n + 1)[at - n], axis=1)
    return level


def _is_cut_off(steps: Int[np.ndarray, " record"], at: int, patience: int) -> bool:
    """Whether the record ends too soon after one to show that something lasts."""
    n_after = len(steps) - 1 - at
    return n_after < LEAST_ON_EACH_SIDE or bool(steps[-1] - steps[at] < patience // 2)
