"""The learning coefficient of any loss of a vector of weights, over a grid of settings, pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.fields import check_types
from grokinterp.learning_coefficient.coefficient import LearningCoefficient
from grokinterp.learning_coefficient.diagnostics import (
    effective_sample_size,
    r_hat,
    standard_error,
)
from grokinterp.learning_coefficient.plateau import find_plateau, why_no_plateau
from grokinterp.learning_coefficient.sgld import Chains, LossOfChains, Sgld, sample_chains


@dataclass(frozen=True)
class Acceptable:
    """What an estimate must meet to count."""

    largest_r_hat: int | float = 1.1
    """R-hat above which the chains have not mixed."""
    tolerance: int | float = 0.1
    """Largest difference between estimates of a plateau, as a fraction of the largest."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.largest_r_hat <= 1:
            raise ConfigError(
                f"largest_r_hat={self.largest_r_hat} is not above 1, the value of chains that "
                "agree. Use 1.1, or 1.01 to be strict."
            )
        if not 0 < self.tolerance < 1:
            raise ConfigError(
                f"tolerance={self.tolerance} is outside (0, 1). It is a fraction: use 0.1."
            )


def estimate_coefficient(
    loss: LossOfChains,
    center: Float[Tensor, " d"],
    grid: Sequence[Sgld],
    *,
    acceptable: Acceptable | None = None,
    loss_at_center: float | None = None,
    is_deterministic: bool = True,
    about: Mapping[str, str] | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
) -> LearningCoefficient:
    """Sample with every setting, and take the estimate of the plateau.

    Parameters
    ----------
    loss
        Loss of each row of weights.
    center
        The weights w* whose coefficient is asked for.
    grid
        Settings to sample with: a full grid of n beta by step size.
    acceptable
        What counts as mixed and as a plateau.
    loss_at_center
        L(w*), for losses that are drawn; None: what `loss` gives there.
    is_deterministic
        Whether the loss is a function of the weights alone.
    about
        What the loss is of, in words by label.
    progress
        Wraps the settings to show progress, such as ``tqdm``.

    Examples
    --------
    >>> from grokinterp.learning_coefficient.singular_models import quadratic
    >>> model = quadratic((1.0, 2.0))
    >>> grid = [Sgld(e, 50.0, n_draws=4000) for e in (1e-3, 3e-3)]
    >>> found = estimate_coefficient(model.loss, model.center, grid)
    >>> abs(found.value - model.expectation(50.0, 1.0)) < 0.15
    True
    """
    acceptable = acceptable or Acceptable()
    if loss_at_center is None:
        with torch.no_grad():
            loss_at_center = float(loss(center[None])[0])
    sampled: list[Chains] = []
    rows = []
    for settings in grid if progress is None else progress(grid):
        chains = sample_chains(loss, center, settings, is_deterministic=is_deterministic)
        sampled.append(chains)
        rows.append(_row(chains, settings, loss_at_center, acceptable))
    table = pd.DataFrame(rows)
    plateau = find_plateau(table, acceptable.tolerance)
    table["on_plateau"] = table.index.isin(plateau)
    chosen = plateau[0] if plateau else _most_telling(table)
    row, chains, settings = table.loc[chosen], sampled[chosen], grid[chosen]
    above = chains.losses - loss_at_center
    return LearningCoefficient(
        value=float(row.estimate) if plateau else None,
        reason=None if plateau else why_no_plateau(table, acceptable.tolerance),
        estimate=float(row.estimate),
        standard_error=float(row.standard_error),
        r_hat=float(row.r_hat),
        effective_sample_size=float(row.effective_sample_size),
        per_chain=tuple((settings.n_beta * above.mean(dim=1)).tolist()),
        traces=chains.losses,
        loss=loss_at_center,
        settings=settings,
        plateau=table,
        n_parameters=len(center),
        about=dict(about or {}),
    )


def grid_of(
    n_betas: Sequence[int | float], step_sizes: Sequence[int | float], settings: Sgld
) -> list[Sgld]:
    """Return the settings for every n beta and step size, in ascending order."""
    return [
        replace(settings, n_beta=n_beta, step_size=step_size)
        for n_beta in sorted(set(n_betas))
        for step_size in sorted(set(step_sizes))
    ]


def _row(
    chains: Chains, settings: Sgld, loss_at_center: float, acceptable: Acceptable
) -> dict[str, float | str]:
    losses = chains.losses.numpy()
    row = {
        "n_beta": settings.n_beta,
        "step_size": settings.step_size,
        "estimate": settings.n_beta * (float(losses.mean()) - loss_at_center),
        "standard_error": settings.n_beta * _error(losses),
        "r_hat": r_hat(losses),
        "effective_sample_size": effective_sample_size(losses),
        "acceptance": chains.acceptance,
        "distance": chains.distance,
    }
    return {**row, "problem": _problem(row["estimate"], row["r_hat"], acceptable)}


def _error(losses: np.ndarray) -> float:
    return standard_error(losses) if np.isfinite(losses).all() else math.nan


def _problem(estimate: float, r_hat_of_losses: float, acceptable: Acceptable) -> str:
    """Why an estimate does not count; empty if it does."""
    if not math.isfinite(estimate):
        return "a chain diverged, so the step size is too large"
    if not r_hat_of_losses <= acceptable.largest_r_hat:
        return f"the chains have not mixed: R-hat is above {acceptable.largest_r_hat:g}"
    if estimate <= 0:
        return "the estimate is not positive: the weights are not at a minimum of this loss"
    return ""


def _most_telling(table: pd.DataFrame) -> int:
    """Row that is shown where no plateau was found: the best mixed one that did not diverge."""
    r_hats = np.nan_to_num(table["r_hat"].to_numpy(dtype=float), nan=math.inf)
    is_usable = np.asarray(table["problem"] == "")
    return int(np.lexsort((r_hats, ~is_usable))[0])
