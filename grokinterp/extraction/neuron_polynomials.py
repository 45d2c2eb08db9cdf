r"""Level two for other networks with neurons: a trigonometric polynomial for every neuron.

A neuron of frequency k is replaced by a combination of :math:`\cos w_k a, \sin w_k a, \cos w_k b,
\sin w_k b` and their four products, and its row of the readout by :math:`\cos(w_k c + \psi)`. The
size of the row goes into the combination, since only their product matters. What the attention
does is in the combination too. Where the network treats a and b alike, five numbers take the place
of eight.

Constants are left out: times a wave of c they favor some answers over others whatever the pair is,
and in a network that is right everywhere something else cancels that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.neuron_phases import neuron_frequencies, wrap
from grokinterp.errors import ConfigError
from grokinterp.extraction.formulas import Formula
from grokinterp.extraction.logit_waves import fitted_on, waves_of

TERMS = (
    "cos_a",
    "sin_a",
    "cos_b",
    "sin_b",
    "cos_a_cos_b",
    "cos_a_sin_b",
    "sin_a_cos_b",
    "sin_a_sin_b",
)
"""Terms of a polynomial, in the order of the columns of :func:`_terms`."""
_MIRRORED = (2, 3, 0, 1, 4, 6, 5, 7)
"""Where each term goes when a and b change places."""
ALIKE = ("cos", "sin", "cos_cos", "cos_sin", "sin_sin")
"""Terms of a polynomial that a and b may change places in: cos_a + cos_b, sin_a + sin_b,
cos_a cos_b, cos_a sin_b + sin_a cos_b, sin_a sin_b."""
_ALIKE_OF_TERM = (0, 1, 0, 1, 2, 3, 3, 4)
MOST_ANTISYMMETRIC = 0.01
"""Share of the polynomials' power that changes its sign when a and b change places, above which
the two are not treated alike."""


@dataclass(frozen=True, eq=False)
class NeuronPolynomials(Formula):
    """Logits of neurons that are polynomials of one frequency and write one wave each."""

    order: int
    """n of Z_n."""
    neurons: Int[Tensor, " kept"]
    """Numbers of the neurons that the formula has."""
    frequencies: Int[Tensor, " kept"]
    """Frequency of each."""
    coefficients: Float[Tensor, "8 kept"]
    """Of the terms :data:`TERMS`, in logits."""
    phases: Float[Tensor, " kept"]
    """psi of what each writes, cos(w_k c + psi)."""
    is_symmetric: bool
    """Whether a and b are treated alike in every neuron."""

    def logits(
        self, a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair element"]:
        """Logits of some pairs: sums over neurons first, since neurons of a frequency add up."""
        logits = torch.zeros(len(a), self.order, dtype=torch.float64)
        for k in self.frequencies.unique().tolist():
            of_k = self.frequencies == k
            turn = torch.stack([self.phases[of_k].cos(), -self.phases[of_k].sin()], dim=1)
            waves = _waves(self.order, k)
            logits.addmm_(_terms(waves, a, b) @ (self.coefficients[:, of_k] @ turn), waves)
        return logits

    @property
    def table(self) -> pd.DataFrame:
        """A row per neuron: its frequency, a column for each term, and ``phase_out``."""
        columns = {"neuron": self.neurons.numpy(), "frequency": self.frequencies.numpy()}
        names, rows = (ALIKE, (0, 1, 4, 5, 7)) if self.is_symmetric else (TERMS, range(8))
        columns |= {
            name: self.coefficients[row].numpy() for name, row in zip(names, rows, strict=True)
        }
        return pd.DataFrame(columns | {"phase_out": wrap(self.phases).numpy()})

    @property
    def n_parameters(self) -> int:
        """For each neuron its frequency, its phase, and five or eight coefficients."""
        return (2 + (len(ALIKE) if self.is_symmetric else len(TERMS))) * len(self.neurons)

    @property
    def in_words(self) -> str:
        """``512 neurons as polynomials of one frequency each``."""
        n = len(self.neurons)
        alike = ", a and b alike" if self.is_symmetric else ""
        return f"{n:,} neuron{'s' * (n != 1)} as polynomials of one frequency each{alike}"

    def with_shuffled_phases(self, generator: torch.Generator) -> NeuronPolynomials:
        """The same neurons with the phases that they write dealt out anew among them."""
        order = torch.randperm(len(self.neurons), generator=generator)
        return replace(self, phases=self.phases[order])


def fit_neuron_polynomials(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> NeuronPolynomials:
    """Fit every neuron of a key frequency on the pairs that :func:`fitted_on` names.

    Raises
    ------
    ConfigError
        If the task has no cyclic view, the network has no neurons or no linear readout, or there
        is a norm between the two.
    """
    n = snapshot.require_cyclic_view().order
    snapshot.network.require("neurons", "readout")
    if snapshot.network.readout.scale is not None:
        raise ConfigError(
            "there is a norm between the neurons and the logits, so the logits are no sum over "
            "neurons. Use level=1."
        )
    frequencies, _ = neuron_frequencies(snapshot)
    is_kept = torch.isin(frequencies, torch.tensor(key_frequencies.frequencies))
    kept = is_kept.nonzero().flatten()
    of_kept = frequencies[kept]
    written = waves_of(snapshot.W_L[kept][:, snapshot.class_tokens].T, range(n // 2 + 1))
    written = written[of_kept, torch.arange(len(kept))]
    fitted = _fitted(snapshot, kept, of_kept, is_alike=False) * written.abs()
    is_symmetric = _antisymmetric_share(fitted) <= MOST_ANTISYMMETRIC
    if is_symmetric:
        fitted = _fitted(snapshot, kept, of_kept, is_alike=True) * written.abs()
    return NeuronPolynomials(n, kept, of_kept, fitted, written.angle(), is_symmetric)


def _fitted(
    snapshot: Snapshot, kept: Int[Tensor, " kept"], of_kept: Int[Tensor, " kept"], *, is_alike: bool
) -> Float[Tensor, "8 kept"]:
    """Least squares over the pairs to fit on, with a constant that is then left out."""
    n = snapshot.require_cyclic_view().order
    chosen = _rows_to_fit_on(snapshot)
    rows = torch.arange(n * n)[chosen]
    activations = snapshot.pair_rows[chosen]
    found = torch.zeros(len(TERMS), len(kept), dtype=torch.float64)
    for k in of_kept.unique().tolist():
        of_k = (of_kept == k).nonzero().flatten()
        terms = _terms(_waves(n, k), rows // n, rows % n)
        if is_alike:
            alike = torch.tensor(_ALIKE_OF_TERM)
            terms = terms.new_zeros(len(terms), len(ALIKE)).index_add_(1, alike, terms)
        # Centered, so that the constant needs no column of its own.
        terms = terms - terms.mean(dim=0)
        values = snapshot.neurons[activations][:, kept[of_k]].double()
        # The sines of the highest frequency of an even n vanish.
        inverse = torch.linalg.pinv(terms.T @ terms, hermitian=True)
        solution = inverse @ (terms.T @ values)
        found[:, of_k] = solution[alike] if is_alike else solution
    return found


def _rows_to_fit_on(snapshot: Snapshot) -> Bool[Tensor, " view_pair"]:
    chosen = torch.ones(len(snapshot.pair_rows), dtype=torch.bool)
    if fitted_on(snapshot) != "all":
        # By product and first element; in the order of the view, by both elements.
        first = torch.arange(len(snapshot.products))[:, None].expand_as(snapshot.products)
        by_sum = snapshot.new_pairs_by_sum
        chosen = by_sum[snapshot.products, first].flatten()
    return chosen


def _waves(n: int, frequency: int) -> Float[Tensor, "2 x"]:
    angles = (2 * math.pi / n) * (frequency * torch.arange(n) % n).double()
    sine = angles.sin() if 2 * frequency != n else torch.zeros(n, dtype=torch.float64)
    return torch.stack([angles.cos(), sine])


def _terms(
    waves: Float[Tensor, "2 x"], a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
) -> Float[Tensor, "pair 8"]:
    of_a, of_b = waves[:, a], waves[:, b]
    products = (of_a[:, None] * of_b[None]).flatten(0, 1)
    return torch.cat([of_a, of_b, products]).T


def _antisymmetric_share(coefficients: Float[Tensor, "8 kept"]) -> float:
    """Share of the polynomials' power that changes its sign when a and b change places."""
    # A wave has half of a square, a product of two a quarter.
    power = torch.tensor([0.5] * 4 + [0.25] * 4, dtype=torch.float64)
    odd = (coefficients - coefficients[list(_MIRRORED)]) / 2
    total = float((power @ coefficients.square()).sum())
    return float((power @ odd.square()).sum()) / total if total > 0 else 0.0
