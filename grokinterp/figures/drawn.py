"""What each figure draws, and so which parts of a network it needs."""

from __future__ import annotations

from collections.abc import Mapping

from grokinterp.models.network_parts import PartName
from grokinterp.trajectory.needed_parts import needed_parts, why_absent

FIELDS_OF_FIGURES: dict[str, tuple[str, ...]] = {
    "loss": ("final.train_loss", "final.test_loss"),
    "accuracy": ("final.train_accuracy", "final.test_accuracy"),
    "representations": (
        "by_representation.logit_power_share",
        "by_representation.embedding_norm",
        "by_representation.excluded_loss_train",
        "by_representation.n_neurons",
    ),
    "embedding-spectrum": ("by_frequency.embedding_norm",),
    "embedding-heatmap": ("by_frequency.embedding_norm",),
    "key-frequencies": (
        "evidence.logit_power_share",
        "evidence.embedding_norm",
        "evidence.n_neurons",
        "evidence.W_L_norm",
    ),
    "frequency-life": (
        "by_frequency.logit_power_share",
        "by_representation.logit_power_share",
    ),
    "restricted-and-excluded-loss": ("final.restricted_loss_all", "final.excluded_loss_all"),
    "excluded-loss-by-frequency": ("by_frequency.excluded_loss_train",),
    "neurons": (
        "by_frequency.n_neurons",
        "by_representation.n_neurons",
        "final.fraction_single_frequency_neurons",
        "final.fraction_single_representation_neurons",
        "final.fraction_one_wave_neurons",
        "final.phase_coherence",
    ),
    "neuron-phases": ("neurons.phase_error",),
    "coset-neurons": ("final.fraction_coset_neurons",),
    "logits-explained": (
        "final.fraction_logit_variance_explained",
        "by_frequency.logit_coefficient",
    ),
    "correct-logits": ("final.distance_irrelevance",),
    "gini": ("final.gini_W_E", "final.gini_W_L"),
    "sum-squared-weights": ("final.sum_squared_weights",),
    "further-measures": (
        "final.effective_rank_W_E",
        "final.gradient_symmetricity",
        "final.distance_irrelevance",
        "final.circularity",
    ),
    "mirrored-accuracy": ("final.test_accuracy_mirrored", "final.test_accuracy_unmirrored"),
    "mode-families": ("two_dimensional_modes.logits", "two_dimensional_modes.neurons"),
    "circuit-strength": (
        "final.trigonometric_logit_train",
        "final.held_out_restricted_accuracy",
        "final.fraction_logit_power_memorization",
    ),
    "ablations": ("ablations.logits",),
    "component-ablations": ("ablations.neurons", "ablations.heads", "ablations.paths"),
}
"""Fields that each figure draws, under the names of ``analysis.reasons``. A figure exists if at
least one of its fields does, and draws those that do."""


def why_never_drawn(name: str, missing: Mapping[PartName, str]) -> str | None:
    """Return why a network without some parts has no such figure; None if it can have it.

    Parameters
    ----------
    name
        A name of the catalogue of figures.
    missing
        Reasons by part, such as ``run.missing_parts``.

    Examples
    --------
    >>> why_never_drawn("gini", {"readout": "it has no readout"}) is None
    True
    >>> why_never_drawn("gini", {"readout": "it has no readout", "operands": "it has no table"})
    'it has no table'
    """
    needed = needed_parts()
    reasons = [why_absent(needed[field], missing) for field in FIELDS_OF_FIGURES[name]]
    return None if None in reasons else reasons[0]
