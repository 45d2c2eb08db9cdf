"""One spectrum in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.spectra.key_rule import shares
from grokinterp.spectra.sparsity import gini


@dataclass(frozen=True)
class SpectrumSummary:
    """Where a spectrum has its power and how concentrated it is."""

    strongest: tuple[int, ...]
    """Frequencies by falling power, the strongest first."""
    shares: tuple[float, ...]
    """Fraction of the power that each of them holds, in the same order."""
    n_effective: float
    """Exponential of the entropy of all shares: how many equally strong frequencies."""
    gini: float
    """Gini coefficient of the power by frequency."""


def summarize_spectrum(power: Float[Tensor, " freq"], n_strongest: int = 6) -> SpectrumSummary:
    """Summarize the power by frequency.

    Parameters
    ----------
    power
        Entry k - 1 belongs to frequency k, the constant is not in it.
    n_strongest
        How many frequencies to name.

    Returns
    -------
    SpectrumSummary
        With NaN for shares, `n_effective` and `gini` when there is no power at all.

    Examples
    --------
    >>> summary = summarize_spectrum(torch.tensor([1.0, 0.0, 3.0]), n_strongest=2)
    >>> summary.strongest, summary.shares
    ((3, 1), (0.75, 0.25))
    """
    fractions = shares(power.double())
    order = power.argsort(descending=True, stable=True)[:n_strongest]
    entropy = float(torch.special.entr(fractions).sum())
    return SpectrumSummary(
        strongest=tuple(int(k) + 1 for k in order),
        shares=tuple(float(share) for share in fractions[order]),
        n_effective=math.exp(entropy),
        gini=gini(power),
    )
