"""How specialized the neurons are."""

from __future__ import annotations

import math

from grokinterp.bibliography import reference
from grokinterp.circuits.cosets import coset_neurons
from grokinterp.circuits.key_frequencies import KeyFrequencies, neurons_by_frequency
from grokinterp.circuits.neuron_phases import neuron_phases
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure


@measure(
    source=f"{reference('nanda2023progress')}, section 4.1",
    needs=("frequencies", "neurons"),
    misleads=(
        "A neuron counts at any frequency, key or not, read or not; dead neurons lower it. The "
        "circuit does not need a high value: 61 % in `p113`, 90 % in `nanda2023`, 85 % in the "
        "published network, at about the same loss. A neuron (cos w_k a + cos w_k b)² has a fifth "
        "of its variance at 2k and does not count."
    ),
)
def fraction_single_frequency_neurons(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of all neurons with over 85 % of their centered activation in one frequency.

    A dead neuron is not one of them. NaN if an activation is not finite.
    """
    return _fraction_single(snapshot)


@measure(
    source=f"{reference('chughtai2023toy')}, section 5",
    needs=("representations", "neurons"),
    misleads=(
        "The circuit does not need a high value: in the S_5 run of the documentation 117 of 512 "
        "neurons belong to a key representation, and without those representations not one pair "
        "is right."
    ),
)
def fraction_single_representation_neurons(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> float:
    """Fraction of all neurons with over 85 % of their centered activation in one representation.

    A dead neuron is not one of them. NaN if an activation is not finite.
    """
    return _fraction_single(snapshot)


@measure(
    source=f"{reference('gromov2023grokking')}, section 3; the two numbers are this library's",
    columns=("phase_coherence", "fraction_one_wave_neurons"),
    needs=("frequencies", "neurons", "readout"),
    misleads=(
        "The correct answers of the training pairs are waves of a+b, so a network that memorizes "
        "has coherence too: 0.93 in a one-hot perceptron that answers its training pairs and no "
        "others, 0.955 in the preset `perceptron` at step 100. The fraction distinguishes them: "
        "it is 0.00 and 0.07 there, and 0.73 at the end of the preset."
    ),
)
def phase_coherence(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """How well the phases of neurons and readout fit; fraction of neurons with one wave of a+b.

    The mean cosine of the phase errors, weighted by the sizes of the two waves, and the fraction
    of all neurons in which one frequency explains over 85 % of what depends on a+b alone. See
    :class:`~grokinterp.circuits.neuron_phases.NeuronPhases`.
    """
    phases = neuron_phases(snapshot)
    return {
        "phase_coherence": phases.coherence,
        "fraction_one_wave_neurons": phases.fraction_one_wave,
    }


@measure(
    source=f"{reference('stander2024grokking')}; null and rule are this library's",
    needs=("subgroups", "neurons"),
    misleads=(
        "A low value does not say that neurons avoid cosets: those that a random vector of the "
        "same representation reaches do not count. In the published S_5 network of Chughtai et "
        "al. 9 of 128 neurons count, although 126 fit cosets of some subgroup to over 95 %. "
        "In a cyclic group of even order every neuron of an even frequency counts. Up to 5 % of "
        "generic neurons count by luck."
    ),
)
def fraction_coset_neurons(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of all neurons that are functions of cosets of a proper subgroup beyond chance.

    See :func:`~grokinterp.circuits.cosets.coset_neurons`. A dead neuron is not one of them. NaN
    if an activation is not finite.
    """
    if not snapshot.neurons.isfinite().all():
        return math.nan
    return float(coset_neurons(snapshot)["is_coset_neuron"].to_numpy().mean())


def _fraction_single(snapshot: Snapshot) -> float:
    if not snapshot.neuron_frequency_shares.isfinite().all():
        return math.nan
    return float(neurons_by_frequency(snapshot).sum()) / snapshot.neurons.shape[1]
