"""When something holds along a record for good, dips and spikes aside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grokinterp.trajectory.thresholds import Thresholds

_ROUNDING = 1e-9


def first_lasting(
    steps: np.ndarray,
    is_above: np.ndarray,
    patience: int,
    is_deep: np.ndarray | None = None,
    limits: Thresholds | None = None,
) -> int | None:
    """First tested step from which a condition lasts for `patience` steps or to the end.

    It lasts from step s when it holds at s, holds in at least half of the tests from s to
    s + patience, and at most a fifth of these are deep dips. The next test is always one of
    them; and where they are fewer than 5, the next 5 may stand in for them, so that one dip is
    not fatal there either.

    Steps that the end of the record cuts off count when the condition holds in two thirds of
    their tests, when they are a twentieth of `patience` and hold 5 tests, or 3 without a dip,
    and when they are longer than any earlier stretch that did not last: a curve that
    oscillates does not settle because its last tests are high. A last test that
    comes `patience` or more after the one before has to do, and so does a record that holds from
    its first test to its last.

    Parameters
    ----------
    steps
        Tested steps, rising.
    is_above
        Whether the condition holds, at each.
    patience
        In steps; 0 gives the first step at which the condition holds.
    is_deep
        Which tests are deep dips; None for all at which the condition does not hold.
    limits
        Has the shares and numbers of tests above, as fields.

    Returns
    -------
    int or None
        None where it never lasts.

    Examples
    --------
    >>> steps = np.arange(0, 5000, 100)
    >>> above = steps >= 2000
    >>> above[[5, 30]] = True, False  # a spike at step 500, a dip at step 3,000
    >>> first_lasting(steps, above, patience=1000)
    2000
    """
    deep = ~is_above if is_deep is None else is_deep
    at = Windows(steps, is_above, deep, patience, limits or Thresholds()).first_lasting()
    return None if at is None else int(steps[at])


@dataclass(frozen=True, eq=False)
class Windows:
    """The tests of a record in windows of `patience` steps, one from each test on."""

    steps: np.ndarray
    is_above: np.ndarray
    is_deep: np.ndarray
    patience: int
    limits: Thresholds

    def first_lasting(self, start: int = 0, *, cut_off: bool = True) -> int | None:
        """Index of the first test, from `start` on, from which the condition lasts.

        Without `cut_off` a window that the end of the record cuts off does not count.
        """
        if not len(self.steps):
            return None
        n, index = len(self.steps), np.arange(len(self.steps))
        end = self._ends()
        is_whole = self.steps + self.patience <= self.steps[-1]
        few = np.minimum(index + self.limits.least_tests, n)
        by_tests = (few > end) & (few - index == self.limits.least_tests)
        least = np.where(is_whole, self.limits.lasting_share, self.limits.end_share)
        passes = self._has_shares(index, end, least) | (
            by_tests & self._has_shares(index, few, least)
        )
        lasts = self.is_above & passes & (index >= start)
        if not cut_off:
            lasts &= is_whole
        lasts &= is_whole | self._is_enough()
        if not lasts.any():
            return None
        first = int(lasts.argmax())
        left = self.steps[-1] - self.steps[first]
        return first if is_whole[first] or left > self.longest_brief(start, first) else None

    def longest_brief(self, start: int, stop: int) -> int:
        """Steps of the longest stretch that began between two tests and did not last; or -1."""
        longest, ends = -1, self._ends()
        begins = self.is_above & ~np.concatenate([[False], self.is_above[:-1]])
        for i in start + np.flatnonzero(begins[start:stop]):
            stops = np.arange(i + 1, ends[i] + 1)
            starts, least = np.full(len(stops), i), np.full(len(stops), self.limits.end_share)
            fits = self.is_above[i : ends[i]] & self._has_shares(starts, stops, least)
            last = i + np.flatnonzero(fits)[-1]
            longest = max(longest, int(self.steps[last] - self.steps[i]))
        return longest

    def share_above(self, start: int) -> float:
        """Share of the tests from one on at which the condition holds."""
        return float(self.is_above[start:].mean())

    def share_deep(self, start: int) -> float:
        """Share of the tests from one on that are deep dips."""
        return float(self.is_deep[start:].mean())

    def _ends(self) -> np.ndarray:
        """Where the window from each test ends; it holds the next test, however far that is."""
        end = np.searchsorted(self.steps, self.steps + self.patience, side="right")
        n = len(self.steps)
        return np.maximum(end, np.minimum(np.arange(n) + 2, n)) if self.patience else end

    def _has_shares(self, begin: np.ndarray, end: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Whether enough of the tests between are above, and few enough deep dips."""
        above, deep = (np.concatenate([[0], x.cumsum()]) for x in (self.is_above, self.is_deep))
        n = np.maximum(end - begin, 1)
        is_mostly = (above[end] - above[begin]) / n >= least - _ROUNDING
        return is_mostly & ((deep[end] - deep[begin]) / n <= self.limits.dip_share + _ROUNDING)

    def _is_enough(self) -> np.ndarray:
        """Whether what is left of the record from a test on can show that something lasts."""
        steps, limits = self.steps, self.limits
        n_left = len(steps) - np.arange(len(steps))
        is_unbroken = self.is_above[::-1].cumsum()[::-1] == n_left
        many = (n_left >= limits.least_tests) | (is_unbroken & (n_left >= limits.least_unbroken))
        is_long = steps[-1] - steps >= limits.least_window * self.patience
        gap = np.diff(steps, prepend=steps[0] - max(self.patience, 1))
        return (many & is_long) | (is_unbroken & (gap >= self.patience))
