"""What the runs of every condition say, by the criterion of ``conditions``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.claims import (
    AT_ONCE,
    COLLAPSED,
    LATE,
    NOT_GENERALIZED,
    NOT_SETTLED,
    Claim,
    Findings,
    Verdict,
    share_verdict,
)
from grokinterp.experiments.conditions.condition import Condition
from grokinterp.experiments.conditions.rows import CONDITIONS, GROKFAST, REFERENCES
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    count,
    has,
    is_above,
    is_crossed,
    last_step_of,
    median_of,
    median_time,
    records_of,
    where,
)
from grokinterp.fields import Number

SHARE_CONFIRMED = 2 / 3
SHARE_REFUTED = 1 / 3
REFERENCE_TIMES = 3.0
"""Median grokking times of the reference for which a run without one has to be followed."""

WORDS = {
    "grokked": "grokked",
    "slow_convergence": "late, not sharp",
    "generalized_without_delay": "without delay",
    "generalized_before_memorizing": "before memorizing",
    "memorized": "memorized",
    "did_not_fit": "did not fit",
    COLLAPSED: "collapsed",
    NOT_SETTLED: "not settled",
    "diverged": "diverged",
}


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion: one claim for every condition that was run."""
    by_condition = by(records_of(table), "condition")
    rows = [c for c in CONDITIONS if c.is_in_quick or not scale.is_quick]
    claims = [_judge_condition(condition, by_condition) for condition in rows]
    cells = [
        _cells(condition, claim, by_condition.get(condition.name, []))
        for condition, claim in zip(rows, claims, strict=True)
    ]
    beside = (_judge_sharpness(by_condition), _judge_sooner(by_condition))
    return Findings(
        (*claims, *beside),
        {"when_it_happens": pd.DataFrame(cells)},
        (_times_chart(by_condition), _widths_chart(by_condition)),
        _NOTES,
    )


def _judge_condition(condition: Condition, by_condition: Mapping[str, Runs]) -> Claim:
    runs = by_condition.get(condition.name, [])
    conclusive = where(runs, lambda run: _is_conclusive(run, condition, by_condition))
    n_as_predicted = count(conclusive, lambda run: run["outcome_kind"] in condition.prediction)
    sentence = f"{condition.in_words}: {_outcomes(runs)}; predicted: {_prediction(condition)}"
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
    verdict = _verdict(n_as_predicted, len(conclusive))
    return Claim(condition.name, verdict, sentence, numbers, condition.is_main)


def _is_conclusive(run: Record, condition: Condition, by_condition: Mapping[str, Runs]) -> bool:
    """Whether a longer run could not have ended otherwise, as far as the prediction goes."""
    kind = run["outcome_kind"]
    if kind not in WORDS or kind == NOT_SETTLED:
        return False
    if kind == COLLAPSED:
        return _is_refuted_by_collapse(run, condition)
    if kind not in NOT_GENERALIZED:
        return True
    if kind in condition.prediction:
        return _is_followed(run, condition, by_condition)
    # A run that has fitted did fit; and a delay only grows. All else may still come.
    is_late = is_above(run, "last_step", 2 * (run["memorization_step"] or math.inf))
    is_refuted = condition.prediction == ("did_not_fit",) or (
        condition.prediction == AT_ONCE and is_late
    )
    return kind == "memorized" and is_refuted


def _is_refuted_by_collapse(run: Record, condition: Condition) -> bool:
    """Whether what a run reached and lost was not to be reached at all."""
    if not set(condition.prediction) <= set(NOT_GENERALIZED):
        return False
    return condition.prediction == ("did_not_fit",) or run["grokking_step"] is not None


def _is_followed(run: Record, condition: Condition, by_condition: Mapping[str, Runs]) -> bool:
    """Whether a run lasted long enough to say that it does not generalize within its budget."""
    reference = REFERENCES.get(condition.base)
    if reference in (None, condition.name):
        return True
    # None where half of the reference has not generalized: then nobody knows how long is long.
    time = median_time(by_condition.get(reference, []))
    return time is not None and run["last_step"] >= REFERENCE_TIMES * time


def _verdict(n_yes: int, n_all: int) -> Verdict:
    return share_verdict(n_yes, n_all, confirmed_from=SHARE_CONFIRMED, refuted_up_to=SHARE_REFUTED)


def _judge_sharpness(by_condition: Mapping[str, Runs]) -> Claim:
    base = REFERENCES["transformer"]
    late = where(by_condition.get(base, []), lambda run: run["outcome_kind"] in LATE)
    n_sharp = count(late, lambda run: run["outcome_kind"] == "grokked")
    return Claim(
        "late generalization is sharp",
        _verdict(n_sharp, len(late)),
        f"{n_sharp} of {len(late)} late runs with weight decay have a transition of at most half "
        "their delay, on test pairs whose mirror image is not trained.",
        {"n_late": len(late), "n_sharp": n_sharp},
        is_main=False,
    )


