r"""Level one: logits as waves of a + b - c, or as characters of :math:`abc^{-1}`.

Over the answers c of one pair the waves :math:`\cos w_k(a+b-c)` and :math:`\sin w_k(a+b-c)` are
orthogonal to each other and to every constant. The least-squares fit over any set of pairs is
therefore the mean of the coefficients of its pairs: amplitudes can be fitted on held-out pairs,
and no training pair enters them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.generalization import AccuracyOn
from grokinterp.circuits.neuron_phases import wrap
from grokinterp.extraction.formulas import Formula


@dataclass(frozen=True, eq=False)
class LogitWaves(Formula):
    r"""Logits :math:`\sum_k A_k \cos(w_k(a + b - c) + \phi_k)` of a cyclic group.

    Examples
    --------
    >>> waves = LogitWaves(5, (1,), torch.tensor([2.0 + 0j]))
    >>> [round(x, 3) for x in waves.logits(torch.tensor([4]), torch.tensor([3]))[0].tolist()]
    [-1.618, 0.618, 2.0, 0.618, -1.618]
    """

    order: int
    """n of Z_n."""
    frequencies: tuple[int, ...]
    """k of every wave."""
    coefficients: Tensor
    r"""(wave,) complex128: :math:`A_k e^{i\phi_k}`."""

    of_product_alone = True

    def logits(
        self, a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair element"]:
        """Logits of some pairs."""
        n = self.order
        turn = 2 * math.pi / n
        angles = turn * torch.outer(torch.tensor(self.frequencies), torch.arange(n)).double()
        phases = self.coefficients.angle()[:, None]
        by_difference = self.coefficients.abs() @ torch.cos(angles + phases)
        return by_difference[((a + b)[:, None] - torch.arange(n)) % n]

    @property
    def table(self) -> pd.DataFrame:
        """``frequency``, ``amplitude`` in logits, ``phase`` in radians within (-pi, pi]."""
        return pd.DataFrame(
            {
                "frequency": self.frequencies,
                "amplitude": self.coefficients.abs().numpy(),
                "phase": wrap(self.coefficients.angle()).numpy(),
            }
        )

    @property
    def n_parameters(self) -> int:
        """Three for each wave."""
        return 3 * len(self.frequencies)

    @property
    def in_words(self) -> str:
        """``5 waves of a + b - c``."""
        n = len(self.frequencies)
        return f"{n} wave{'s' * (n != 1)} of a + b - c"

    def with_shuffled_phases(self, generator: torch.Generator) -> LogitWaves:
        """Waves with phases drawn at random: those of a solution are all near 0, in any order."""
        turns = torch.rand(len(self.frequencies), generator=generator, dtype=torch.float64)
        drawn = torch.polar(self.coefficients.abs(), 2 * math.pi * turns)
        return LogitWaves(self.order, self.frequencies, drawn)


@dataclass(frozen=True, eq=False)
class LogitCharacters(Formula):
    r"""Logits :math:`\sum_\rho A_\rho \chi_\rho(abc^{-1})` of a group that is not cyclic.

    A character has no phase: it is largest at the identity.
    """

    names: tuple[str, ...]
    """Name of every representation."""
    dimensions: tuple[int, ...]
    """Dimension of every representation, over the reals."""
    coefficients: Float[Tensor, " representation"]
    """A, in logits."""
    characters: Float[Tensor, "representation element"]
    """Trace of every representation at every element."""
    products: Int[Tensor, "element element"]
    """Table of the group."""

    of_product_alone = True

    def logits(
        self, a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair element"]:
        """Logits of some pairs."""
        n = len(self.products)
        by_quotient = self.coefficients @ self.characters
        quotients = torch.empty_like(self.products)
        # Entry [s, c] is the q with s = qc.
        elements = torch.arange(n)
        quotients[self.products, elements.expand(n, n)] = elements[:, None].expand(n, n)
        return by_quotient[quotients[self.products[a, b]]]

    @property
    def table(self) -> pd.DataFrame:
        """``representation``, its ``dimension``, and ``amplitude`` in logits, with its sign."""
        return pd.DataFrame(
            {
                "representation": self.names,
                "dimension": self.dimensions,
                "amplitude": self.coefficients.numpy(),
            }
        )

    @property
    def n_parameters(self) -> int:
        """Two for each representation: which it is, and its amplitude."""
        return 2 * len(self.names)

    @property
    def in_words(self) -> str:
        """``2 characters of a b c^-1``."""
        n = len(self.names)
        return f"{n} character{'s' * (n != 1)} of a b c^-1"

    def with_shuffled_phases(self, generator: torch.Generator) -> None:
        """A character has no phase to shuffle."""
        return None


def fit_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Formula:
    """Fit waves, or characters, to the logits of the pairs that :func:`fitted_on` names.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    frequencies = key_frequencies.frequencies
    by_quotient = _mean_by_quotient(snapshot)
    if snapshot.harmonics.names is None:
        return LogitWaves(len(by_quotient), frequencies, waves_of(by_quotient, frequencies))
    chosen = list(frequencies)
    characters = snapshot.harmonics.characters[chosen]
    amplitudes = (characters @ by_quotient) / characters.square().sum(dim=1)
    return LogitCharacters(
        tuple(snapshot.harmonics.names[k] for k in chosen),
        tuple(int(snapshot.harmonics.dimensions[k]) for k in chosen),
        amplitudes,
        characters,
        snapshot.products,
    )


