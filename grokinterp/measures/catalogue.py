"""The standard measures, in the order of the columns of measures.csv.

A new measure is one function in this folder and one line here.
"""

from __future__ import annotations

from grokinterp.measures.circuits import (
    excluded_accuracy_train,
    excluded_loss,
    fraction_logit_variance_explained,
    restricted_loss,
)
from grokinterp.measures.losses import (
    accuracy_all,
    loss_all,
    test_accuracy,
    test_accuracy_by_mirror,
    test_loss,
    train_accuracy,
    train_loss,
)
from grokinterp.measures.measure import Measure
from grokinterp.measures.neurons import (
    fraction_coset_neurons,
    fraction_single_frequency_neurons,
    fraction_single_representation_neurons,
    phase_coherence,
)
from grokinterp.measures.strength import (
    circuit_logits,
    fraction_logit_power_memorization,
    held_out_restricted,
)
from grokinterp.measures.symmetry import (
    circularity,
    distance_irrelevance,
    fraction_logit_variance_explained_pizza,
    gradient_symmetricity,
)
from grokinterp.measures.weights import (
    effective_rank_W_E,
    gini_W_E,
    gini_W_L,
    sum_squared_weights,
    sum_squared_weights_by_matrix,
)

MEASURES: tuple[Measure, ...] = (
    train_loss,
    test_loss,
    train_accuracy,
    test_accuracy,
    loss_all,
    accuracy_all,
    test_accuracy_by_mirror,
    restricted_loss,
    excluded_loss,
    excluded_accuracy_train,
    held_out_restricted,
    circuit_logits,
    fraction_logit_power_memorization,
    sum_squared_weights,
    sum_squared_weights_by_matrix,
    gini_W_E,
    gini_W_L,
    fraction_logit_variance_explained,
    fraction_logit_variance_explained_pizza,
    fraction_single_frequency_neurons,
    fraction_single_representation_neurons,
    fraction_coset_neurons,
    phase_coherence,
    gradient_symmetricity,
    distance_irrelevance,
    circularity,
    effective_rank_W_E,
)
"""Every measure that analyze computes unless others are named."""
