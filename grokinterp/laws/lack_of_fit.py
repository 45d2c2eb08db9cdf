"""Whether censored times lie on a power law at all, or off it somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution

from grokinterp.errors import FitError
from grokinterp.laws.survival import CensoredLikelihood, checked_times


@dataclass(frozen=True)
class LackOfFit:
    """A test of a power law against means of their own at some values of x."""

    p_value: float
    """How often times that follow the law would lie as far off it, by the F distribution."""
    likelihood_ratio: float
    """Twice what the free means gain in log-likelihood, in nats; at least 0."""
    n_free: int
    """Free means, less those that the law has already."""
    shift: float | None
    """Where one value of x is set apart: its mean of log T above the law through the others, in
    natural logarithms. inf where every time there is censored, so that nothing bounds it; None
    where several values are set apart."""
    n: int
    """Times, censored ones included."""
    n_censored: int


def measure_lack_of_fit(
    x: Any,
    times: Any,
    is_censored: Any,
    groups: Any = None,
    *,
    apart: Sequence[float] | None = None,
) -> LackOfFit:
    r"""Test T proportional to a power of x against a mean of log T at every value of x.

    The law is that of :func:`~grokinterp.laws.survival.fit_censored_power_law`,
    :math:`\log T_i = a_{g(i)} + s \log x_i + \sigma\varepsilon_i`. The alternative adds
    :math:`m(x_i)`, a constant of its own for each value of x in `apart`. Both are fitted by
    maximum likelihood, censored times counting as longer. A value of x at which every time is
    censored has an unbounded mean there, and likelihood one. With :math:`\Lambda` twice the
    gain in log-likelihood,

    .. math:: F = \frac{\nu}{q} \left(e^{\Lambda / n} - 1\right)

    is compared with the F distribution of q and :math:`\nu` degrees of freedom: q constants
    that are added, and :math:`\nu` times that were seen less all constants of the alternative.
    Without censoring that is the F test of lack of fit, which is exact.

    Parameters
    ----------
    x
        (n,) positive numbers; each value should have several times. For an exponential law in
        rho pass ``exp(rho)``.
    times, is_censored, groups
        As for :func:`~grokinterp.laws.survival.fit_censored_power_law`.
    apart
        Values of x that have a mean of their own. None: all of them, the test of the law as a
        whole. The largest alone: whether the law through the others predicts what is seen there.

    Raises
    ------
    FitError
        If lengths differ, a number is not positive, `apart` has a value that no time has, or the
        times that were seen do not determine the alternative and a scatter.

    Notes
    -----
    With censored times it is an approximation, and a cautious one: in simulated laws with a fifth
    of the times censored it rejects no more often than its level says.

    Examples
    --------
    >>> rho = np.repeat([1.0, 1.1, 1.2, 1.3], 2)
    >>> times = [210, 190, 420, 440, 870, 900, 8000, 8000]  # the last two: not by step 8,000
    >>> found = measure_lack_of_fit(np.exp(rho), times, [False] * 6 + [True] * 2, list("ab" * 4))
    >>> found.p_value < 0.05, found.n_free
    (True, 2)
    >>> kept = measure_lack_of_fit(np.exp(rho), [*times[:6], 1800, 1750], [False] * 8)
    >>> kept.p_value < 0.05
    False

    References
    ----------
    Tobin, "Estimation of relationships for limited dependent variables", Econometrica 26, 1958.
    Draper and Smith, "Applied regression analysis", 3rd edition, 1998, section 2.1.
    """
    log_x, log_t, censored = checked_times(x, times, is_censored)
    names = [None] * len(log_x) if groups is None else list(groups)
    if len(names) != len(log_x):
        raise FitError(f"{len(names)} groups for {len(log_x)} times. Give one for each.")
    if censored.all():
        raise FitError("every time is censored, so nothing says how long it takes. Run longer.")
    levels = _levels(log_x, apart)
    used, members = _members(names, censored)
    log_x, log_t, censored = log_x[used], log_t[used], censored[used]
    law = np.column_stack([log_x, members])
    own = np.column_stack([np.isclose(log_x, level, atol=1e-12, rtol=0) for level in levels])
    n_free = _rank(np.column_stack([law, own])) - _rank(law)
    # Such a value of x has likelihood one: its mean grows without bound.
    is_unbounded = np.array([censored[at.astype(bool)].all() for at in own.T], dtype=bool)
    kept = ~own[:, is_unbounded].any(axis=1)
    free = _independent(np.column_stack([law, own[:, ~is_unbounded]])[kept])
    n_left = int((~censored).sum()) - free.shape[1]
    _check_determined(free[~censored[kept]], n_free, n_left)

    without, _ = CensoredLikelihood(censored).maximum(log_t, law)
    with_free, theta = CensoredLikelihood(censored[kept]).maximum(log_t[kept], free)
    ratio = max(2 * float(with_free - without), 0.0)
    statistic = n_left / n_free * np.expm1(ratio / len(log_t))
    return LackOfFit(
        p_value=float(f_distribution.sf(statistic, n_free, n_left)),
        likelihood_ratio=ratio,
        n_free=n_free,
        shift=_shift(theta, bool(is_unbounded[0])) if len(levels) == 1 else None,
        n=len(names),
        n_censored=int(np.asarray(is_censored, dtype=bool).sum()),
    )


def _levels(log_x: np.ndarray, apart: Sequence[float] | None) -> np.ndarray:
    """Logarithms of the values of x that have a mean of their own."""
    known = np.unique(log_x.round(12))
    if apart is None:
        return known
    for value in apart:
        if not (value > 0 and np.isclose(np.log(value), known, atol=1e-12, rtol=0).any()):
            raise FitError(f"no time has x = {value:g}, which should be set apart. Choose others.")
    return np.log(np.asarray(apart, dtype=float))


def _members(names: list[Any], censored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which times have a say, and their groups as columns: a wholly censored group has none."""
    seen = {name for name, is_out in zip(names, censored, strict=True) if not is_out}
    kept = list(dict.fromkeys(name for name in names if name in seen))
    used = np.array([name in seen for name in names], dtype=bool)
    members = np.array([[name == other for other in kept] for name in names], dtype=float)
    return used, members.reshape(len(names), len(kept))[used]


def _independent(design: np.ndarray) -> np.ndarray:
    """Leave out every column that those before it span."""
    kept: list[int] = []
    for column in range(design.shape[1]):
        if _rank(design[:, [*kept, column]]) > len(kept):
            kept.append(column)
    return design[:, kept]


def _rank(design: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(design)) if design.size else 0


def _shift(theta: np.ndarray, is_unbounded: bool) -> float:
    """Mean of the one value of x set apart, which is the last column, above the law."""
    return float("inf") if is_unbounded else float(theta[-1] / theta[0])


def _check_determined(seen: np.ndarray, n_free: int, n_left: int) -> None:
    if n_free < 1:
        raise FitError(
            "two values of x lie on any power law, so there is nothing to test. Add values of x."
        )
    if n_left < 1 or _rank(seen) < seen.shape[1]:
        raise FitError(
            f"{len(seen)} times were seen, which do not determine a law, a mean for each value of "
            "x and a scatter. Add seeds, or run longer."
        )
