r"""Phases of the neurons: of the wave of a + b that each holds, and of its output.

A neuron of frequency k reads :math:`\cos(w_k a + \phi_a)` and :math:`\cos(w_k b + \phi_b)`,
:math:`w_k = 2\pi k/n`. Its nonlinearity multiplies them, so its activation has a wave of the sum,
:math:`A \cos(w_k(a + b) + \phi_a + \phi_b)`, and it writes
:math:`B \cos(w_k c + \psi_{out})` to the logits. If :math:`\psi_{out} = \phi_a + \phi_b` in
every neuron, waves of :math:`a + b - c` add up over the neurons and all others cancel: that is
the solution of Gromov (arXiv:2301.02679), whose :math:`\psi` has the other sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE
from grokinterp.circuits.snapshot import Snapshot

_NO_WAVE = 1e-5
"""A wave smaller than this, relative to the largest value of its data, is rounding."""
_TIE = 1e-6
"""Shares whose relative difference is smaller than this are equal up to rounding."""
_NEURONS_AT_A_TIME = 64


def neuron_frequencies(
    snapshot: Snapshot,
) -> tuple[Int[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """Frequency that explains most of each neuron, and the share it explains.

    Returns
    -------
    tuple
        Frequencies, 0 for a dead neuron, and shares in [0, 1]. Of frequencies that explain
        equally much, as in a neuron that is active on a single pair, the lowest.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    shares = snapshot.neuron_frequency_shares
    share = shares.amax(dim=0)
    index = (shares >= (1 - _TIE) * share).int().argmax(dim=0)
    return torch.where(share > 0, index + 1, 0), share


@dataclass(frozen=True, eq=False)
class NeuronPhases:
    """Phases of all neurons at their frequencies, in radians, within (-pi, pi].

    a, b and c are indices of the cyclic view: for subtraction b runs backwards, for
    multiplication they are discrete logarithms. A phase is NaN if there is no wave, as in a dead
    neuron.
    """

    frequency: Int[Tensor, " neuron"]
    """Frequency that explains most of a neuron; 0 for a dead one."""
    phase_sum: Float[Tensor, " neuron"]
    """phi of the activation's component cos(w_k(a + b) + phi): phi_a + phi_b, plus pi if the
    nonlinearity gives the product a negative sign."""
    fraction_sum_explained: Float[Tensor, " neuron"]
    """Share of this frequency in the part of the activation that depends on a + b alone: its
    mean over the pairs of each sum, centered."""
    phase_out: Float[Tensor, " neuron"]
    """psi of the component cos(w_k c + psi) of the neuron's row of W_L."""
    phase_error: Float[Tensor, " neuron"]
    """psi - phi, wrapped; 0 for every neuron of Gromov's solution."""
    weight: Float[Tensor, " neuron"]
    """A B, in logits: twice what the neuron adds to cos w_k(a + b - c) if its error is 0."""

    @property
    def coherence(self) -> float:
        r"""How well the neurons' waves align at the correct answer: the mean cosine of the errors.

        :math:`\sum_m A_m B_m \cos(\psi_m - \phi_m) / \sum_m A_m B_m` over the neurons that have
        both waves. It is the amplitude of :math:`\cos w_k(a+b-c)` that they write at their own
        frequencies, summed over the frequencies, relative to the largest that waves of these
        sizes could write: 1 if every error is 0, within about :math:`1/\sqrt{2N}` of 0 for N
        neurons with random phases, -1 if every error is pi. NaN if no neuron has both waves.
        """
        is_there = self.phase_error.isfinite()
        weight = self.weight[is_there]
        total = float(weight.sum())
        if not total > 0:
            return math.nan
        return float((weight * self.phase_error[is_there].cos()).sum()) / total

    @property
    def fraction_one_wave(self) -> float:
        """Fraction of neurons with one wave of a + b: `fraction_sum_explained` above 0.85.

        The single-frequency criterion asks for
        :data:`~grokinterp.circuits.key_frequencies.SINGLE_FREQUENCY_SHARE` of the whole
        activation. This one also counts neurons that square their input and so have a fifth of
        their variance at 2k.
        """
        return float((self.fraction_sum_explained > SINGLE_FREQUENCY_SHARE).double().mean())


