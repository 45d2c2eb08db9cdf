"""What lazy and rich networks say by the criterion of ``kumar2023``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import pandas as pd

from grokinterp.experiments.claims import (
    MIN_SEEDS,
    Claim,
    Findings,
    Verdict,
    at_least_half,
    too_few,
)
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.kumar2023.charts import ADDITION, COMMITTEE, lazy_charts
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    count,
    has,
    lacks,
    last_step_of,
    median_of,
    records_of,
    where,
)
from grokinterp.fields import Number

RICH, GROWING, LATE, LAZY = 0.1, 1.0, 5.0, 20.0
"""Output scales that the claims name."""
NO_DELAY, SOME_DELAY, LATE_DELAY = 1.5, 3.0, 3.0
HIGH_SHARE = 0.25
TREND_SLACK = 0.9
MOVEMENT_RATIO, ALIGNMENT_GAIN = 3.0, 0.10
GROWTH = 1.05
ADDITION_DELAY = 1.5
GROKS, LAZY_WEIGHTS, LAZY_OUTPUT = (0.3, 1.0), (1.0, 1.0), (0.3, 10.0)
"""(init_scale, output_scale) on addition."""


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion."""
    runs = records_of(table)
    committee = dict(sorted(by(where(runs, arm=COMMITTEE), "output_scale").items()))
    others = where(runs, lambda run: run["arm"] != COMMITTEE)
    addition = by(others, "init_scale", "output_scale")
    claims = (
        _judge_delay(committee),
        _judge_kernel(committee),
        _judge_growth(committee.get(GROWING, [])),
        _judge_addition(addition),
    )
    summaries = {COMMITTEE: _committee_table(committee), ADDITION: _addition_table(addition)}
    tables = {name: rows for name, rows in summaries.items() if len(rows)}
    return Findings(claims, tables, lazy_charts(committee), _NOTES)


def _judge_delay(committee: dict[float, list[Record]]) -> Claim:
    name = "the lazier, the later the test loss falls"
    lacking = _lacking(name, committee, (RICH, LATE, LAZY))
    if lacking:
        return lacking
    delays = {alpha: _median_delay(runs) for alpha, runs in committee.items()}
    share = median(_last_share(run) for run in committee[LAZY])
    n_fallen = count(committee[LAZY], _has_fallen)
    # A lower bound cannot show that the delay falls.
    is_rising = all(
        _is_lower_bound(committee[after]) or delays[after] >= TREND_SLACK * delays[before]
        for before, after in pairwise(delays)
    )
    # Where half of the runs have not fallen, the delay is a lower bound of a larger one.
    late = math.inf if _is_lower_bound(committee[LATE]) else delays[LATE]
    verdict: Verdict = "inconclusive"
    if delays[RICH] >= min(late, SOME_DELAY) or at_least_half(n_fallen, len(committee[LAZY])):
        verdict = "not confirmed"
    elif (
        delays[RICH] <= NO_DELAY
        and not _is_lower_bound(committee[RICH])
        and delays[LATE] >= LATE_DELAY
        and share >= HIGH_SHARE
        and is_rising
    ):
        verdict = "confirmed"
    shown = ", ".join(
        f"{'> ' if _is_lower_bound(committee[alpha]) else ''}{delay:.2f} at alpha {alpha:g}"
        for alpha, delay in delays.items()
    )
    numbers: dict[str, Number] = {f"delay_alpha_{a:g}": d for a, d in delays.items()}
    if not math.isfinite(share):
        reason = f"The last test loss of half of the runs at alpha {LAZY:g} is not finite."
        return Claim(name, "inconclusive", reason, numbers)
    return Claim(
        name,
        verdict,
        f"The test loss falls {shown} times as late as the training loss (medians; > where half of "
        f"the runs have not fallen by their last step). At alpha {LAZY:g} it ends at {share:.0%} "
        f"of its largest value, {n_fallen} of {len(committee[LAZY])} fallen by step "
        f"{last_step_of(committee[LAZY]):,}.",
        numbers | {"last_over_largest_at_lazy": share, "n_fallen_at_lazy": n_fallen},
    )


