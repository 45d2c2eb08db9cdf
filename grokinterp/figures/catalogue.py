"""The figures of an analysis by name, in the order of its report."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.algorithm import plot_correct_logits
from grokinterp.figures.circuit_growth import (
    plot_further_measures,
    plot_logits_explained,
    plot_neurons,
)
from grokinterp.figures.circuit_losses import (
    plot_ablations,
    plot_excluded_loss_by_frequency,
    plot_restricted_and_excluded_loss,
)
from grokinterp.figures.circuit_strength import plot_circuit_strength, plot_component_ablations
from grokinterp.figures.coset_neurons import plot_coset_neurons
from grokinterp.figures.curves import plot_accuracies, plot_losses, plot_mirrored_accuracies
from grokinterp.figures.embedding import plot_embedding_heatmap, plot_embedding_spectrum
from grokinterp.figures.frequency_life import plot_frequency_life
from grokinterp.figures.key_frequencies import plot_key_frequency_evidence
from grokinterp.figures.mode_families import plot_mode_families
from grokinterp.figures.neuron_phases import plot_neuron_phases
from grokinterp.figures.representations import plot_representations
from grokinterp.figures.weights import plot_gini, plot_sum_squared_weights
from grokinterp.trajectory.analysis import Analysis

Plot = Callable[[Analysis], go.Figure]

FIGURES: dict[str, Plot] = {
    "loss": plot_losses,
    "accuracy": plot_accuracies,
    "representations": plot_representations,
    "embedding-spectrum": plot_embedding_spectrum,
    "embedding-heatmap": plot_embedding_heatmap,
    "key-frequencies": plot_key_frequency_evidence,
    "frequency-life": plot_frequency_life,
    "restricted-and-excluded-loss": plot_restricted_and_excluded_loss,
    "excluded-loss-by-frequency": plot_excluded_loss_by_frequency,
    "neurons": plot_neurons,
    "neuron-phases": plot_neuron_phases,
    "coset-neurons": plot_coset_neurons,
    "logits-explained": plot_logits_explained,
    "correct-logits": plot_correct_logits,
    "gini": plot_gini,
    "sum-squared-weights": plot_sum_squared_weights,
    "further-measures": plot_further_measures,
    "mirrored-accuracy": plot_mirrored_accuracies,
    "mode-families": plot_mode_families,
    "circuit-strength": plot_circuit_strength,
    "ablations": plot_ablations,
    "component-ablations": plot_component_ablations,
}
"""Function of every figure that a report may have; the page's ids are ``figure-`` and the name."""


def all_figures(analysis: Analysis) -> dict[str, go.Figure]:
    """Return every figure for which an analysis has numbers, by name.

    Examples
    --------
    >>> list(all_figures(analysis))[:2]
    ['loss', 'accuracy']
    """
    figures = {}
    for name, plot in FIGURES.items():
        try:
            figures[name] = plot(analysis)
        except FitError:
            continue
    return figures
