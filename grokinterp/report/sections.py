"""What the report of an analysis shows, part by part."""

from __future__ import annotations

from grokinterp.circuits.cosets import why_no_cosets
from grokinterp.figures.drawn import why_never_drawn
from grokinterp.report.algorithm import algorithm_section
from grokinterp.report.certificate import certificate_section
from grokinterp.report.circuit import ablation_section, circuit_section, strength_section
from grokinterp.report.closed_form import closed_form_section
from grokinterp.report.cosets import coset_section
from grokinterp.report.events import events_section
from grokinterp.report.explorer import explorer_section
from grokinterp.report.learning_coefficient import learning_coefficient_sections
from grokinterp.report.losses import (
    loss_and_accuracy_section,
    mirrored_accuracy_section,
    restricted_and_excluded_section,
)
from grokinterp.report.measures import further_measures_section, gini_and_weights_section
from grokinterp.report.mode_families import mode_families_section
from grokinterp.report.outcome import outcome_section
from grokinterp.report.page import Section
from grokinterp.report.provenance import provenance_sections
from grokinterp.report.spectrum import (
    embedding_spectrum_section,
    key_frequencies_section,
    logits_explained_section,
    neuron_section,
)
from grokinterp.trajectory.analysis import Analysis


def analysis_sections(analysis: Analysis) -> list[Section]:
    """All sections of the report, in order; a section without numbers says why.

    Sections that a kind of network cannot have are listed, with the reasons, under what could
    not be computed.
    """
    sections = [
        outcome_section(analysis),
        loss_and_accuracy_section(analysis),
        embedding_spectrum_section(analysis),
        key_frequencies_section(analysis),
        events_section(analysis),
        restricted_and_excluded_section(analysis),
        neuron_section(analysis),
        coset_section(analysis),
        logits_explained_section(analysis),
        algorithm_section(analysis),
        gini_and_weights_section(analysis),
        further_measures_section(analysis),
        mirrored_accuracy_section(analysis),
        explorer_section(analysis),
        circuit_section(analysis),
        closed_form_section(analysis),
        certificate_section(analysis),
        *learning_coefficient_sections(analysis),
        mode_families_section(analysis),
        strength_section(analysis),
        ablation_section(analysis),
    ]
    # The reason why a task has none is that of its measure, under the fields.
    if not _has_cosets(analysis):
        sections = [section for section in sections if section.name != "cosets"]
    absent = {s: why for s in sections if (why := _why_not_in_report(analysis, s.name))}
    kept = [section for section in sections if section not in absent]
    return [*kept, *provenance_sections(analysis, absent)]


_FIGURES_OF_SECTIONS = {
    "embedding-spectrum": ("embedding-spectrum", "embedding-heatmap"),
    "neurons": ("neurons", "neuron-phases"),
    "gini-and-weights": ("gini", "sum-squared-weights"),
}
"""Figures that make up a section, for the sections that a network can lack."""


def _has_cosets(analysis: Analysis) -> bool:
    return "neurons" not in analysis.run.missing_parts and not why_no_cosets(analysis.run.task)


def _why_not_in_report(analysis: Analysis, section: str) -> str:
    """Why a kind of network or task has no such section; empty if it has."""
    names = _FIGURES_OF_SECTIONS.get(section, ())
    reasons = [why_never_drawn(name, analysis.run.missing_parts) for name in names]
    given = [reason for reason in reasons if reason is not None]
    return "; ".join(dict.fromkeys(given)) if given and len(given) == len(names) else ""
