r"""Laws of grokking times of which some are known only to lie above the last step.

A run that has not grokked by its last step has a time all the same; it is right-censored. To
drop such runs, or to enter their last step as the time, bends every slope toward zero, since it
is the slow ones that are cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

from grokinterp.errors import FitError
from grokinterp.laws.bootstrap import BootstrapInterval, bootstrap_over_groups

CHI_SQUARE_95 = 3.841458820694124
"""The 95 % quantile of chi-square with one degree of freedom."""
MOST_ITERATIONS = 100
_LARGEST_SLOPE = 1e3
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class CensoredFit:
    """A power law of grokking times, with the interval of its exponent."""

    slope: float
    """Exponent of x: the maximum of the likelihood."""
    low: float
    """Lower end of the 95 % profile-likelihood interval; -inf where nothing bounds it."""
    high: float
    """Upper end; inf where nothing bounds it."""
    sigma: float
    """Scatter of log T about the law, natural logarithm: the maximum-likelihood value."""
    intercepts: dict[Any, float]
    """log T at x = 1, by group. A group in which every time is censored has none, and no say."""
    n: int
    """Times, censored ones included."""
    n_censored: int
    log_likelihood: float
    """Of log T, in nats."""


def fit_censored_power_law(x: Any, times: Any, is_censored: Any, groups: Any = None) -> CensoredFit:
    r"""Fit T proportional to a power of x, with times that are only known to be longer.

    .. math:: \log T_i = a_{g(i)} + s \log x_i + \sigma\varepsilon_i,
       \qquad \varepsilon_i \sim N(0, 1)

    With :math:`z_i = (\log t_i - a_{g(i)} - s \log x_i)/\sigma` a time that was seen contributes
    :math:`\log\varphi(z_i) - \log\sigma` to the log-likelihood, and one that is only known to
    exceed :math:`t_i` contributes :math:`\log(1 - \Phi(z_i))`. In :math:`1/\sigma` and
    :math:`a/\sigma, s/\sigma` that is concave (Olsen 1978), so Newton's method finds the one
    maximum. The interval holds the slopes whose likelihood, maximized over all else, is within
    3.841/2 nats of the maximum. Without censoring slope and intercepts are those of least
    squares.

    Parameters
    ----------
    x
        (n,) positive numbers, such as weight decays.
    times
        (n,) positive numbers of steps; for a censored run the last step at which it was tested.
    is_censored
        (n,) booleans.
    groups
        (n,) names, such as seeds: each has a constant of its own. None: one for all.

    Raises
    ------
    FitError
        If lengths differ, a number is not positive, or the times that were seen do not determine
        a slope and a scatter.

    Notes
    -----
    The quantile of chi-square is that of many runs. With n runs and k constants and slopes the
    interval covers as often as :math:`F_{1, n-k} \le (n-k)(e^{3.841/n} - 1)`: 92 % of the time
    for 30 runs of 5 seeds.

    Examples
    --------
    >>> x = [0.25, 0.5, 1.0, 2.0]
    >>> fit = fit_censored_power_law(x, [4100, 1950, 1020, 490], [False] * 4)
    >>> round(fit.slope, 2), fit.low < -1 < fit.high
    (-1.01, True)

    References
    ----------
    Olsen, "Note on the uniqueness of the maximum likelihood estimator for the Tobit model",
    Econometrica 46, 1978. Tobin, "Estimation of relationships for limited dependent variables",
    Econometrica 26, 1958.
    """
    log_x, log_t, censored = checked_times(x, times, is_censored)
    names = _names(groups, len(log_x))
    log_x, log_t, members, likelihood, kept = _used(log_x, log_t, censored, names)
    best, theta = likelihood.maximum(log_t, np.column_stack([log_x, members]))
    slope = float(theta[1] / theta[0])

    def deficit(other: float) -> float:
        """Twice the log-likelihood that a slope costs, less what is allowed."""
        return 2 * (best - likelihood.maximum(log_t - other * log_x, members)[0]) - CHI_SQUARE_95

    return CensoredFit(
        slope=slope,
        low=_crossing(deficit, slope, -1.0),
        high=_crossing(deficit, slope, 1.0),
        sigma=float(1 / theta[0]),
        intercepts={n: float(a / theta[0]) for n, a in zip(kept, theta[2:], strict=True)},
        n=len(names),
        n_censored=int(censored.sum()),
        log_likelihood=float(best),
    )


def bootstrap_slope(x: Any, times: Any, is_censored: Any, groups: Any) -> BootstrapInterval:
    """Return the 95 % interval of the exponent over groups drawn again.

    The profile interval of :func:`fit_censored_power_law` takes one exponent to hold for every
    group. This one need not: groups may differ in their exponents. Parameters and errors are
    those of the fit; at least 4 groups are needed.

    Examples
    --------
    >>> import numpy as np
    >>> x, seeds = [0.25, 0.5, 1.0, 2.0] * 4, [s for s in range(4) for _ in range(4)]
    >>> noise = np.random.default_rng(1).normal(0, 0.1, 16)
    >>> times = 1000 / np.array(x) * np.exp(noise)
    >>> interval = bootstrap_slope(x, times, [False] * 16, seeds)
    >>> interval.low < -1 < interval.high
    True
    """
    log_x, log_t, censored = checked_times(x, times, is_censored)

    def slope(rows: np.ndarray, copies: list[Any]) -> float:
        drawn_x, drawn_t, members, likelihood, _ = _used(
            log_x[rows], log_t[rows], censored[rows], copies
        )
        theta = likelihood.maximum(drawn_t, np.column_stack([drawn_x, members]))[1]
        return float(theta[1] / theta[0])

    return bootstrap_over_groups(_names(groups, len(log_x)), slope)


def median_with_censoring(times: Any, is_censored: Any) -> float | None:
    """Median of times of which some are only known to be longer (Kaplan and Meier).

    Without censoring it is the ordinary median.

    Parameters
    ----------
    times
        (n,) numbers of steps; for a censored run its last step.
    is_censored
        (n,) booleans.

    Returns
    -------
    float or None
        The time at which the estimated survival falls below one half; where it is exactly one
        half for a while, the middle of that while. None where it does not fall that far: at
        least half of the runs have "not by N steps".

    Examples
    --------
    >>> median_with_censoring([10, 20, 30], [False, False, True])
    20.0
    >>> median_with_censoring([10, 20, 30], [False, True, True]) is None
    True
    """
    times, censored = np.asarray(times, dtype=float), np.asarray(is_censored, dtype=bool)
    survival, half_since = 1.0, None
    for time in np.unique(times[~censored]):
        if half_since is not None:
            return float((half_since + time) / 2)
        at_risk = int((times >= time).sum())
        survival *= 1 - int(((times == time) & ~censored).sum()) / at_risk
        # Products of fractions such as 2/3 * 3/4 miss one half by rounding.
        if abs(survival - 0.5) < 1e-9:
            half_since = time
        elif survival < 0.5:
            return float(time)
    return None


class CensoredLikelihood:
    """Log-likelihood in theta = (1/sigma, coefficients/sigma), where it is concave."""

    def __init__(self, censored: np.ndarray) -> None:
        self._censored = censored
        self._n_seen = int((~censored).sum())

    def maximum(self, log_t: np.ndarray, design: np.ndarray) -> tuple[float, np.ndarray]:
        """Maximize it for a design; return the maximum and theta."""
        rows = np.column_stack([log_t, -design])
        theta = self._initial_theta(log_t, design)
        value = self._value(rows @ theta, theta[0])
        for _ in range(MOST_ITERATIONS):
            gradient, curvature = self._derivatives(rows, theta)
            step = np.linalg.solve(curvature, gradient)
            # Half the Newton decrement: about what is left to gain, in nats.
            if gradient @ step / 2 < 1e-12:
                break
            theta, value = self._uphill(rows, theta, step, value)
        return value, theta

    def _uphill(
        self, rows: np.ndarray, theta: np.ndarray, step: np.ndarray, value: float
    ) -> tuple[np.ndarray, float]:
        """Take the step, or as much of it as rises; theta[0] = 1/sigma stays positive."""
        for size in 0.5 ** np.arange(40):
            trial = theta + size * step
            new = self._value(rows @ trial, trial[0]) if trial[0] > 0 else -np.inf
            if new >= value:
                return trial, new
        return theta, value

    def _initial_theta(self, log_t: np.ndarray, design: np.ndarray) -> np.ndarray:
        """Least squares of the times that were seen."""
        seen = ~self._censored
        coefficients = np.linalg.lstsq(design[seen], log_t[seen], rcond=None)[0]
        residuals = log_t[seen] - design[seen] @ coefficients
        sigma = max(float(np.sqrt(np.mean(residuals**2))), 1e-3)
        return np.concatenate([[1.0], coefficients]) / sigma

    def _value(self, z: np.ndarray, precision: float) -> float:
        seen, cut = z[~self._censored], z[self._censored]
        densities = self._n_seen * (np.log(precision) - _LOG_2PI / 2) - seen @ seen / 2
        return float(densities + log_ndtr(-cut).sum())

    def _derivatives(self, rows: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient, and the negative Hessian."""
        z = rows @ theta
        # φ(z) / (1 - Φ(z)) of the normal distribution, without 0/0 far out.
        hazard = np.exp(-(z**2) / 2 - _LOG_2PI / 2 - log_ndtr(-z))
        pull = np.where(self._censored, hazard, z)
        weight = np.where(self._censored, hazard * (hazard - z), 1.0)
        gradient = -rows.T @ pull
        gradient[0] += self._n_seen / theta[0]
        curvature = rows.T @ (weight[:, None] * rows)
        curvature[0, 0] += self._n_seen / theta[0] ** 2
        return gradient, curvature


