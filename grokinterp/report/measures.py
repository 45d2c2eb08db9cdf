"""Gini coefficient, weights and further measures along training, as parts of the report."""

from __future__ import annotations

from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.analysis_figures import figure_or_reason
from grokinterp.report.network_words import (
    embedding_words,
    has_transformer_names,
    readout_words,
)
from grokinterp.report.page import Section
from grokinterp.trajectory.analysis import Analysis


def gini_and_weights_section(analysis: Analysis) -> Section:
    """How few frequencies hold the weights, and how large the weights are."""
    gini = figure_or_reason(
        analysis,
        "gini",
        "The Gini coefficient says how few frequencies make up the weights. It is 0 if all Fourier "
        f"components are equal and 1 if a single one is left. {_what_is_sparse(analysis)}",
    )
    names = (
        " Matrices under their TransformerLens names." if has_transformer_names(analysis) else ""
    )
    weights = figure_or_reason(
        analysis,
        "sum-squared-weights",
        "In a run that groks, weight decay removes the memorization circuit in cleanup, so the "
        f"total falls and then stays flat.{names} Logarithmic axis.",
    )
    return Section("gini-and-weights", "Gini coefficient and weights", (gini, weights))


def _what_is_sparse(analysis: Analysis) -> str:
    """What W_E and W_L are, if they exist, and what they do."""
    missing, said = analysis.run.missing_parts, []
    if "operands" not in missing:
        said.append(f"W_E is {embedding_words(analysis)}")
    if "readout" not in missing:
        said.append(readout_words(analysis))
    if analysis.key_frequencies.is_dense:
        rise = "neither has to rise" if len(said) == 2 else "it does not have to rise"
        plural = spectrum_of(analysis).plural
        return f"{', '.join(said)}. Nearly all {plural} are key here, so {rise}."
    rise = "both rise" if len(said) == 2 else "it rises"
    return (
        f"{', '.join(said)}. In a run that groks, {rise} as the circuit forms and again in cleanup."
    )


def further_measures_section(analysis: Analysis) -> Section:
    """Every other measure that has a column, one panel each."""
    said = [f"Effective rank counts the dimensions that {embedding_words(analysis)} uses."]
    if analysis.run.task.cyclic_view is None:
        said.append(
            "Gradient symmetricity is the cosine between the gradients of a logit for the "
            "embeddings of the two tokens: 1 if the network treats them alike."
        )
    else:
        said.append(
            "Gradient symmetricity is near 1 for the pizza algorithm and lower for the clock; "
            "distance irrelevance is low for the pizza and higher for the clock; circularity is "
            "near 1 if the embedding consists of circles. What they say about the last checkpoint "
            'is under <a href="#algorithm">Which algorithm</a>.'
        )
    if "operands" in analysis.run.missing_parts:
        said = [
            "Distance irrelevance is low for the pizza algorithm and higher for the clock. What it "
            'says about the last checkpoint is under <a href="#algorithm">Which algorithm</a>.'
        ]
    said.append("Each measure of your own has a panel.")
    block = figure_or_reason(analysis, "further-measures", " ".join(said))
    return Section("further-measures", "Further measures", (block,))
