"""The rows of the table: how many runs grokked, and whether the literature's word agrees."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from grokinterp.experiments.claims import AT_ONCE, COLLAPSED, NOT_GENERALIZED, Claim, share_verdict
from grokinterp.experiments.conditions.outcomes import Table
from grokinterp.experiments.conditions.rows import (
    ROWS,
    TOO_SMALL,
    VERY_HIGH,
    Row,
    answer_of,
    verdict_of,
)
from grokinterp.experiments.records import Record, count, last_step_of, where
from grokinterp.fields import Number
from grokinterp.laws import ShareInterval, share_interval

SHARE_HOLDS = 2 / 3
SHARE_FAILS = 1 / 3
ABSENCES = ("no", "rare")
"""Answers that expect an absence."""

REASONS: Mapping[str, str] = {
    TOO_SMALL: "too small a dataset cannot be memorized",
    VERY_HIGH: "very high weight decay underfits",
}
"""Names of the claims on the reasons that the literature gives, by row."""


def row_claims(table: Table) -> list[Claim]:
    """One claim for every row, and one for each of the two reasons."""
    claims = [_row_claim(row, table) for row in ROWS]
    return claims + [_reason_claim(name, claim, table) for name, claim in REASONS.items()]


def share_of_row(row: Row, table: Table) -> ShareInterval:
    """Share of the conclusive runs of a row that generalized late."""
    known = [_grokked(run, row, table) for run in table.of_row(row.name)]
    return share_interval(known.count(True), len(known) - known.count(None))


def literature_and_runs(table: Table, claims: list[Claim]) -> pd.DataFrame:
    """The table: the literature's answer, what the runs say, our answer and its verdict."""
    verdicts = {claim.name: claim for claim in claims}
    return pd.DataFrame([_cells(row, table, verdicts[row.name]) for row in ROWS])


def _grokked(run: Record, row: Row, table: Table) -> bool | None:
    return table.grokked(run, is_absence=row.answer in ABSENCES)


def _row_claim(row: Row, table: Table) -> Claim:
    runs, share = table.of_row(row.name), share_of_row(row, table)
    n_open = len(runs) - share.n_all
    sentence = f"{share.in_words} conclusive runs generalized late; the literature: {row.says}."
    if n_open:
        sentence += f" Inconclusive, not counted: {n_open}."
    if row.answer == "unclear":
        sentence += " There is no answer to confirm, so this is a frequency and no verdict."
    numbers: dict[str, Number] = {
        "n_runs": len(runs),
        "n_conclusive": share.n_all,
        "n_late": share.n_yes,
        "share": share.share,
        "low": share.low,
        "high": share.high,
    }
    verdict = verdict_of(row.answer, share)
    return Claim(row.name, verdict, sentence, numbers, is_main=row.answer != "unclear")


def _reason_claim(row: str, name: str, table: Table) -> Claim:
    """Whether runs of a row did not fit: one that fitted says no, one that has not may yet."""
    runs = table.of_row(row)
    fitted = where(runs, _has_fitted)
    unfitted = where(runs, lambda run: run["outcome_kind"] == "did_not_fit")
    followed = where(unfitted, table.is_followed)
    n_all = len(fitted) + len(followed)
    sentence = (
        f"{len(fitted)} of {len(runs)} runs knew more than 99 % of their training examples, "
        f"{len(unfitted)} did not within {last_step_of(unfitted):,} steps."
        if unfitted
        else f"{len(fitted)} of {len(runs)} runs knew more than 99 % of their training examples."
    )
    verdict = share_verdict(
        len(followed), n_all, confirmed_from=SHARE_HOLDS, refuted_up_to=SHARE_FAILS
    )
    numbers: dict[str, Number] = {
        "n_runs": len(runs),
        "n_conclusive": n_all,
        "n_fitted": len(fitted),
        "n_not_fitted": len(followed),
    }
    return Claim(name, verdict, sentence, numbers)


def _has_fitted(run: Record) -> bool:
    is_lost = run["outcome_kind"] == COLLAPSED and run["grokking_step"] is None
    return run["memorization_step"] is not None or is_lost


def _cells(row: Row, table: Table, claim: Claim) -> dict[str, Number]:
    runs, share = table.of_row(row.name), share_of_row(row, table)
    kinds = [run["outcome_kind"] for run in runs]
    counts = {
        "n_sharp": kinds.count("grokked"),
        "n_late_not_sharp": kinds.count("slow_convergence"),
        "n_at_once": sum(kinds.count(kind) for kind in AT_ONCE),
        "n_memorized": kinds.count("memorized"),
        "n_did_not_fit": kinds.count("did_not_fit"),
    }
    without = where(runs, lambda run: run["outcome_kind"] in NOT_GENERALIZED)
    followed = [int(run["last_step"]) for run in without]
    steps = sorted({min(followed), max(followed)}) if followed else []
    return {
        "condition": row.name,
        "literature": row.says,
        "n_settings": len({run["condition"] for run in runs}),
        "n_settings_with_grokking": len(
            {run["condition"] for run in runs if _grokked(run, row, table)}
        ),
        "n_runs": len(runs),
        **counts,
        "n_other": len(runs) - sum(counts.values()),
        "not_within_steps": " to ".join(f"{step:,}" for step in steps) or None,
        "n_inconclusive": count(runs, lambda run: _grokked(run, row, table) is None),
        "grokked": share.in_words,
        "our_answer": answer_in_words(share, last_step_of(without)),
        "verdict": "no answer to test" if row.answer == "unclear" else claim.verdict,
    }


def answer_in_words(share: ShareInterval, last_step: int) -> str:
    """Our word for a share; an absence is one within so many steps.

    Examples
    --------
    >>> answer_in_words(share_interval(0, 15), last_step=10_000)
    'no: none within 10,000 steps'
    """
    answer = answer_of(share)
    if answer == "no" and last_step:
        return f"no: none within {last_step:,} steps"
    return answer or "too few runs to say"
