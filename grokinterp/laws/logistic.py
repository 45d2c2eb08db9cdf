"""S-shaped curves through several seeds: where each is half-way, and how steep they are."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokinterp.errors import FitError
from grokinterp.laws.over_seeds import GeometricMean, geometric_mean

GENTLEST, STEEPEST = 0.3, 60.0
"""Bounds of the steepness. Beyond the second the points of a curve are a step for all purposes."""


@dataclass(frozen=True)
class Logistic:
    r"""y = floor + (1 - floor) / (1 + (x / middle)^-steepness), a middle for each group."""

    middle: GeometricMean
    """Over the groups, with its 95 % interval."""
    middles: Mapping[Hashable, float]
    """x half-way between the floor and 1, by group."""
    steepness: float
    """Common to all groups: from 10 to 90 % of the way x grows by the factor 81^(1/steepness)."""
    floor: float
    n: int
    """Points, of the groups that have a middle."""
    scatter: float
    """Root mean square of the residuals."""
    left_out: tuple[Hashable, ...]
    """Groups whose points are all on one side of half-way, so that they have no middle."""

    def at(self, x: int | float) -> float:
        """Value at x of a group whose middle is the mean one."""
        return float(_logistic(math.log(x / self.middle.value) * self.steepness, self.floor))


def fit_logistic(
    x: Sequence[int | float],
    y: Sequence[int | float],
    groups: Sequence[Hashable],
    *,
    floor: int | float,
) -> Logistic:
    r"""Fit an S-shaped curve in log x from a floor to 1, by least squares.

    .. math:: y = c + (1 - c)\,\sigma(k (\log x - m_{group}))

    with one steepness k for all groups. The interval of the middle is that of the geometric mean
    over groups (:func:`~grokinterp.laws.over_seeds.geometric_mean`), so what it is about is
    another seed, and not another point.

    Parameters
    ----------
    x
        Positive numbers, in any unit.
    y
        Such as accuracies.
    groups
        Which points share a curve, such as seeds.
    floor
        c, such as the accuracy of chance.

    Raises
    ------
    FitError
        If no group has points on both sides of half-way, or an x is not positive.

    Examples
    --------
    >>> sizes = [60, 120, 240, 480] * 2
    >>> accuracies = [0.0, 0.2, 0.8, 1.0, 0.0, 0.5, 0.9, 1.0]
    >>> curve = fit_logistic(sizes, accuracies, "aaaabbbb", floor=0.0)
    >>> [round(middle) for middle in curve.middles.values()], round(curve.middle.value)
    ([170, 122], 144)
    """
    from scipy.optimize import least_squares

    places, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if not (np.isfinite(places).all() and (places > 0).all() and np.isfinite(values).all()):
        raise FitError("an x is not positive, or a number is not finite. Leave such points out.")
    half = (1 + floor) / 2
    names = list(dict.fromkeys(groups))
    sides = {
        name: {bool(v >= half) for v, g in zip(values, groups, strict=True) if g == name}
        for name in names
    }
    kept = [name for name in names if len(sides[name]) == 2]
    if not kept:
        raise FitError(
            f"no group has points on both sides of {half:g}, half-way between {floor:g} and 1, so "
            "nothing says where the middle is. Add values of x."
        )
    used = np.array([group in kept for group in groups])
    log_x, values = np.log(places[used]), values[used]
    place = np.array([kept.index(group) for group in groups if group in kept])

    def residuals(theta: np.ndarray) -> np.ndarray:
        return _logistic(np.exp(theta[0]) * (log_x - theta[1:][place]), floor) - values

    middles = [_half_way(log_x[place == i], values[place == i], half) for i in range(len(kept))]
    bounds = np.array([(math.log(GENTLEST), math.log(STEEPEST))] + [(-np.inf, np.inf)] * len(kept))
    fit = least_squares(residuals, [math.log(5.0), *middles], bounds=bounds.T, xtol=1e-12)
    found = {name: float(math.exp(m)) for name, m in zip(kept, fit.x[1:], strict=True)}
    return Logistic(
        middle=geometric_mean(found.values()),
        middles=found,
        steepness=float(math.exp(fit.x[0])),
        floor=floor,
        n=len(values),
        scatter=float(np.sqrt(np.mean(fit.fun**2))),
        left_out=tuple(name for name in names if name not in kept),
    )


def _logistic(z: Any, floor: float) -> Any:
    return floor + (1 - floor) / (1 + np.exp(-np.clip(z, -700, 700)))


def _half_way(log_x: np.ndarray, y: np.ndarray, half: float) -> float:
    """Where to begin: between the mean log x below half-way and that above."""
    return float((log_x[y < half].max() + log_x[y >= half].min()) / 2)