def _judge_kernel(committee: dict[float, list[Record]]) -> Claim:
    name = "kernel and weights move less the lazier the network"
    lacking = _lacking(name, committee, (RICH, LAZY))
    if lacking:
        return lacking
    columns = ("kernel_drift", "weight_movement", "first_alignment", "last_alignment")
    medians = {c: [median_of(runs, c) for runs in committee.values()] for c in columns}
    known = [[value for value in medians[c] if value is not None] for c in columns]
    if min(map(len, known)) < len(committee):
        reason = "At some alpha no run has a kernel whose drift and alignment are finite."
        return Claim(name, "inconclusive", reason)
    drift, movement, first, last = known
    gains = last[0] - first[0], last[-1] - first[-1]
    is_falling = all(a > b for values in (drift, movement) for a, b in pairwise(values))
    is_wide = all(v[0] >= MOVEMENT_RATIO * v[-1] for v in (drift, movement))
    verdict: Verdict = "inconclusive"
    if is_falling and is_wide and gains[0] >= ALIGNMENT_GAIN and gains[0] > gains[1]:
        verdict = "confirmed"
    elif drift[-1] >= drift[0] or movement[-1] >= movement[0] or gains[0] <= 0:
        verdict = "not confirmed"
    alphas = ", ".join(f"{alpha:g}" for alpha in committee)
    return Claim(
        name,
        verdict,
        f"At alpha {alphas} the kernel drifts by {_list(drift)} and the weights move by "
        f"{_list(movement)}, relative to initialization; alignment with the targets goes from "
        f"{first[0]:.2f} to {last[0]:.2f} at the smallest alpha and from {first[-1]:.2f} to "
        f"{last[-1]:.2f} at the largest (medians).",
        {
            "drift_smallest": drift[0],
            "drift_largest": drift[-1],
            "movement_smallest": movement[0],
            "movement_largest": movement[-1],
            "alignment_gain_smallest": gains[0],
            "alignment_gain_largest": gains[1],
        },
    )


def _judge_growth(runs: Runs) -> Claim:
    name = "the norm grows while it groks, without decay"
    lacking = _lacking(name, {GROWING: list(runs)}, (GROWING,))
    if lacking:
        return lacking
    fallen = where(runs, _has_fallen)
    growth, end = median_of(fallen, "norm_ratio_at_fall"), median_of(runs, "norm_ratio")
    verdict: Verdict = "inconclusive"
    if at_least_half(len(fallen), len(runs)) and growth is not None:
        if growth > GROWTH:
            verdict = "confirmed"
        elif growth <= 1:
            verdict = "not confirmed"
    at_fall = "unknown" if growth is None else f"{growth:.2f}"
    return Claim(
        name,
        verdict,
        f"At alpha {GROWING:g} the test loss has fallen in {len(fallen)} of {len(runs)} runs by "
        f"step {last_step_of(runs):,}; the norm of the weights is then {at_fall} times the first, "
        f"and {end or 0:.2f} times at the end (medians).",
        {"n_fallen": len(fallen), "norm_ratio_at_fall": growth, "norm_ratio_at_end": end},
    )


def _judge_addition(addition: dict[tuple[float, float], list[Record]]) -> Claim:
    name = "addition groks from small initial weights, and not from lazy ones within the budget"
    arms = [addition.get(key, []) for key in (GROKS, LAZY_WEIGHTS, LAZY_OUTPUT)]
    fewest = min(len(runs) for runs in arms)
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    n_passed = [count(runs, has("first_crossing_step")) for runs in arms]
    n_fit = [count(runs, has("fit_step")) for runs in arms]
    n_late = count(arms[0], _groks_late)
    most_pass, most_fit = (
        [at_least_half(n, len(runs)) for n, runs in zip(numbers, arms, strict=True)]
        for numbers in (n_passed, n_fit)
    )
    verdict: Verdict = "inconclusive"
    if most_pass[1] or most_pass[2]:
        verdict = "not confirmed"
    elif most_pass[0] and at_least_half(n_late, len(arms[0])) and all(most_fit):
        verdict = "confirmed"
    shown = "; ".join(
        f"initial weights {key[0]:g}, output scale {key[1]:g}: {n} of {len(runs)} pass 95 %"
        f"{_not_by(runs)}"
        for key, n, runs in zip((GROKS, LAZY_WEIGHTS, LAZY_OUTPUT), n_passed, arms, strict=True)
    )
    times = median_of(arms[0], "first_crossing_step"), median_of(arms[0], "fit_step")
    return Claim(
        name,
        verdict,
        f"{shown}. The first passes at {times[0] or math.nan:.0f} after fitting at "
        f"{times[1] or math.nan:.0f} (medians)."
        if times[0] and times[1]
        else f"{shown}.",
        {
            "n_small_weights": n_passed[0],
            "n_large_weights": n_passed[1],
            "n_large_output": n_passed[2],
            "grokking_step_small_weights": times[0],
            "fit_step_small_weights": times[1],
        },
    )


