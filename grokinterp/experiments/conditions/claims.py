"""What the runs of every condition say, by the criterion of ``conditions``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from grokinterp.experiments.claims import Claim, Findings, Verdict
from grokinterp.experiments.conditions.beside import beside_claims, doses
from grokinterp.experiments.conditions.charts import charts_of
from grokinterp.experiments.conditions.finer import finer_claims, when_it_happens
from grokinterp.experiments.conditions.frequencies import (
    REASONS,
    literature_and_runs,
    row_claims,
)
from grokinterp.experiments.conditions.outcomes import Table, at_level
from grokinterp.experiments.conditions.rows import ROWS, TOO_SMALL, VERY_HIGH
from grokinterp.experiments.conditions.settings import conditions_of
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.records import records_of


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion: the rows of the table, then what stands beside it."""
    runs = Table([at_level(run) for run in records_of(table)])
    conditions = conditions_of(scale.is_quick)
    rows, finer = row_claims(runs), finer_claims(runs, conditions)
    tables = {
        "literature_and_runs": literature_and_runs(runs, rows),
        "when_it_happens": when_it_happens(runs, conditions, finer),
        "gradient_noise": doses(runs),
    }
    return Findings(
        (*rows, *finer, *beside_claims(runs)),
        tables,
        charts_of(runs),
        _NOTES,
        found_in_words(rows),
    )


def found_in_words(claims: Sequence[Claim]) -> str:
    """Return what the rows of the table came to, for a reader who knows none of the terms."""
    of = {claim.name: claim for claim in claims}
    sentences = [
        "A network groks when it knows its training examples early and learns the rule behind "
        "them only long after.",
        "The literature says under which conditions that is likely.",
        _agreement(of),
    ]
    unclear = next(row for row in ROWS if row.answer == "unclear")
    numbers = of[unclear.name].numbers
    if numbers["n_conclusive"]:
        sentences.append(
            f"With {unclear.in_plain_words}, on which the literature is undecided, "
            f"{numbers['n_late']} of {numbers['n_conclusive']} networks grokked."
        )
    for row, name in REASONS.items():
        sentences.append(_REASON_FOUND[row][of[name].verdict].format(**of[name].numbers))
    return " ".join(sentences)


def _agreement(of: Mapping[str, Claim]) -> str:
    """A sentence each: with which rows the runs agree, with which not, and which stay open."""
    sentences: list[str] = []
    for verdict, words in _AGREEMENT.items():
        rows = [row for row in ROWS if row.answer != "unclear" and of[row.name].verdict == verdict]
        named = [
            f"{row.in_plain_words} ({row.answer}: {of[row.name].numbers['n_late']} of "
            f"{of[row.name].numbers['n_conclusive']} grokked)"
            for row in rows
        ]
        if named:
            who = "They" if sentences else "These runs"
            *before, last = named
            listed = f"{', '.join(before)} and {last}" if before else last
            sentences.append(f"{who} {words} {listed}.")
    return " ".join(sentences)


_AGREEMENT: Mapping[Verdict, str] = {
    "confirmed": "agree with it on",
    "not confirmed": "do not agree with it on",
    "inconclusive": "leave open",
}

_REASON_FOUND: Mapping[str, Mapping[Verdict, str]] = {
    TOO_SMALL: {
        "confirmed": "As the literature says, networks with too few examples could not even "
        "memorize them ({n_not_fitted} of {n_conclusive}).",
        "not confirmed": "With too few examples, {n_fitted} of {n_conclusive} networks memorized "
        "them. So the literature's reason, that they cannot, does not hold here.",
        "inconclusive": "The literature's reason for too few examples is that a network cannot "
        "even memorize them. That is left open.",
    },
    VERY_HIGH: {
        "confirmed": "With very high weight decay, {n_not_fitted} of {n_conclusive} networks did "
        "not even learn their training examples, as the literature says.",
        "not confirmed": "With very high weight decay, {n_fitted} of {n_conclusive} networks did "
        "learn their training examples, which the literature does not expect.",
        "inconclusive": "Whether networks with very high weight decay fail to learn even their "
        "training examples is left open.",
    },
}

_NOTES = (
    "The shares are of the settings that were chosen here: another choice, such as more lazy "
    "perceptrons, gives another share. The intervals take the runs for independent draws, so they "
    "say how far chance among seeds reaches and not how far the choice of settings does.",
    "That none grokked is known within the steps that were trained. Networks on too few pairs may "
    "need longer than the reference, which has six times as many or more.",
    "Neither natural set is large: 1,797 images of 8 x 8 pixels, and 569 tumors.",
    "A commutative operation gives away the answer of every test pair whose mirror image is "
    "trained: a network that memorizes and knows a + b = b + a has a test accuracy near the "
    "training fraction. The accuracies on both kinds of pairs stand in the table.",
    "L1 and gradient noise act on the gradient that Adam rescales, weight decay on the weights "
    "alone: their strengths cannot be compared.",
)
