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
    known, absent = rows.loc[is_known], rows.loc[~is_known]
    blocks = [paragraph(lead), paragraph(_best(known)), _bounds(known), *_assumed(known)]
    blocks += _absent(absent)
    return Section("certificate", title, tuple(blocks))


def _best(rows: pd.DataFrame) -> str:
    """The bound that exceeds its cost by most, in a sentence."""
    known = rows.to_dict(orient="records")
    best = max(known, key=lambda row: row["bound_minus_cost"], default=None)
    if best is None or best["bound_minus_cost"] <= 0:
        return "<strong>No strategy proves more than its cost.</strong>"
    return (
        f"<strong>The strategy “{escape(best['strategy'])}” proves that the network is right on "
        f"at least {show_percent(best['accuracy_lower_bound'])} of the pairs</strong>, at "
        f"{show_value(best['relative_cost'])} of the cost of checking every pair."
    )


def _assumed(rows: pd.DataFrame) -> list[str]:
    """What the proofs assume, once for all strategies that assume the same."""
    notes = []
    for assumed, some in rows.groupby("assumes", sort=False):
        who = "Assumed" if len(some) == len(rows) else f"Assumed by {', '.join(some['strategy'])}"
        notes.append(paragraph(f"{escape(who)}: {escape(assumed)}.", kind="note"))
    return notes


def _bounds(rows: pd.DataFrame) -> str:
    header = (
        "strategy",
        "accuracy at least",
        "relative cost",
        "bound minus cost",
        "unexplained numbers",
    )
    cells = [
        (
            escape(row["strategy"]),
            show_percent(row["accuracy_lower_bound"]),
            show_value(row["relative_cost"]),
            show_value(row["bound_minus_cost"]),
            show_value(row["unexplained_dimension"]),
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
