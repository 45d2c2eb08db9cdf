r"""Sampling the neighborhood of a minimum by stochastic gradient Langevin dynamics, pure.

The density is :math:`\exp(-n\beta L(w) - \frac{\gamma}{2}|w - w^*|^2)`, and a step is

.. math:: w \leftarrow w - \frac{\epsilon}{2}\bigl(n\beta\nabla L(w) + \gamma(w - w^*)\bigr)
          + \mathcal{N}(0, \epsilon),

as in Lau et al. 2023, arXiv:2308.12108. Chains are a leading dimension of the weights: one
evaluation of the loss serves all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.fields import check_types

LossOfChains = Callable[[Float[Tensor, "chain d"]], Float[Tensor, " chain"]]
"""Loss of every chain's weights; differentiable, and no chain's loss depends on another."""


@dataclass(frozen=True)
class Sgld:
    """How chains are drawn.

    Examples
    --------
    >>> Sgld(step_size=1e-4, n_beta=100.0).n_evaluations
    4000
    """

    step_size: int | float
    """epsilon: the variance of the noise of a step, in squared units of the weights."""
    n_beta: int | float
    """n beta: how strongly the mean loss counts; n / log n for the WBIC's temperature."""
    localization: int | float = 1.0
    """gamma: strength of the pull toward the weights that the chains begin at."""
    n_chains: int = 4
    """Chains, which differ in their noise."""
    n_burn_in: int = 500
    """Steps that are thrown away."""
    n_draws: int = 500
    """Steps that are kept, per chain."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("step_size", "n_beta", "localization"):
            if getattr(self, name) <= 0:
                raise ConfigError(
                    f"{name}={getattr(self, name)} is not above 0. Use a positive number."
                )
        for name, fewest in (("n_chains", 2), ("n_draws", 8), ("n_burn_in", 0)):
            if getattr(self, name) < fewest:
                raise ConfigError(f"{name}={getattr(self, name)} is below {fewest}. Use more.")

    @property
    def n_evaluations(self) -> int:
        """Gradients of the loss that it takes, over all chains."""
        return self.n_chains * (self.n_burn_in + self.n_draws)


@dataclass(frozen=True, eq=False)
class Chains:
    """What sampling gave."""

    losses: Float[Tensor, "chain draw"]
    """Loss at every kept step, float64; NaN from where a chain left the finite numbers."""
    acceptance: float
    """Mean probability that a Metropolis test of the steps would have accepted them; 1 for steps
    small enough to add no bias. NaN if the loss was of minibatches."""
    distance: float
    """Distance from the center at the last step, root mean square over the chains."""


def sample_chains(
    loss: LossOfChains,
    center: Float[Tensor, " d"],
    sgld: Sgld,
    *,
    is_deterministic: bool = True,
) -> Chains:
    """Draw chains that begin at a point.

    Parameters
    ----------
    loss
        Loss of each row of weights.
    center
        w*, where the chains begin and what they are pulled toward.
    sgld
        Step size, temperature, number of chains and of steps.
    is_deterministic
        Whether the loss is a function of the weights alone. Without it, as with minibatches,
        there is no Metropolis test to report.

    Examples
    --------
    A quadratic well, for which n beta times the mean loss is nearly d/2:

    >>> center, sgld = torch.zeros(3).double(), Sgld(1e-3, 100.0, n_draws=4000)
    >>> chains = sample_chains(lambda w: w.square().sum(dim=1) / 2, center, sgld)
    >>> abs(100 * float(chains.losses.mean()) - 1.5) < 0.2
    True
    """
    generator = torch.Generator(device=center.device).manual_seed(sgld.seed)
    weights = center.expand(sgld.n_chains, -1).clone()
    losses = torch.full((sgld.n_chains, sgld.n_draws), math.nan, dtype=torch.float64)
    accepted: list[Tensor] = []
    before: _Point | None = None
    for step in range(sgld.n_burn_in + sgld.n_draws):
        here = _point(loss, center, weights, sgld)
        if not torch.isfinite(here.energy).all():
            losses[:, max(step - sgld.n_burn_in, 0) :] = math.nan
            break
        if step >= sgld.n_burn_in:
            losses[:, step - sgld.n_burn_in] = here.losses
            if is_deterministic and before is not None:
                accepted.append(_acceptance(before, here, sgld.step_size))
        noise = torch.empty_like(weights).normal_(generator=generator)
        weights = here.weights - sgld.step_size / 2 * here.slope
        weights = weights + math.sqrt(sgld.step_size) * noise
        before = here
    acceptance = float(torch.stack(accepted).mean()) if accepted else math.nan
    distance = float((weights - center).square().sum(dim=1).mean().sqrt())
    return Chains(losses, acceptance, distance)


@dataclass(frozen=True, eq=False)
class _Point:
    """Where the chains are, with the energy (minus log density) and its gradient."""

    weights: Float[Tensor, "chain d"]
    losses: Float[Tensor, " chain"]
    energy: Float[Tensor, " chain"]
    slope: Float[Tensor, "chain d"]


def _point(loss: LossOfChains, center: Tensor, weights: Tensor, sgld: Sgld) -> _Point:
    weights = weights.detach().requires_grad_()
    with torch.enable_grad():
        losses = loss(weights)
    (slope,) = torch.autograd.grad(losses.sum(), weights)
    weights = weights.detach()
    away = weights - center
    losses = losses.detach().double()
    energy = sgld.n_beta * losses + sgld.localization / 2 * away.double().square().sum(dim=1)
    return _Point(weights, losses, energy, sgld.n_beta * slope + sgld.localization * away)


def _acceptance(before: _Point, here: _Point, step_size: float) -> Float[Tensor, " chain"]:
    """Probability that a Metropolis test accepts the step, per chain (Roberts and Tweedie 1996)."""

    def log_step(start: _Point, end: _Point) -> Tensor:
        expected = start.weights - step_size / 2 * start.slope
        return -(end.weights - expected).double().square().sum(dim=1) / (2 * step_size)

    log_ratio = before.energy - here.energy + log_step(here, before) - log_step(before, here)
    return log_ratio.clamp(max=0).exp()
