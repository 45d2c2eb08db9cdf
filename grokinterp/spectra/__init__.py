"""Pure mathematics on tensors: Fourier bases of Z_n, spectra, and the key-frequency rule."""

from grokinterp.spectra.blocks import block_component
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
from grokinterp.spectra.key_rule import (
    double_of,
    frequencies_above,
    permuted_power_quantile,
    shares,
)
from grokinterp.spectra.sparsity import effective_rank, gini
from grokinterp.spectra.summary import SpectrumSummary, summarize_spectrum

__all__ = [
    "SpectrumSummary",
    "block_component",
    "component_frequencies",
    "component_norms",
    "difference_rows",
    "double_of",
    "effective_rank",
    "fourier_basis",
    "frequencies_above",
    "gini",
    "group_means",
    "n_frequencies",
    "norms_by_frequency",
    "permuted_power_quantile",
    "power_by_frequency",
    "shares",
    "sum_rows",
    "summarize_spectrum",
    "to_fourier",
]