def _names(groups: Any, n_times: int) -> list[Any]:
    names = [None] * n_times if groups is None else list(groups)
    if len(names) != n_times:
        raise FitError(f"{len(names)} groups for {n_times} times. Give one for each.")
    return names


def _used(
    log_x: np.ndarray, log_t: np.ndarray, censored: np.ndarray, names: list[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, CensoredLikelihood, list[Any]]:
    """Data of the groups that have a say, the members of each, and the groups themselves."""
    seen = {name for name, is_out in zip(names, censored, strict=True) if not is_out}
    # All of a group censored: its constant grows without bound and its likelihood tends to one.
    used = np.array([name in seen for name in names], dtype=bool)
    kept = list(dict.fromkeys(name for name in names if name in seen))
    members = np.array([[name == other for other in kept] for name in names], dtype=float)[used]
    log_x, log_t, censored = log_x[used], log_t[used], censored[used]
    _check_determined(log_x, log_t, censored, members)
    return log_x, log_t, members, CensoredLikelihood(censored), kept


def _crossing(deficit: Any, slope: float, direction: float) -> float:
    """End of the interval on one side: where the deficit becomes positive."""
    near, distance = slope, 0.05
    while distance < _LARGEST_SLOPE:
        far = slope + direction * distance
        if deficit(far) > 0:
            return _root(deficit, near, far)
        near, distance = far, 2 * distance
    return direction * np.inf


def _root(function: Any, near: float, far: float) -> float:
    found: Any = brentq(function, near, far, xtol=1e-7)
    return float(found)


def checked_times(
    x: Any, times: Any, is_censored: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log x, log T and which are censored, as arrays; refuse what has no logarithm."""
    values = np.asarray(x, dtype=float), np.asarray(times, dtype=float)
    censored = np.asarray(is_censored, dtype=bool)
    if not len(values[0]) == len(values[1]) == len(censored):
        raise FitError(
            f"{len(values[0])} x, {len(values[1])} times and {len(censored)} flags. Give one of "
            "each for every run."
        )
    for name, numbers in zip(("x", "time"), values, strict=True):
        bad = numbers[~(np.isfinite(numbers) & (numbers > 0))]
        if len(bad):
            raise FitError(
                f"a {name} of {bad[0]:g} has no logarithm. Leave such runs out of the law, and "
                "say so."
            )
    return np.log(values[0]), np.log(values[1]), censored


def _check_determined(
    log_x: np.ndarray, log_t: np.ndarray, censored: np.ndarray, members: np.ndarray
) -> None:
    """Refuse data whose likelihood has no maximum."""
    seen = ~censored
    if not seen.any():
        raise FitError("every time is censored, so nothing says how long it takes. Run longer.")
    design = np.column_stack([log_x, members])[seen]
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise FitError(
            "the times that were seen have one x within each group, so nothing says how they "
            "depend on it. Add values of x, or run longer."
        )
    if len(design) <= design.shape[1]:
        raise FitError(
            f"{len(design)} times were seen, for {design.shape[1]} constants and slopes. Add seeds "
            "or values of x, or run longer."
        )
    fitted = design @ np.linalg.lstsq(design, log_t[seen], rcond=None)[0]
    if np.abs(log_t[seen] - fitted).max() < 1e-9:
        raise FitError(
            "the times lie on a power law exactly, so there is no scatter to judge the slope by. "
            "Add runs."
        )
