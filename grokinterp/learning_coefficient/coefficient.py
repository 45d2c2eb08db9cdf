"""What an estimate of the local learning coefficient returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from grokinterp.learning_coefficient.sgld import Sgld
from grokinterp.reprs import card_repr, in_lines


@dataclass(frozen=True, eq=False)
class LearningCoefficient:
    r"""Local learning coefficient :math:`\hat\lambda = n\beta\,(E[L(w)] - L(w^*))`, or why not.

    Examples
    --------
    >>> found = gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[1e-3])
    >>> found.value is None, len(found.per_chain), found.traces.shape
    (False, 4, torch.Size([4, 500]))
    """

    value: float | None
    """The estimate, without a unit; None where there is none, for the reason that is given."""
    reason: str | None
    """Why there is no value; None where there is one."""
    estimate: float
    """The number of the chosen settings, believable or not. NaN if a chain diverged."""
    standard_error: float
    """Monte Carlo standard error of the estimate: what more draws would move, no more."""
    r_hat: float
    """Rank-normalized split R-hat of the losses; 1 where the chains agree."""
    effective_sample_size: float
    """Independent draws that would give the mean loss as precisely."""
    per_chain: tuple[float, ...]
    """The estimate of each chain alone."""
    traces: Float[Tensor, "chain draw"] = field(repr=False)
    """Loss of every kept step, in nats."""
    loss: float
    """Loss at the weights themselves, in nats."""
    settings: Sgld
    """Step size, n beta, localization, chains and draws of the estimate."""
    plateau: pd.DataFrame = field(repr=False)
    """A row per step size and n beta that was tried: ``n_beta``, ``step_size``, ``estimate``,
    ``standard_error``, ``r_hat``, ``effective_sample_size``, ``acceptance`` (mean probability
    that a Metropolis test would have accepted a step), ``distance`` from the weights at the last
    step, ``problem`` (empty if usable) and ``on_plateau``."""
    n_parameters: int
    """Weights that move, d."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the loss is of, in words by label."""

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr

    @property
    def title(self) -> str:
        """``LearningCoefficient 23.4 ± 0.5``, or that there is none."""
        if self.value is None:
            return "LearningCoefficient: none"
        return f"LearningCoefficient {self.value:.4g} ± {self.standard_error:.2g}"

    def in_rows(self) -> dict[str, str | None]:
        """What was found, in words by label."""
        used = self.settings
        return {
            "because": self.reason,
            **self.about,
            "loss": f"{self.loss:.3g} nats at the weights themselves",
            "n beta": f"{used.n_beta:.4g}, localization {used.localization:.3g}",
            "step size": f"{used.step_size:.3g}",
            "chains": f"{used.n_chains} of {used.n_draws:,} draws after {used.n_burn_in:,}, "
            f"R-hat {self.r_hat:.3f}, {self.effective_sample_size:,.0f} effective draws",
            "chain by chain": ", ".join(f"{value:.3g}" for value in self.per_chain),
            "half the weights": f"{self.n_parameters / 2:,g}, the value of a regular model",
            "tried": f"{len(self.plateau)} settings, {int(self.plateau.on_plateau.sum())} of them "
            "on the plateau",
        }
