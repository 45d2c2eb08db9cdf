r"""The power that random groups of pairs reach, from its distribution and without drawing any.

Deal the n² rows of the logits at random into n groups of n. With :math:`\Sigma` the covariance of
the rows, the mean of a group has covariance :math:`\Sigma/(n+1)`, which is :math:`\Sigma/n` times
the factor (n² - n)/(n² - 1) of drawing without replacement, and two means have
:math:`-\Sigma/(n^2-1)`. The coefficients of the means on orthonormal functions of the group are
therefore uncorrelated, each with covariance :math:`\Sigma\, n/(n^2-1)`, and nearly Gaussian. So
the power of a component with m such functions is a weighted sum of chi-squares with m degrees of
freedom each. The weights are the eigenvalues :math:`\lambda_j` of that covariance. The largest
power over components has the product of their distribution functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.portions import portions
from grokinterp.spectra.harmonics import GroupHarmonics

_BISECTIONS = 200
"""Halvings of an interval; it stops where a float64 has no number between."""


def gaussian_power_quantile(
    values: Float[Tensor, "pair c"], harmonics: GroupHarmonics, *, quantile: float = 0.999
) -> float:
    r"""Quantile of the largest power of any frequency, were the pairs in random order.

    What :func:`~grokinterp.spectra.permuted_power_quantile` finds by drawing, for Gaussian means.
    The tails of the sums of chi-squares are saddlepoint approximations.

    Parameters
    ----------
    values
        One row per pair; only their set matters.
    harmonics
        Of the group of n elements.
    quantile
        Of the largest power.

    Returns
    -------
    float
        Power, in the units of ``harmonics.power(means over the true groups)``.

    References
    ----------
    Lugannani & Rice, "Saddle point approximation for the distribution of the sum of independent
    random variables", Advances in Applied Probability 12 (1980).

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics, permuted_power_quantile
    >>> rows, harmonics = torch.randn(31**2, 31), cyclic_harmonics(31)
    >>> drawn = permuted_power_quantile(rows, harmonics)
    >>> abs(gaussian_power_quantile(rows, harmonics) / drawn - 1) < 0.1
    True
    """
    n = len(harmonics.basis)
    weights = torch.linalg.eigvalsh(row_covariance(values) * (n / (n**2 - 1)))
    weights = weights[weights > 1e-12 * weights[-1]]
    if not len(weights):
        return 0.0
    n_waves, n_components = harmonics.component.bincount()[1:].unique(return_counts=True)

    def log_probability(power: float) -> float:
        """Logarithm of the probability that no component exceeds a power."""
        return sum(
            count * math.log1p(-min(weighted_chi_square_tail(weights, m, power), 1.0 - 1e-16))
            for m, count in zip(n_waves.tolist(), n_components.tolist(), strict=True)
        )

    low = float(weights.sum())
    high = 2 * low * max(n_waves.tolist())
    while log_probability(high) < math.log(quantile):
        high *= 2
    return _bisect(lambda power: log_probability(power) - math.log(quantile), 0.0, high)


def row_covariance(values: Float[Tensor, "pair c"]) -> Float[Tensor, "c c"]:
    """Covariance of the rows, divided by their number, in float64 from products in float32."""
    mean = values.mean(dim=0)
    covariance = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64)
    for rows in portions(len(values), 8 * values.shape[1]):
        centered = (values[rows] - mean).float()
        covariance += (centered.T @ centered).double()
    return covariance / len(values)


def weighted_chi_square_tail(
    weights: Float[Tensor, " weight"], degrees: int, value: float
) -> float:
    r"""Probability that :math:`\sum_j \lambda_j \chi^2_m` exceeds a value, by its saddlepoint.

    Parameters
    ----------
    weights
        The :math:`\lambda_j`, positive.
    degrees
        Degrees of freedom m of every term.
    value
        Positive.

    Examples
    --------
    >>> round(weighted_chi_square_tail(torch.ones(1), 2, 2 * math.log(1000)), 4)
    0.001
    """
    weights = weights.double()
    largest = float(weights.max())

    def slope(t: float) -> float:
        return float(degrees * (weights / (1 - 2 * t * weights)).sum())

    # The slope of the cumulant generating function grows from 0 to infinity up to 1/(2 largest).
    edge = 1 / (2 * largest)
    lowest = -degrees * len(weights) / (2 * value)
    t = _bisect(lambda t: slope(t) - value, lowest, edge * (1 - 1e-12))
    generating = float(-degrees / 2 * torch.log1p(-2 * t * weights).sum())
    curvature = float(2 * degrees * (weights / (1 - 2 * t * weights)).square().sum())
    w = math.copysign(math.sqrt(max(2 * (t * value - generating), 0.0)), t)
    u = t * math.sqrt(curvature)
    if abs(w) < 1e-4:
        # At the mean both terms below have a pole; the quantiles that are asked for lie beyond.
        return 0.5
    density = math.exp(-w * w / 2) / math.sqrt(2 * math.pi)
    return math.erfc(w / math.sqrt(2)) / 2 + density * (1 / u - 1 / w)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Zero of a function that grows."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return high
