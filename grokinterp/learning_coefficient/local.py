"""The local learning coefficient of a network at a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits import Snapshot
from grokinterp.circuits.task_pairs import On
from grokinterp.errors import ConfigError
from grokinterp.fields import checked
from grokinterp.learning_coefficient.coefficient import LearningCoefficient
from grokinterp.learning_coefficient.estimate import Acceptable, estimate_coefficient, grid_of
from grokinterp.learning_coefficient.network_loss import NetworkLoss, network_loss
from grokinterp.learning_coefficient.sgld import Sgld

FRACTIONS_OF_N_BETA = (0.3, 1.0, 3.0)
"""n beta that are tried, as fractions of n / log n."""
STEP_SIZES = (1e-4, 2e-4, 4e-4)
"""Step sizes that are tried."""
LOCALIZATION = 100.0
"""With it flat directions mix in 2 / (step size * localization) steps, 50 to 200, and so within the
burn-in. With 1 they take a hundred times as long, and no chain of a few hundred steps mixes."""


def local_learning_coefficient(
    snapshot: Snapshot,
    *,
    n_betas: Sequence[int | float] | None = None,
    step_sizes: Sequence[int | float] = STEP_SIZES,
    localization: int | float = LOCALIZATION,
    on: On = "train",
    batch_size: int | None = None,
    n_chains: int = 4,
    n_burn_in: int = 500,
    n_draws: int = 500,
    largest_r_hat: int | float = 1.1,
    tolerance: int | float = 0.1,
    seed: int = 0,
    progress: Any = None,
) -> LearningCoefficient:
    r"""Estimate the local learning coefficient: how degenerate the minimum is.

    .. math:: \hat\lambda(w^*) = n\beta\,\bigl(E[L(w)] - L(w^*)\bigr)

    with the mean over :math:`\exp(-n\beta L(w) - \frac{\gamma}{2}|w - w^*|^2)`, drawn by
    stochastic gradient Langevin dynamics in several chains. A regular model of d weights has d/2;
    the more directions leave the loss as it is, the lower.

    Every n beta is tried with every step size. The value is that of a plateau: neighboring
    settings whose chains have all mixed and whose estimates agree. With a single n beta and a
    single step size no plateau is asked for.

    Parameters
    ----------
    snapshot
        Of any network whose weights are known: a transformer, a perceptron or a module.
    n_betas
        Inverse temperatures times the number of pairs. None: 0.3, 1 and 3 times n / log n.
    step_sizes
        Variances of the noise of a step.
    localization
        gamma, the pull toward the weights. d weights are typically sqrt(d / gamma) away from them.
    on
        Pairs whose mean cross-entropy is the loss: ``train``, ``test`` or ``all``.
    batch_size
        Pairs that each step of each chain draws, with replacement; None: all of them.
    n_chains, n_burn_in, n_draws
        Chains, and steps of each that are thrown away and kept.
    largest_r_hat
        R-hat of the losses above which chains have not mixed.
    tolerance
        Largest difference within a plateau, as a fraction of the largest estimate.
    seed
        Seed of the noise and of the batches.
    progress
        Wraps the settings to show progress, such as ``tqdm``.

    Returns
    -------
    LearningCoefficient
        Its value is None, with the reason, where chains diverge or have not mixed, the estimate
        is not positive, or no plateau is found.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type or out of range, the weights are not known, or there
        are no such pairs.

    Notes
    -----
    It costs ``len(n_betas) * len(step_sizes) * n_chains * (n_burn_in + n_draws)`` gradients of
    the loss: 36,000 as it stands. The loss is the cross-entropy without weight decay, so a
    network that is held in place by weight decay is at no minimum of it. All chains begin at the
    same weights; R-hat does not see what none of them has reached.

    References
    ----------
    Lau et al., "The Local Learning Coefficient: A Singularity-Aware Complexity Measure", 2023,
    arXiv:2308.12108; Vehtari et al. 2021, arXiv:1903.08008 for R-hat and effective sample size.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> found = gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[3e-4, 1e-3])
    >>> found.plateau["step_size"].tolist(), "r_hat" in found.plateau
    ([0.0003, 0.001], True)
    """
    checked("snapshot", snapshot, Snapshot, "Take one: gi.take_snapshot(run).")
    checked("on", on, On)
    if batch_size is not None and checked("batch_size", batch_size, int) < 1:
        raise ConfigError(f"batch_size={batch_size} is not allowed. Use None for all pairs.")
    acceptable = Acceptable(largest_r_hat, tolerance)
    loss = network_loss(snapshot, on)
    n = len(loss.rows)
    chosen = default_n_betas(n) if n_betas is None else _numbers("n_betas", n_betas)
    steps = _numbers("step_sizes", step_sizes)
    settings = Sgld(steps[0], chosen[0], localization, n_chains, n_burn_in, n_draws, seed)
    with torch.no_grad():
        at_center = float(loss(loss.center[None])[0])
    of_batch = "all" if batch_size is None else f"{batch_size:,} at a time"
    return estimate_coefficient(
        loss if batch_size is None else _OfBatches(loss, batch_size, seed),
        loss.center,
        grid_of(chosen, steps, settings),
        acceptable=acceptable,
        loss_at_center=at_center,
        is_deterministic=batch_size is None,
        about={
            "network": f"{snapshot.network.in_words}, at step {snapshot.step:,}",
            "pairs": f"{n:,} ({on}), {of_batch}",
        },
        progress=progress,
    )


def default_n_betas(n: int) -> tuple[float, ...]:
    """Inverse temperatures to try for n pairs: fractions of n / log n.

    Examples
    --------
    >>> [round(n_beta, 1) for n_beta in default_n_betas(100)]
    [6.5, 21.7, 65.1]
    """
    whole = n / math.log(max(n, 3))
    return tuple(fraction * whole for fraction in FRACTIONS_OF_N_BETA)


class _OfBatches:
    """The loss over pairs that each chain draws anew at each evaluation."""

    def __init__(self, loss: NetworkLoss, batch_size: int, seed: int) -> None:
        self.loss, self.batch_size = loss, batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, weights: Float[Tensor, "chain d"]) -> Float[Tensor, " chain"]:
        """Loss of each chain on its own batch."""
        shape = (len(weights), self.batch_size)
        drawn = torch.randint(len(self.loss.rows), shape, generator=self.generator)
        return self.loss(weights, self.loss.rows[drawn])


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    numbers = checked(
        name, tuple(values) if isinstance(values, list) else values, tuple[float, ...]
    )
    if not numbers:
        raise ConfigError(f"{name} is empty. Name at least one.")
    return numbers
