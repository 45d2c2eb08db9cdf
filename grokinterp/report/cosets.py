"""Neurons on cosets of subgroups at the last checkpoint, as a part of the report."""

from __future__ import annotations

import numpy as np

from grokinterp import figures
from grokinterp.circuits.coset_null import COSET_SHARE
from grokinterp.errors import FitError
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import escape, show_value, table
from grokinterp.trajectory.analysis import Analysis

_CAPTION = (
    "One point per neuron, at the last checkpoint, for the largest subgroup whose cosets explain "
    "over 95% of it. The vertical axis is what these cosets leave unexplained. The horizontal axis "
    "is the least that chance leaves: random vectors of its representations, or relabeled "
    "elements. Coset neurons lie below the dashed line, and a function of both cosets also "
    "explains over 95% of their activation. Above the line, cosets explain a neuron little better "
    "than they would a generic matrix element of its representation."
)


def coset_section(analysis: Analysis) -> Section:
    """How many neurons are functions of the cosets of which subgroups, and what chance reaches."""
    title = "Neurons on cosets"
    try:
        figure = figures.plot_coset_neurons(analysis)
    except FitError as error:
        return Section("cosets", title, (paragraph(escape(error), kind="note"),))
    are_on_cosets = analysis.neurons["is_coset_neuron"].to_numpy()
    lead = paragraph(
        f"{show_value(int(are_on_cosets.sum()))} of {show_value(len(are_on_cosets))} neurons are "
        "functions of the left coset aH of a and the right coset Kb of b, for a proper subgroup H "
        f"and a conjugate K, to over {COSET_SHARE:.0%} and beyond chance."
    )
    blocks = (lead, figure_block("figure-coset-neurons", figure, _CAPTION), _table(analysis))
    return Section("cosets", title, blocks)


def _table(analysis: Analysis) -> str:
    rows = []
    shown = analysis.neurons.loc[analysis.neurons["coset_subgroup"].notna()]
    for (index, name), group in shown.groupby(["coset_index", "coset_subgroup"]):
        rows.append(
            (
                escape(name),
                *(
                    show_value(value)
                    for value in (
                        int(str(index)),
                        len(group),
                        int(group["is_coset_neuron"].to_numpy().sum()),
                        float(np.median(group["coset_share"])),
                        float(np.median(group["coset_fit"])),
                        float(np.median(group["coset_null"])),
                    )
                ),
            )
        )
    header = ("subgroup", "cosets", "neurons", "beyond chance", "share", "fit", "by chance")
    return table(header, rows, caption="Largest subgroup of each neuron; medians", n_text=1)
