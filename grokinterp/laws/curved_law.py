"""Laws that bend on log-log axes, through several seeds: one bend, an intercept for each seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grokinterp.errors import FitError

MIN_VALUES_OF_X = 4
N_PLACES = 2001


@dataclass(frozen=True)
class CurvedLaw:
    r""":math:`\log y = a_{group} + b \log x + c (\log x)^2`, between the x that were seen."""

    slope: float
    """b: exponent at x = 1."""
    curvature: float
    """c: the exponent at x is b + 2 c log x."""
    intercepts: Mapping[Hashable, float]
    """By group, in the logarithm of y at x = 1."""
    ranges: Mapping[Hashable, tuple[float, float]]
    """Smallest and largest x by group."""
    n: int

    def at(self, group: Hashable, x: int | float) -> float:
        """Value of a group's law at x."""
        log_x = np.log(x)
        return float(np.exp(self.intercepts[group] + log_x * (self.slope + self.curvature * log_x)))

    def rising_through(self, group: Hashable, y: int | float) -> float | None:
        """Return the largest x of the group's range at which its law rises through y, or None.

        Examples
        --------
        >>> law = fit_curved_law([1, 10, 100, 1000], [1, 2, 8, 64], "aaaa")
        >>> round(law.rising_through("a", 8.0)), law.rising_through("a", 100.0)
        (100, None)
        """
        low, high = np.log(self.ranges[group])
        log_x = np.linspace(low, high, N_PLACES)
        above = self.intercepts[group] + log_x * (self.slope + self.curvature * log_x) - np.log(y)
        (rises,) = np.nonzero((above[:-1] <= 0) & (above[1:] > 0))
        if not len(rises):
            return None
        i = rises[-1]
        part = above[i] / (above[i] - above[i + 1])
        return float(np.exp(log_x[i] + part * (log_x[i + 1] - log_x[i])))


def fit_curved_law(
    x: Sequence[int | float], y: Sequence[int | float], groups: Sequence[Hashable]
) -> CurvedLaw:
    """Fit a parabola on log-log axes by least squares, with a constant for each group.

    For a crossing that lies between the values of x that were seen: a power law through all of
    them puts it elsewhere where the points bend.

    Parameters
    ----------
    x, y
        Positive numbers, in any unit.
    groups
        Which points share a constant, such as seeds.

    Raises
    ------
    FitError
        If a number is not positive, or no group has 4 different x.

    Examples
    --------
    >>> law = fit_curved_law([1, 10, 100, 1000] * 2, [1, 2, 8, 64, 3, 6, 24, 192], "aaaabbbb")
    >>> round(law.at("b", 1000) / law.at("a", 1000), 6)
    3.0
    """
    values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not all(np.isfinite(one).all() and (one > 0).all() for one in values):
        raise FitError("a number is not positive and finite. Leave such points out of the law.")
    log_x, log_y = np.log(values[0]), np.log(values[1])
    names = list(dict.fromkeys(groups))
    belongs = np.array([[group == name for name in names] for group in groups], dtype=bool)
    own = {name: log_x[belongs[:, i]] for i, name in enumerate(names)}
    if max((len(set(one)) for one in own.values()), default=0) < MIN_VALUES_OF_X:
        raise FitError(
            f"no group has {MIN_VALUES_OF_X} different x, so nothing says how the law bends. Add "
            "values of x."
        )
    design = np.column_stack([log_x, log_x**2, belongs])
    theta = np.linalg.lstsq(design, log_y, rcond=None)[0]
    return CurvedLaw(
        float(theta[0]),
        float(theta[1]),
        {name: float(value) for name, value in zip(names, theta[2:], strict=True)},
        {name: (float(np.exp(one.min())), float(np.exp(one.max()))) for name, one in own.items()},
        len(log_x),
    )
