"""One checkpoint: what it computes on all pairs, its two circuits, and life without them."""

from grokinterp.circuits.ablations import Ablation, ablate, ablate_with_hooks, ablation_table
from grokinterp.circuits.algorithm import Algorithm, find_algorithm
from grokinterp.circuits.cosets import coset_neurons
from grokinterp.circuits.evidence import circuit_table
from grokinterp.circuits.key_frequencies import KeyFrequencies, find_key_frequencies
from grokinterp.circuits.memorization import excluded_loss
from grokinterp.circuits.mode_families import ModeFamilies, mode_families
from grokinterp.circuits.neuron_polynomials import neuron_table
from grokinterp.circuits.snapshot import Snapshot, take_snapshot
from grokinterp.circuits.task_pairs import has_frequencies, has_spectrum
from grokinterp.circuits.trigonometric import restricted_loss

__all__ = [
    "Ablation",
    "Algorithm",
    "KeyFrequencies",
    "ModeFamilies",
    "Snapshot",
    "ablate",
    "ablate_with_hooks",
    "ablation_table",
    "circuit_table",
    "coset_neurons",
    "excluded_loss",
    "find_algorithm",
    "find_key_frequencies",
    "has_frequencies",
    "has_spectrum",
    "mode_families",
    "neuron_table",
    "restricted_loss",
    "take_snapshot",
]