def _groks_late(run: Record) -> bool:
    if run["first_crossing_step"] is None or run["fit_step"] is None:
        return False
    return run["first_crossing_step"] >= ADDITION_DELAY * run["fit_step"]


def _not_by(runs: Runs) -> str:
    late = where(runs, lacks("first_crossing_step"))
    if not late:
        return ""
    accuracy = median_of(late, "test_accuracy_unmirrored")
    seen = (
        "" if accuracy is None else f", {accuracy:.0%} on pairs whose mirror image is not trained"
    )
    return f" (not by {last_step_of(late):,} steps{seen})"


def _lacking(
    name: str, committee: dict[float, list[Record]], wanted: Sequence[float]
) -> Claim | None:
    """Why nothing can be said: too few runs of a condition, or half of them do not fit."""
    fewest = min(
        [len(committee.get(alpha, [])) for alpha in wanted] + list(map(len, committee.values()))
    )
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    for alpha, runs in committee.items():
        n_fit = count(runs, has("fit_step"))
        if at_least_half(len(runs) - n_fit, len(runs)):
            reason = (
                f"Only {n_fit} of {len(runs)} runs at alpha {alpha:g} fit by step "
                f"{last_step_of(runs):,}, so there is nothing to compare."
            )
            return Claim(name, "inconclusive", reason)
    return None


def _has_fallen(run: Record) -> bool:
    return run["fall_step"] is not None


def _delay(run: Record) -> float:
    """Step at which the test loss fell, or the last, over that of the training loss."""
    return (run["fall_step"] or run["last_step"]) / max(run["fit_step"], 1)


def _median_delay(runs: Runs) -> float:
    """Median over the runs that fit their training points; the others have no delay."""
    return median([_delay(run) for run in where(runs, has("fit_step"))] or [1.0])


def _last_share(run: Record) -> float:
    """Last test loss over the largest; infinite where a loss is not finite."""
    if run["test_loss"] is None or not run["max_test_loss"]:
        return math.inf
    return run["test_loss"] / run["max_test_loss"]


def _is_lower_bound(runs: Runs) -> bool:
    """Whether half of the runs or more have not fallen, so that the median is a lower bound."""
    return at_least_half(len(runs) - count(runs, _has_fallen), len(runs))


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _committee_table(committee: dict[float, list[Record]]) -> pd.DataFrame:
    columns = (
        "fit_step",
        "fall_step",
        "max_test_loss",
        "test_loss",
        "kernel_drift",
        "kernel_cosine",
        "first_alignment",
        "last_alignment",
        "weight_movement",
        "norm_ratio",
    )
    rows = [
        {
            "output_scale": alpha,
            "n_runs": len(runs),
            "n_not_fallen": len(runs) - count(runs, _has_fallen),
            "median_delay": _median_delay(runs),
            **{column: median_of(runs, column) for column in columns},
            "last_step": last_step_of(runs),
        }
        for alpha, runs in committee.items()
    ]
    return pd.DataFrame(rows)


def _addition_table(addition: dict[tuple[float, float], list[Record]]) -> pd.DataFrame:
    columns = ("fit_step", "first_crossing_step", "test_accuracy", "test_accuracy_unmirrored")
    rows = [
        {
            "init_scale": first,
            "output_scale": output,
            "n_runs": len(runs),
            "n_not_by_last_step": count(runs, lacks("first_crossing_step")),
            **{column: median_of(runs, column) for column in columns},
            "norm_ratio": median_of(runs, "norm_ratio"),
            "last_step": last_step_of(runs),
        }
        for (first, output), runs in addition.items()
    ]
    return pd.DataFrame(rows)


_NOTES = (
    "In a committee of linear and quadratic neurons the kernel of the initial weights is mostly "
    "linear, and a large cosine with it says little; drift and alignment are read instead.",
    "The test loss of a network without decay can only fall to what its training points "
    "determine: with fewer points the richest networks are late, too (trial runs with 225).",
    "Medians of steps in the tables are over the runs that got there; the others are counted.",
)
