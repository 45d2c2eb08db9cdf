"""Figures of an analysis: plotly figures that are returned, never shown.

Most functions take an :class:`~grokinterp.trajectory.Analysis` and draw what is in its tables;
none computes a statistic. :func:`plot_answer_table`, :func:`plot_waves` and
:func:`plot_characters` take a task or numbers, :func:`plot_embedding_circles` and
:func:`plot_pair_logits` a snapshot. Where there are no numbers for a figure, the function raises
:class:`~grokinterp.FitError` with the reason; :func:`all_figures` returns those that there are.
Those of :mod:`~grokinterp.figures.comparison` take a list of analyses and lay them over each
other. :func:`plot_chart` draws the charts of an experiment in the same style, and
:class:`LiveFigure` a training as it goes.
"""

from grokinterp.figures.algorithm import plot_correct_logits
from grokinterp.figures.answer_table import plot_answer_table
from grokinterp.figures.catalogue import FIGURES, all_figures
from grokinterp.figures.charts import plot_chart
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
from grokinterp.figures.circuit_stages import plot_circuit_stages
from grokinterp.figures.circuit_strength import (
    plot_circuit_strength,
    plot_component_ablations,
)
from grokinterp.figures.columns import plot_columns
from grokinterp.figures.comparison import (
    plot_compared,
    plot_compared_accuracies,
    plot_compared_losses,
    plot_grokking_steps,
)
from grokinterp.figures.coset_neurons import plot_coset_neurons
from grokinterp.figures.curves import plot_accuracies, plot_losses, plot_mirrored_accuracies
from grokinterp.figures.embedding import plot_embedding_heatmap, plot_embedding_spectrum
from grokinterp.figures.embedding_circles import plot_embedding_circles
from grokinterp.figures.extraction_curve import plot_extraction_curve
from grokinterp.figures.frequency_life import plot_frequency_life
from grokinterp.figures.key_frequencies import plot_key_frequency_evidence
from grokinterp.figures.league import plot_league
from grokinterp.figures.learning_coefficient import (
    plot_learning_coefficient,
    plot_learning_coefficient_curve,
)
from grokinterp.figures.live import LiveFigure, live_figure as live_figure
from grokinterp.figures.mode_families import plot_mode_families
from grokinterp.figures.neuron_phases import plot_neuron_phases
from grokinterp.figures.pair import plot_characters, plot_pair_logits, plot_waves
from grokinterp.figures.representations import plot_logit_power, plot_representations
from grokinterp.figures.story import plot_story
from grokinterp.figures.style import set_theme
from grokinterp.figures.weights import plot_gini, plot_sum_squared_weights

__all__ = [
    "plot_waves",
    "plot_pair_logits",
    "plot_characters",
    "plot_embedding_circles",
    "plot_columns",
    "plot_circuit_stages",
    "plot_answer_table",
    "FIGURES",
    "LiveFigure",
    "all_figures",
    "plot_ablations",
    "plot_accuracies",
    "plot_chart",
    "plot_circuit_strength",
    "plot_compared",
    "plot_compared_accuracies",
    "plot_compared_losses",
    "plot_component_ablations",
    "plot_correct_logits",
    "plot_coset_neurons",
    "plot_embedding_heatmap",
    "plot_embedding_spectrum",
    "plot_excluded_loss_by_frequency",
    "plot_extraction_curve",
    "plot_frequency_life",
    "plot_further_measures",
    "plot_gini",
    "plot_grokking_steps",
    "plot_key_frequency_evidence",
    "plot_learning_coefficient",
    "plot_learning_coefficient_curve",
    "plot_league",
    "plot_logit_power",
    "plot_logits_explained",
    "plot_losses",
    "plot_mirrored_accuracies",
    "plot_mode_families",
    "plot_neuron_phases",
    "plot_neurons",
    "plot_representations",
    "plot_restricted_and_excluded_loss",
    "plot_story",
    "plot_sum_squared_weights",
    "set_theme",
]


def __dir__() -> list[str]:
    return sorted(__all__)
