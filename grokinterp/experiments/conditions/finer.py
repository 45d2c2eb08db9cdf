"""Finer rows beside the table: one setting each, with what a source says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from grokinterp.experiments.claims import (
    AT_ONCE,
    COLLAPSED,
    NOT_GENERALIZED,
    NOT_SETTLED,
    Claim,
    Verdict,
    share_verdict,
)
from grokinterp.experiments.conditions.condition import Condition
from grokinterp.experiments.conditions.outcomes import WORDS, Table, outcomes_in_words
from grokinterp.experiments.records import (
    Record,
    count,
    is_above,
    last_step_of,
    median_of,
    where,
)
from grokinterp.fields import Number

SHARE_CONFIRMED = 2 / 3
SHARE_REFUTED = 1 / 3


def finer_claims(table: Table, conditions: Sequence[Condition]) -> list[Claim]:
    """One claim for every setting of which a source says how it ends."""
    return [_finer_claim(condition, table) for condition in conditions if condition.prediction]


def when_it_happens(
    table: Table, conditions: Sequence[Condition], claims: Sequence[Claim]
) -> pd.DataFrame:
    """Every setting with its outcomes, and the verdict where it has one of its own."""
    verdicts = {claim.name: claim for claim in claims}
    return pd.DataFrame([_cells(one, table, verdicts.get(one.name)) for one in conditions])


def thirds_verdict(n_yes: int, n_all: int) -> Verdict:
    """Confirmed from two thirds on, not confirmed up to one third."""
    return share_verdict(n_yes, n_all, confirmed_from=SHARE_CONFIRMED, refuted_up_to=SHARE_REFUTED)


def _finer_claim(condition: Condition, table: Table) -> Claim:
    runs = table.of(condition.name)
    conclusive = where(runs, lambda run: _is_conclusive(run, condition, table))
    n_as_predicted = count(conclusive, lambda run: run["outcome_kind"] in condition.prediction)
    sentence = f"{condition.in_words}: {outcomes_in_words(runs)}; predicted: "
    sentence += _prediction(condition)
    if len(conclusive) < len(runs):
        sentence += f"; {len(runs) - len(conclusive)} of {len(runs)} inconclusive"
        censored = where(runs, lambda run: run["outcome_kind"] in NOT_GENERALIZED)
        if len(conclusive) + len(censored) >= len(runs):
            sentence += f": not within {last_step_of(censored):,} steps"
    numbers: dict[str, Number] = {
        "n_runs": len(runs),
        "n_conclusive": len(conclusive),
        "n_as_predicted": n_as_predicted,
        "median_grokking_delay": median_of(runs, "grokking_delay"),
        "median_transition_width": median_of(runs, "transition_width"),
    }
    sentence = sentence[0].upper() + sentence[1:] + "."
    verdict = thirds_verdict(n_as_predicted, len(conclusive))
    return Claim(condition.name, verdict, sentence, numbers, is_main=False)


def _is_conclusive(run: Record, condition: Condition, table: Table) -> bool:
    """Whether a longer run could not have ended otherwise, as far as the prediction goes."""
    kind = run["outcome_kind"]
    if kind not in WORDS or kind == NOT_SETTLED:
        return False
    if kind == COLLAPSED:
        is_absence = set(condition.prediction) <= set(NOT_GENERALIZED)
        return is_absence and run["grokking_step"] is not None
    if kind not in NOT_GENERALIZED:
        return True
    if kind in condition.prediction:
        return table.is_followed(run)
    # A delay only grows. All else may still come.
    is_late = is_above(run, "last_step", 2 * (run["memorization_step"] or math.inf))
    return kind == "memorized" and condition.prediction == AT_ONCE and is_late


def _prediction(condition: Condition) -> str:
    return " or ".join(WORDS[kind] for kind in condition.prediction)


def _cells(condition: Condition, table: Table, claim: Claim | None) -> dict[str, Number]:
    runs = table.of(condition.name)
    numbers = claim.numbers if claim else {}
    return {
        "condition": condition.name,
        "what": condition.in_words,
        "row": condition.row or None,
        "level": condition.level,
        "prediction": _prediction(condition) or None,
        "source": condition.source or None,
        "outcomes": outcomes_in_words(runs),
        "n_as_predicted": numbers.get("n_as_predicted"),
        "n_conclusive": numbers.get("n_conclusive"),
        "verdict": claim.verdict if claim else None,
        "median_memorization_step": median_of(runs, "memorization_step"),
        "median_grokking_delay": median_of(runs, "grokking_delay"),
        "median_transition_width": median_of(runs, "transition_width"),
        "median_test_accuracy": median_of(runs, "test_accuracy"),
        "median_accuracy_mirrored": median_of(runs, "test_accuracy_mirrored"),
        "median_accuracy_unmirrored": median_of(runs, "test_accuracy_unmirrored"),
    }