def _judge_sooner(by_condition: Mapping[str, Runs]) -> Claim:
    times = [
        {run["seed"]: run["grokking_time"] for run in where(runs, is_crossed)}
        for runs in (by_condition.get(n, []) for n in (REFERENCES["transformer"], GROKFAST))
    ]
    both = sorted(times[0].keys() & times[1].keys())
    n_sooner = sum(times[1][seed] < times[0][seed] for seed in both)
    pairs = ", ".join(f"{times[1][s]:,.0f} instead of {times[0][s]:,.0f}" for s in both)
    return Claim(
        "Grokfast comes sooner",
        _verdict(n_sooner, len(both)),
        f"With Grokfast {n_sooner} of {len(both)} seeds cross 95 % earlier"
        + (f": at step {pairs}." if both else "."),
        {"n_seeds": len(both), "n_sooner": n_sooner},
        is_main=False,
    )


def _prediction(condition: Condition) -> str:
    return " or ".join(WORDS[kind] for kind in condition.prediction)


def _outcomes(runs: Runs) -> str:
    """``memorized x 2 (by step 1,800), grokked``, or ``no runs``."""
    counts = Counter(run["outcome_kind"] for run in runs)
    parts = []
    for kind, n in counts.most_common():
        text = WORDS.get(kind, "outcome not known" if kind is None else str(kind)) + (
            f" x {n}" if n > 1 else ""
        )
        if kind in NOT_GENERALIZED:
            ended = where(runs, outcome_kind=kind)
            text += f" (by step {last_step_of(ended):,})"
        parts.append(text)
    return ", ".join(parts) or "no runs"


def _cells(condition: Condition, claim: Claim, runs: Runs) -> dict[str, Number]:
    return {
        "condition": condition.name,
        "what": condition.in_words,
        "prediction": _prediction(condition),
        "source": condition.source,
        "outcomes": _outcomes(runs),
        "n_as_predicted": claim.numbers["n_as_predicted"],
        "n_conclusive": claim.numbers["n_conclusive"],
        "verdict": claim.verdict,
        "median_memorization_step": median_of(runs, "memorization_step"),
        "median_grokking_delay": claim.numbers["median_grokking_delay"],
        "median_transition_width": claim.numbers["median_transition_width"],
        "median_test_accuracy": median_of(runs, "test_accuracy"),
        "median_accuracy_mirrored": median_of(runs, "test_accuracy_mirrored"),
        "median_accuracy_unmirrored": median_of(runs, "test_accuracy_unmirrored"),
    }


def _times_chart(by_condition: Mapping[str, Runs]) -> Chart:
    series = []
    for name, runs in by_condition.items():
        fitted = where(runs, has("memorization_step"))
        if fitted:
            fits, times = ([r[c] for r in fitted] for c in ("memorization_step", "grokking_time"))
            series.append(Series(name, fits, times, is_censored=[r["is_censored"] for r in fitted]))
    return Chart(
        "times",
        "When networks fit, and when they generalize",
        "step with training accuracy > 99 %",
        "step with test accuracy > 95 %",
        "Open triangles did not generalize by the step at which they stand. Runs that had not "
        "fitted their training set by their last step have no place here; the table has them.",
        tuple(series),
        is_x_log=True,
        is_y_log=True,
    )


def _widths_chart(by_condition: Mapping[str, Runs]) -> Chart:
    series = []
    for name, runs in by_condition.items():
        late = [run for run in runs if (run["grokking_delay"] or 0) > 0 and run["transition_width"]]
        if late:
            delays, widths = ([r[c] for r in late] for c in ("grokking_delay", "transition_width"))
            series.append(Series(name, delays, widths))
    delays = [float(x) for one in series for x in one.x]
    ends = [min(delays), max(delays)] if delays else []
    half = Series("half the delay", ends, [end / 2 for end in ends], kind="line", is_dashed=True)
    return Chart(
        "widths",
        "Late, and sharp or not",
        "delay of generalization (steps)",
        "width of the transition, 10 to 90 % test accuracy (steps)",
        "Below the dashed line a transition takes less than half the delay. Widths here are of all "
        "test pairs; outcomes are judged on those whose mirror image is not trained.",
        (*series, half),
        is_x_log=True,
        is_y_log=True,
    )


_NOTES = (
    "A commutative operation gives away the answer of every test pair whose mirror image is "
    "trained: a network that memorizes and knows a + b = b + a has a test accuracy near the "
    "training fraction. The accuracies on both kinds of pairs stand in the table.",
    "L1 and gradient noise act on the gradient that Adam rescales, weight decay on the weights "
    "alone: their strengths cannot be compared.",
)
