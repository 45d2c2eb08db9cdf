"""Families of two-dimensional modes, as a part of the report."""

from __future__ import annotations

import pandas as pd

from grokinterp import figures
from grokinterp.errors import FitError
from grokinterp.figures.mode_families import FAMILY_WORDS
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import escape, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis

_LEAD = (
    "Logits and neurons are functions of the pair. Here they are split into orthogonal families: "
    "functions of a+b, of a−b (in other groups, what else has one representation), of a alone, of "
    "b alone, and generic ones. Shares are of the variance over the pairs. Then one family is kept "
    "beside the mean over the pairs, or one is removed, and the rest of the network is run."
)
_CAPTION = (
    "Above: the share of each family, the number of its modes as a share of all modes, and the "
    "accuracy on all pairs with the family alone and without it. Below: the share of the variance "
    "by the {noun} of a and of b, on a logarithmic scale from 1e-6 (dark) to 1. The diagonal has "
    "a+b and a−b together."
)


def mode_families_section(analysis: Analysis) -> Section:
    """The share of each family, and how the network does with it alone and without it."""
    title = "Functions of a+b, a−b, a and b"
    try:
        figure = figures.plot_mode_families(analysis)
    except FitError as error:
        return Section("mode-families", title, (paragraph(escape(error), kind="note"),))
    noun = "representation" if analysis.run.task.has_representations else "frequency"
    blocks = (
        paragraph(_LEAD),
        figure_block("figure-mode-families", figure, _CAPTION.format(noun=noun)),
        _table(analysis.mode_families),
    )
    return Section("mode-families", title, blocks)


def _table(families: pd.DataFrame) -> str:
    shares = ("share", "share_key", "share_by_chance")
    scores = ("kept_accuracy_all", "kept_loss_all", "ablated_accuracy_all", "ablated_loss_all")
    words = ("share", "in key frequencies", "by chance")
    words += ("accuracy with it alone", "loss (nats)", "accuracy without it", "loss (nats)")
    rows = []
    for row in families.to_dict(orient="records"):
        cells = [show_percent(row[name]) for name in shares]
        cells += [show_value(row.get(name)) for name in scores]
        rows.append((escape(row["part"]), escape(FAMILY_WORDS[str(row["family"])]), *cells))
    return table(
        ("part", "family", *words), rows, caption="Families at the last checkpoint", n_text=2
    )
