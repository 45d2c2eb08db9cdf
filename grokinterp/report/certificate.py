"""What is proved about the last checkpoint's accuracy, as a part of the report."""

from __future__ import annotations

import pandas as pd

from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis


def certificate_section(analysis: Analysis) -> Section:
    """Every strategy with its bound and cost, and the reasons of those that are absent."""
    title = "A proof of its accuracy"
    rows = analysis.certificate
    if rows.empty:
        known = analysis.why("key_frequencies", "key_representations")
        because = f" Reason: {escape(known)}." if known else ""
        note = f"There is no closed form to begin a proof with.{because}"
        return Section("certificate", title, (paragraph(note, kind="note"),))
    lead = (
        "Each row is a proved lower bound on the accuracy at the last checkpoint. Rounding only "
        "makes it lower. Checking a share of the pairs proves that share at that share of the "
        "cost. So the worth of a proof is bound minus cost: whatever is above 0 comes from the "
        "network's structure."
    )
    is_known = rows["reason"].isna()
    blocks = [paragraph(lead), _bounds(rows.loc[is_known]), *_absent(rows.loc[~is_known])]
    return Section("certificate", title, tuple(blocks))


def _bounds(rows: pd.DataFrame) -> str:
    header = (
        "strategy",
        "accuracy at least",
        "relative cost",
        "bound minus cost",
        "unexplained numbers",
        "assumes",
    )
    cells = [
        (
            escape(row["strategy"]),
            show_percent(row["accuracy_lower_bound"]),
            show_value(row["relative_cost"]),
            show_value(row["bound_minus_cost"]),
            show_value(row["unexplained_dimension"]),
            escape(row["assumes"]),
        )
        for row in rows.to_dict(orient="records")
    ]
    caption = "Proved lower bounds on accuracy, and what each proof costs"
    return table(header, cells, caption=caption, n_text=1)


def _absent(rows: pd.DataFrame) -> list[str]:
    """One sentence for each reason, with the strategies that it concerns."""
    notes = []
    for reason, some in rows.groupby("reason", sort=False):
        names = ", ".join(some["strategy"])
        notes.append(
            paragraph(f"Not tried: {escape(names)}. Reason: {escape(reason)}.", kind="note")
        )
    return notes
