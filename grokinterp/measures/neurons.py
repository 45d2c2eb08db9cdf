"""How specialized the neurons are."""

from __future__ import annotations

import math

from grokinterp.bibliography import reference
from grokinterp.circuits.key_frequencies import KeyFrequencies, neurons_by_frequency
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure


@measure(
    source=f"{reference('nanda2023progress')}, section 4.1",
    needs=("frequencies", "neurons"),
    misleads=(
        "A neuron counts in whatever frequency it has, key or not, read or not; dead neurons "
        "lower it. The circuit does without: 61 % in `nanda2023` where the published network "
        "has 85 %, at about the same loss."
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


def _fraction_single(snapshot: Snapshot) -> float:
    if not snapshot.neuron_frequency_shares.isfinite().all():
        return math.nan
    return float(neurons_by_frequency(snapshot).sum()) / snapshot.neurons.shape[1]
