"""The local learning coefficient along a run, as a part of the report; it is there if asked for."""

from __future__ import annotations

import numpy as np

from grokinterp.figures.learning_coefficient import plot_learning_coefficient_curve
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import escape, show_value, table
from grokinterp.trajectory.analysis import Analysis


def learning_coefficient_sections(analysis: Analysis) -> list[Section]:
    """One section, or none where no coefficient was computed."""
    curve = analysis.learning_coefficient
    if curve.empty:
        return []
    settings = ", ".join(
        f"{words} {show_value(curve[name].iloc[-1])}"
        for name, words in (
            ("n_beta", "n beta"),
            ("step_size", "step size"),
            ("localization", "localization"),
        )
    )
    lead = (
        "The coefficient says how degenerate the minimum is at each checkpoint. The lower it is, "
        f"the more directions leave the loss unchanged. All checkpoints have the same settings "
        f"({settings}); other settings give other numbers. The standard error covers the sampling "
        "alone."
    )
    known = np.isfinite(np.asarray(curve["value"], dtype=float))
    blocks = [
        paragraph(lead),
        figure_block(
            "learning-coefficient",
            plot_learning_coefficient_curve(curve),
            "The coefficient over training. Gray: estimates that are not to be believed.",
        ),
    ]
    if not known.all():
        reasons = curve.loc[~known, "reason"].value_counts()
        rows = [(escape(str(reason)), show_value(n)) for reason, n in reasons.items()]
        header = ("reason", "checkpoints")
        blocks.append(table(header, rows, caption="Checkpoints without a value", n_text=1))
    return [Section("learning-coefficient", "Local learning coefficient", tuple(blocks))]
