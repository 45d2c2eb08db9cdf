r"""Level two for perceptrons with one hidden layer: three waves for every neuron.

A neuron of such a network receives a function of a plus one of b. Both, and its row of the
readout, are replaced by their waves of one frequency:

.. math::
    \mathrm{logits}(c) = \sum_i \sigma\big(A_i \cos(w_{k_i} a + \phi^a_i)
        + B_i \cos(w_{k_i} b + \phi^b_i)\big)\; C_i \cos(w_{k_i} c + \psi_i)

with the network's own activation :math:`\sigma`. Constants and biases are left out, so seven
numbers rebuild a neuron: its frequency, three amplitudes and three phases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.neuron_phases import wrap
from grokinterp.extraction.formulas import Formula
from grokinterp.extraction.logit_waves import waves_of
from grokinterp.models.mlp import activate
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.spectra import n_frequencies


@dataclass(frozen=True, eq=False)
class NeuronWaves(Formula):
    """Logits of a perceptron whose neurons read and write one wave each."""

    order: int
    """n of Z_n."""
    neurons: Int[Tensor, " kept"]
    """Numbers of the neurons that the formula has."""
    frequencies: Int[Tensor, " kept"]
    """Frequency of each."""
    of_a: Tensor
    """(kept,) complex128: amplitude and phase of what it receives of a."""
    of_b: Tensor
    """(kept,) complex128: amplitude and phase of what it receives of b."""
    written: Tensor
    """(kept,) complex128: amplitude and phase of what it writes, in logits."""
    activation: Callable[[Tensor], Tensor]
    """The network's own."""

    def logits(
        self, a: Int[Tensor, " pair"], b: Int[Tensor, " pair"]
    ) -> Float[Tensor, "pair element"]:
        """Logits of some pairs."""
        received = self._functions(self.of_a)[a].add_(self._functions(self.of_b)[b])
        return self.activation(received) @ self._functions(self.written).T

    def _functions(self, waves: Tensor) -> Float[Tensor, "x kept"]:
        x = torch.arange(self.order)[:, None]
        angles = (2 * math.pi / self.order) * (x * self.frequencies % self.order).double()
        return torch.cos(angles + waves.angle()).mul_(waves.abs())

    @property
    def table(self) -> pd.DataFrame:
        """A row per neuron: ``frequency``, and ``amplitude_`` and ``phase_`` of a, b and out."""
        columns = {"neuron": self.neurons.numpy(), "frequency": self.frequencies.numpy()}
        for name, waves in (("a", self.of_a), ("b", self.of_b), ("out", self.written)):
            columns[f"amplitude_{name}"] = waves.abs().numpy()
            columns[f"phase_{name}"] = wrap(waves.angle()).numpy()
        return pd.DataFrame(columns)

    @property
    def n_parameters(self) -> int:
        """Seven for each neuron."""
        return 7 * len(self.neurons)

    @property
    def in_words(self) -> str:
        """``256 neurons of 3 waves each``."""
        n = len(self.neurons)
        return f"{n:,} neuron{'s' * (n != 1)} of 3 waves each"

    def with_shuffled_phases(self, generator: torch.Generator) -> NeuronWaves:
        """The same neurons with the phases that they write dealt out anew among them."""
        order = torch.randperm(len(self.neurons), generator=generator)
        return replace(self, written=torch.polar(self.written.abs(), self.written.angle()[order]))


def fit_neuron_waves(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> NeuronWaves:
    """Read the waves of every neuron off the weights of a perceptron with one hidden layer.

    A neuron's frequency is the one at which the powers of what it receives of a, of what it
    receives of b and of what it writes have the largest product. Neurons without such a wave,
    and those whose frequency is not key, are left out.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.
    """
    n = snapshot.require_cyclic_view().order
    network = snapshot.network
    assert isinstance(network, MlpParts)
    rows = snapshot.pair_rows.view(n, n)
    # The sum of a function of a and of one of b: along one row, and along one column.
    received = (network.pre_activations[rows[:, 0]], network.pre_activations[rows[0]])
    functions = [*received, snapshot.W_L[:, snapshot.class_tokens].T]
    every = list(range(1, n_frequencies(n) + 1))
    waves = [waves_of(function.double(), every) for function in functions]
    product = torch.stack([wave.abs() for wave in waves]).prod(dim=0)
    size, index = product.max(dim=0)
    frequency = torch.where(size > 0, index + 1, 0)
    is_kept = torch.isin(frequency, torch.tensor(key_frequencies.frequencies))
    kept = is_kept.nonzero().flatten()
    chosen = [wave[frequency[kept] - 1, kept] for wave in waves]
    return NeuronWaves(
        n, kept, frequency[kept], *chosen, activation=lambda pre: activate(pre, network.spec)
    )
