r"""Losses whose expectation under the sampled density is an integral that can be done exactly.

Each has its minimum L = 0 at the center, so that :math:`\hat\lambda = n\beta\,E[L]` with the
expectation over :math:`\exp(-n\beta L(w) - \frac{\gamma}{2}|w - w^*|^2)`. The integral at finite
n beta is the truth that an estimate is held against. The learning coefficient is its limit, and
may be far from it: for x²y² the limit is 0.5, and the integral 0.44 at n beta = 1e6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import k0e
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SingularModel:
    """A loss of d weights with a known expectation.

    Examples
    --------
    >>> model = product_of_two()
    >>> f"{model.expectation(1e2, 1.0):.3f}, {model.expectation(1e6, 1.0):.3f}"
    '0.354, 0.438'
    """

    name: str
    loss: Callable[[Float[Tensor, "chain d"]], Float[Tensor, " chain"]]
    """Loss of each row of weights."""
    center: Float[Tensor, " d"]
    """The minimum that the density is localized at, float64."""
    expectation: Callable[[float, float], float]
    """n beta times the mean loss, as a function of n beta and gamma."""
    asymptote: float
    """The learning coefficient: its limit for large n beta."""


def quadratic(curvatures: tuple[float, ...]) -> SingularModel:
    """Loss of a regular model: half the sum of h w², whose coefficient is d/2.

    The expectation is the sum of n beta h / (2 (n beta h + gamma)).
    """
    h = torch.tensor(curvatures, dtype=torch.float64)

    def expectation(n_beta: float, localization: float) -> float:
        return float((n_beta * h / (n_beta * h + localization)).sum() / 2)

    return SingularModel(
        name=f"quadratic in {len(h)} weights",
        loss=lambda w: (h * w.square()).sum(dim=1) / 2,
        center=torch.zeros(len(h), dtype=torch.float64),
        expectation=expectation,
        asymptote=len(h) / 2,
    )


def product_of_two() -> SingularModel:
    """Loss x²y², whose coefficient is 1/2 with multiplicity 2.

    Under the localization alone z = xy has the density K_0(gamma |z|) gamma / pi.
    """

    def expectation(n_beta: float, localization: float) -> float:
        def density(z: Float[np.ndarray, " z"]) -> Float[np.ndarray, " z"]:
            at = localization * z
            return k0e(at) * np.exp(-at - n_beta * z * z)

        return n_beta * _mean_of_square(density, 1 / math.sqrt(n_beta))

    return SingularModel(
        name="x²y²",
        loss=lambda w: w.square().prod(dim=1),
        center=torch.zeros(2, dtype=torch.float64),
        expectation=expectation,
        asymptote=0.5,
    )


def reduced_rank_at_zero(n_inputs: int, n_outputs: int) -> SingularModel:
    """Reduced-rank regression of rank 1 whose truth is 0: loss |a|² |b|² / 2.

    Its coefficient is min(n_inputs, n_outputs) / 2 (Aoyagi and Watanabe 2005). The integral is
    over the two lengths.
    """
    shortest = min(n_inputs, n_outputs)

    def expectation(n_beta: float, localization: float) -> float:
        log_r = np.linspace(-18, math.log(12 / math.sqrt(localization)), 4001)
        squared = np.exp(2 * log_r)
        # log of the volume element and of the localization, of the lengths of a and of b
        of_a, of_b = (n * log_r - localization / 2 * squared for n in (n_inputs, n_outputs))
        losses = np.outer(squared, squared) / 2
        density = of_a[:, None] + of_b[None, :] - n_beta * losses
        density = np.exp(density - density.max())
        return float(n_beta * (density * losses).sum() / density.sum())

    return SingularModel(
        name=f"reduced-rank regression {n_inputs}-1-{n_outputs}, truth 0",
        loss=lambda w: w[:, :n_inputs].square().sum(1) * w[:, n_inputs:].square().sum(1) / 2,
        center=torch.zeros(n_inputs + n_outputs, dtype=torch.float64),
        expectation=expectation,
        asymptote=shortest / 2,
    )


def reduced_rank_of_two() -> SingularModel:
    """Reduced-rank regression with one input, one output, two hidden neurons, truth 0.

    The loss is (a · b)² / 2, and its coefficient 1/2. Under the localization alone a · b has the
    density exp(-gamma |z|) gamma / 2.
    """

    def expectation(n_beta: float, localization: float) -> float:
        def density(z: Float[np.ndarray, " z"]) -> Float[np.ndarray, " z"]:
            return np.exp(-localization * z - n_beta * z * z / 2)

        return n_beta / 2 * _mean_of_square(density, 1 / math.sqrt(n_beta))

    return SingularModel(
        name="reduced-rank regression 1-2-1, truth 0",
        loss=lambda w: (w[:, :2] * w[:, 2:]).sum(dim=1).square() / 2,
        center=torch.zeros(4, dtype=torch.float64),
        expectation=expectation,
        asymptote=0.5,
    )


def reduced_rank_at_one() -> SingularModel:
    """Reduced-rank regression 1-1-1 whose truth is 1: loss (ab - 1)² / 2, around a = b = 1.

    Its zeros are a curve, and its coefficient 1/2. The integral is over the plane.
    """

    def expectation(n_beta: float, localization: float) -> float:
        reach = 9 / math.sqrt(localization)
        a = np.linspace(1 - reach, 1 + reach, 6001)
        a = a[np.abs(a) > 1e-9]
        # Given a, the exponent is quadratic in b: a Gaussian, integrated in closed form.
        precision = n_beta * a**2 + localization
        mean = (n_beta * a + localization) / precision
        log_weight = (
            -localization / 2 * (a - 1) ** 2
            - n_beta / 2
            - localization / 2
            + precision * mean**2 / 2
            - np.log(precision) / 2
        )
        weight = np.exp(log_weight - log_weight.max())
        losses = ((a * mean - 1) ** 2 + a**2 / precision) / 2
        return float(n_beta * (weight * losses).sum() / weight.sum())

    return SingularModel(
        name="reduced-rank regression 1-1-1, truth 1",
        loss=lambda w: (w.prod(dim=1) - 1).square() / 2,
        center=torch.ones(2, dtype=torch.float64),
        expectation=expectation,
        asymptote=0.5,
    )


def _mean_of_square(
    density: Callable[[Float[np.ndarray, " z"]], Float[np.ndarray, " z"]], width: float
) -> float:
    """Mean of z² over z > 0 for a density of this width around 0, on a grid of log z."""
    t = np.linspace(math.log(width) - 30, math.log(width) + 4, 20_001)
    z = np.exp(t)
    weights = density(z) * z
    return float((weights * z**2).sum() / weights.sum())