def fitted_on(snapshot: Snapshot) -> AccuracyOn:
    """Pairs that waves are fitted on.

    Those that the network cannot have memorized: test pairs whose mirror image is not trained
    (``unmirrored_test``), or all test pairs (``test``) if some answer would have none or the
    operation does not commute. ``all`` where no test pairs are known.
    """
    chosen = snapshot.new_pairs_by_sum
    if not chosen.any():
        return "all"
    is_mirrored = torch.from_numpy(snapshot.split.is_mirrored)[snapshot.rows_by_sum]
    is_new = snapshot.task.operation.is_commutative and not (chosen & is_mirrored).any()
    return "unmirrored_test" if is_new else "test"


def waves_of(function: Float[Tensor, "x ..."], frequencies: Iterable[int]) -> Tensor:
    r"""Coefficients :math:`A e^{i\phi}` of the waves :math:`A \cos(w_k x + \phi)` in a function.

    Returns
    -------
    Tensor
        (frequency, ...) complex128.

    Examples
    --------
    >>> x = 2 * torch.pi * torch.arange(8).double() / 8
    >>> found = waves_of(3 * torch.cos(2 * x + 0.5), [2])
    >>> round(float(found.abs()), 6), round(float(found.angle()), 6)
    (3.0, 0.5)
    """
    n = len(function)
    chosen = list(frequencies)
    if not function.numel():  # which MKL cannot transform
        return torch.zeros(len(chosen), *function.shape[1:], dtype=torch.complex128)
    transformed = torch.fft.rfft(function.double(), dim=0)[chosen]
    # The highest frequency of an even n stands in the transform once and not twice.
    factors = torch.tensor([1 if 2 * k == n else 2 for k in chosen], dtype=torch.float64) / n
    return transformed * factors.view(-1, *[1] * (function.ndim - 1))


def _mean_by_quotient(snapshot: Snapshot) -> Float[Tensor, " q"]:
    """Logits averaged over the pairs to fit on, as a function of :math:`q = abc^{-1}`."""
    snapshot.require_view()
    if fitted_on(snapshot) == "all":
        means = snapshot.mean_logits_by_sum
        n_pairs = torch.ones(len(means), dtype=torch.float64)
    else:
        n_pairs = snapshot.new_pairs_by_sum.sum(dim=1).double()
        means = snapshot.logit_statistics.chosen_means.nan_to_num(nan=0.0)
    means = means[:, snapshot.class_tokens] * n_pairs[:, None] / n_pairs.sum()
    # Entry [q, c] is the answer s = qc, for which a b c^-1 = q.
    return means.gather(0, snapshot.products).sum(dim=1)
