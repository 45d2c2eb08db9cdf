"""What competes beside the library's measures: plain statistics that anyone would try first."""

from __future__ import annotations

import math

import torch

from grokinterp.bibliography import reference
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures import Measure, measure
from grokinterp.spectra import component_norms


@measure(source="the usual statistic", needs=("split",))
def median_log_probability(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Median over the test pairs of the log-probability of the right answer, in nats.

    The mean is minus the test loss, which a few confident wrong answers dominate.
    """
    losses = snapshot.losses[snapshot.pair_mask("test")]
    return -float(losses.median()) if len(losses) else math.nan


@measure(source="the usual statistic", needs=("split",))
def mean_probability(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Mean over the test pairs of the probability of the right answer."""
    losses = snapshot.losses[snapshot.pair_mask("test")]
    return float((-losses).exp().mean()) if len(losses) else math.nan


@measure(source=reference("nanda2023progress"), needs=("frequencies", "operands"))
def spectral_entropy_W_E(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Entropy in nats of how the embedding's power is spread over its Fourier components.

    The constant is left out. NaN for an embedding of zeros.
    """
    return _entropy(component_norms(snapshot.operand_rows)[1:].square())


@measure(source=reference("nanda2023progress"), needs=("group",))
def spectral_entropy_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Entropy in nats of how the power of the logits, averaged by a∘b, is spread.

    Over frequencies, or representations; the constant is left out.
    """
    return _entropy(snapshot.harmonics.power(snapshot.mean_logits_by_sum))


def _entropy(power: torch.Tensor) -> float:
    total = power.sum()
    if not total > 0:
        return math.nan
    return float(torch.special.entr(power / total).sum())


BASELINES: tuple[Measure, ...] = (
    median_log_probability,
    mean_probability,
    spectral_entropy_W_E,
    spectral_entropy_logits,
)
"""Measures of the league that are no columns of an analysis."""
