"""Pure mathematics on tensors: Fourier bases of groups, spectra, and the key-frequency rule."""

from grokinterp.spectra.blocks import block_coefficients, block_component, block_values
from grokinterp.spectra.diagonals import difference_rows, group_means, sum_rows
from grokinterp.spectra.fourier import (
    component_frequencies,
    component_norms,
    fourier_basis,
    n_frequencies,
    norms_by_frequency,
    power_by_frequency,
    to_fourier,
)
from grokinterp.spectra.harmonics import (
    GroupHarmonics,
    cyclic_harmonics,
    group_harmonics,
    symmetric_harmonics,
)
from grokinterp.spectra.key_rule import (
    dense_components,
    double_of,
    frequencies_above,
    shares,
)
from grokinterp.spectra.permuted_power import permuted_power_quantile
from grokinterp.spectra.random_grouping import gaussian_power_quantile
from grokinterp.spectra.real_representations import real_representations
from grokinterp.spectra.representations import Representation, symmetric_representations
from grokinterp.spectra.sparsity import effective_rank, gini

__all__ = [
    "GroupHarmonics",
    "Representation",
    "block_coefficients",
    "block_component",
    "block_values",
    "component_frequencies",
    "component_norms",
    "cyclic_harmonics",
    "difference_rows",
    "dense_components",
    "double_of",
    "effective_rank",
    "fourier_basis",
    "frequencies_above",
    "gaussian_power_quantile",
    "gini",
    "group_harmonics",
    "group_means",
    "n_frequencies",
    "norms_by_frequency",
    "permuted_power_quantile",
    "power_by_frequency",
    "real_representations",
    "shares",
    "sum_rows",
    "symmetric_harmonics",
    "symmetric_representations",
    "to_fourier",
]