def neuron_phases(snapshot: Snapshot) -> NeuronPhases:
    r"""Find the phase of every neuron's wave of a + b and of its row of W_L.

    Parameters
    ----------
    snapshot
        Of a task with a cyclic view and a network of any kind with neurons and a linear readout.

    Raises
    ------
    ConfigError
        If the task has no cyclic view, or the network has no neurons or no readout.

    References
    ----------
    Gromov, "Grokking modular arithmetic", arXiv:2301.02679; Doshi et al., "To grok or not to
    grok", arXiv:2310.13061. Both read phases off the weights of two layers; phases of the
    activation exist at any depth.

    Examples
    --------
    >>> import grokinterp as gi
    >>> phases = neuron_phases(gi.take_snapshot(gi.load_run("ckpts/")))
    >>> int(phases.frequency[33]), bool(phases.phase_error[33].abs() < 0.5), phases.coherence
    (2, True, 0.9...)
    """
    snapshot.network.require("neurons", "readout")
    frequency, phase_sum, explained, size = sum_phases(snapshot)
    rows = snapshot.W_L[:, snapshot.class_tokens].T
    phase_out, written = _phases_at(rows, frequency, _size(rows))
    error = wrap(phase_out - phase_sum)
    return NeuronPhases(frequency, phase_sum, explained, phase_out, error, size * written)


def sum_phases(
    snapshot: Snapshot,
) -> tuple[
    Int[Tensor, " neuron"],
    Float[Tensor, " neuron"],
    Float[Tensor, " neuron"],
    Float[Tensor, " neuron"],
]:
    """Frequency, phase of the wave of a + b, its share and its amplitude, neuron by neuron."""
    n = snapshot.require_cyclic_view().order
    frequency, _ = neuron_frequencies(snapshot)
    by_sum = snapshot.mean_neurons_by_sum.double()
    phase, size = _phases_at(by_sum, frequency, _size(snapshot.neurons))
    # Of the highest frequency of an even n the mean square of a wave is that of its amplitude.
    power = size.square() / torch.where(2 * frequency == n, 1, 2)
    share = power / by_sum.var(dim=0, correction=0)
    return frequency, phase, torch.where(phase.isnan(), math.nan, share), size


def input_phases(
    snapshot: Snapshot, frequency: Int[Tensor, " neuron"]
) -> tuple[Float[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """Phases of the waves that each neuron receives of a and of b alone.

    Of what a neuron receives, the mean over the other token. A neuron of a perceptron with one
    hidden layer receives the sum of the two and nothing else. NaN where that mean has no wave of
    the neuron's frequency.

    Parameters
    ----------
    snapshot
        Of a task with a cyclic view and a network that has what its neurons receive.
    frequency
        Of each neuron; 0 for none.

    Returns
    -------
    tuple
        phi_a and phi_b in radians within (-pi, pi].
    """
    n = snapshot.require_cyclic_view().order
    found = []
    # What all neurons receive at all pairs would be one more large array.
    for some in torch.arange(len(frequency)).split(_NEURONS_AT_A_TIME):
        received = snapshot.in_view(snapshot.network.pre_activations_of(some)).double()
        scale = _size(received)
        means = (received.unflatten(0, (n, n)).mean(dim=axis) for axis in (1, 0))
        found.append([_phases_at(mean, frequency[some], scale)[0] for mean in means])
    of_a, of_b = (torch.cat(phases) for phases in zip(*found, strict=True))
    return of_a, of_b


def wrap(angles: Tensor) -> Tensor:
    """Bring angles into (-pi, pi].

    Examples
    --------
    >>> [round(angle, 4) for angle in wrap(torch.tensor([6.0, 0.0])).tolist()]
    [-0.2832, 0.0]
    """
    return math.pi - torch.remainder(math.pi - angles, 2 * math.pi)


def _phases_at(
    functions: Float[Tensor, "x neuron"],
    frequency: Int[Tensor, " neuron"],
    scale: Float[Tensor, " neuron"],
) -> tuple[Float[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """Phase and amplitude of the wave A cos(w_k x + phase) in each function.

    NaN and 0 where the wave is rounding beside `scale`, the size of what it is taken from.
    """
    n = len(functions)
    wave = torch.fft.rfft(functions.double(), dim=0).gather(0, frequency[None])[0]
    amplitude = wave.abs() / n * torch.where(2 * frequency == n, 1, 2)
    is_there = (frequency > 0) & (amplitude > _NO_WAVE * scale)
    phase = torch.where(is_there, wrap(wave.angle()), math.nan)
    return phase, torch.where(is_there, amplitude, 0.0)


def _size(values: Float[Tensor, "row neuron"]) -> Float[Tensor, " neuron"]:
    # The largest absolute value, without a copy of all activations.
    return torch.maximum(values.amax(dim=0), -values.amin(dim=0)).double()
