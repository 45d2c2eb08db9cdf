"""Power laws through several seeds: one exponent, an intercept for each seed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grokinterp.errors import ConfigError


@dataclass(frozen=True)
class PowerLaw:
    """y = exp(intercept of the group) * x^exponent."""

    exponent: float
    low: float
    """Lower end of the 95 % interval of the exponent; -inf without degrees of freedom."""
    high: float
    intercepts: Mapping[Hashable, float]
    """By group, in the logarithm of y at x = 1."""
    n: int

    def at(self, x: float) -> float:
        """Value at x of the group in the middle: the mean intercept."""
        mean = sum(self.intercepts.values()) / len(self.intercepts)
        return math.exp(mean + self.exponent * math.log(x))

    def crossing(self, group: Hashable, y: float) -> float:
        """Return the x at which a group's law has the value y."""
        return math.exp((math.log(y) - self.intercepts[group]) / self.exponent)


def fit_power_law(x: Sequence[float], y: Sequence[float], groups: Sequence[Hashable]) -> PowerLaw:
    r"""Fit :math:`\log y = a_{group} + b \log x` by least squares.

    Parameters
    ----------
    x, y
        Positive numbers, in any unit.
    groups
        Which points share an intercept, such as seeds.

    Returns
    -------
    PowerLaw
        The interval is Student's t with n - groups - 1 degrees of freedom and takes the
        scatter around the law as independent and equal in the logarithm.

    Raises
    ------
    ConfigError
        If no group has two different x, so that there is no exponent.

    Examples
    --------
    >>> law = fit_power_law([1.0, 10.0, 1.0, 10.0], [2.0, 20.0, 3.0, 30.0], "aabb")
    >>> round(law.exponent, 6), round(law.crossing("a", 40.0), 6)
    (1.0, 20.0)
    """
    log_x, log_y = (np.log(np.asarray(values, dtype=np.float64)) for values in (x, y))
    names = list(dict.fromkeys(groups))
    belongs = np.array([[group == name for name in names] for group in groups], dtype=np.float64)
    sizes = belongs.sum(axis=0)
    centered_x = log_x - belongs @ (belongs.T @ log_x / sizes)
    spread = float(centered_x @ centered_x)
    if spread < 1e-12:
        raise ConfigError(
            f"{len(log_x)} points have no two different x in one group. An exponent needs two."
        )
    exponent = float(centered_x @ log_y) / spread
    intercepts = belongs.T @ (log_y - exponent * log_x) / sizes
    residuals = log_y - exponent * log_x - belongs @ intercepts
    reach = _t_quantile(len(log_x) - len(names) - 1, float(residuals @ residuals), spread)
    return PowerLaw(
        exponent,
        exponent - reach,
        exponent + reach,
        {name: float(value) for name, value in zip(names, intercepts, strict=True)},
        len(log_x),
    )


def _t_quantile(n_free: int, squares: float, spread: float) -> float:
    """Half the width of the interval: t times the standard error."""
    from scipy.stats import t

    if n_free < 1:
        return math.inf
    return float(t.ppf(0.975, n_free)) * math.sqrt(squares / n_free / spread)
