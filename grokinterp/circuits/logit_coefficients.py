"""How strongly the logits follow each frequency, or each character."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.snapshot import Snapshot


def logit_coefficients(snapshot: Snapshot) -> Float[Tensor, " freq"]:
    r"""Amplitudes :math:`\alpha_k` in logits ~ :math:`\sum_k \alpha_k \cos w_k(a+b-c)`.

    The least-squares fit over all pairs of the view and all classes of the group; the waves
    are orthogonal, so every amplitude is that of its frequency alone. In a group that
    is not cyclic of :math:`\sum_\rho \alpha_\rho \chi_\rho(abc^{-1})`, the trivial representation
    left out, :math:`\chi_\rho` being the trace of the real matrices: of a complex representation
    that is :math:`\chi + \bar\chi` and of a quaternionic one :math:`2\chi`.

    Returns
    -------
    Tensor
        (n//2,) float64, in logits; entry k - 1 belongs to frequency k. Negative where the
        wave is upside down.

    Raises
    ------
    ConfigError
        If the task has no group view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.
    """
    characters = snapshot.harmonics.characters[1:]
    means = snapshot.mean_logits_by_sum[:, snapshot.class_tokens]
    # Entry [q, c] is the answer s = qc, for which a b c^-1 = q.
    by_quotient = means.gather(0, snapshot.products).mean(dim=1)
    return (characters @ by_quotient) / characters.square().sum(dim=1)


def centered_norm(snapshot: Snapshot) -> Float[Tensor, ""]:
    """Norm of the logits of the group's classes, centered per pair, over all pairs of the view."""
    snapshot.require_view()
    return torch.tensor(snapshot.logit_statistics.group_power, dtype=torch.float64).sqrt()
