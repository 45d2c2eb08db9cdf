"""How specialized the neurons are."""

from __future__ import annotations

import math

from grokinterp.bibliography import reference
from grokinterp.circuits import neuron_phases
from grokinterp.circuits.key_frequencies import KeyFrequencies, neurons_by_frequency
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure


@measure(
    source=f"{reference('nanda2023progress')}, section 4.1",
    needs=("frequencies", "neurons"),
    misleads=(
        "A neuron counts in whatever frequency it has, key or not, read or not; dead neurons "
        "lower it. The circuit does without: 61 % in `nanda2023` where the published network "
        "has 85 %, at about the same loss. A neuron (cos w_k a + cos w_k b)² has a fifth of its "
        "activation in 2k and never counts."
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
        "The circuit does without: in the S_5 run of the documentation 117 of 512 neurons "
        "belong to a key representation, and without those representations not one pair is "
        "right."
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
    source=f"{reference('gromov2023grokking')}, section 3; the mean is this library's",
    needs=("frequencies", "neurons", "readout"),
    misleads=(
        "What is memorized has it too, since the right answers of the training pairs hold waves "
        "of a+b: 0.995 at step 200 of the preset `perceptron`, at a test accuracy of 0.008. "
        "Random phases of N neurons give 0 within about 1/√(2N)."
    ),
)
def phase_coherence(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Mean cosine of the neurons' phase errors, weighted by the sizes of their two waves.

    A neuron's error is the phase of its row of W_L minus that of its activation's wave of a + b,
    each at the neuron's frequency; see :func:`~grokinterp.circuits.neuron_phases.phase_coherence`.
    """
    return neuron_phases.phase_coherence(snapshot)


def _fraction_single(snapshot: Snapshot) -> float:
    if not snapshot.neuron_frequency_shares.isfinite().all():
        return math.nan
    return float(neurons_by_frequency(snapshot).sum()) / snapshot.neurons.shape[1]
