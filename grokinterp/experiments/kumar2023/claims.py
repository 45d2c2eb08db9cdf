"""What lazy and rich networks say by the criterion of ``kumar2023``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

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
from grokinterp.experiments.kumar2023.delays import (
    Committee,
    addition_table,
    committee_table,
    has_fallen,
    is_lower_bound,
    median_delay,
    median_ratio,
    median_share,
)
from grokinterp.experiments.kumar2023.plain_words import found_by
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

RICH, LATE, LAZY = 0.1, 5.0, 20.0
"""Output scales that the claims name."""
NO_DELAY, SOME_DELAY, LATE_DELAY = 1.5, 3.0, 3.0
TREND_SLACK = 0.9
NEAR_FLOOR, FAR_FROM_FLOOR = 1.25, 1.5
"""Factors between the last test loss and that of regression with the first kernel."""
MIN_LAZY_SCALES = 3
GROWING_DELAY = 2.0
"""Median delay from which on there is one in which a norm can grow."""
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
        _judge_floor(committee),
        _judge_limit(committee),
        _judge_kernel(committee),
        _judge_growth(committee),
        _judge_addition(addition),
    )
    summaries = {COMMITTEE: committee_table(committee), ADDITION: addition_table(addition)}
    tables = {name: rows for name, rows in summaries.items() if len(rows)}
    return Findings(claims, tables, lazy_charts(committee), _NOTES, found_by(claims))


def _judge_delay(committee: Committee) -> Claim:
    name = "the lazier, the later the test loss falls"
    lacking = _lacking(name, committee, (RICH, LATE))
    if lacking:
        return lacking
    delays = {alpha: median_delay(runs) or math.nan for alpha, runs in committee.items()}
    # A lower bound cannot show that the delay falls.
    is_rising = all(
        is_lower_bound(committee[after]) or delays[after] >= TREND_SLACK * delays[before]
        for before, after in pairwise(delays)
    )
    # Where half of the runs have not fallen, the delay is a lower bound of a larger one.
    late = math.inf if is_lower_bound(committee[LATE]) else delays[LATE]
    verdict: Verdict = "inconclusive"
    if delays[RICH] >= min(late, SOME_DELAY):
        verdict = "not confirmed"
    elif (
        delays[RICH] <= NO_DELAY
        and not is_lower_bound(committee[RICH])
        and delays[LATE] >= LATE_DELAY
        and is_rising
    ):
        verdict = "confirmed"
    shown = ", ".join(
        f"{'> ' if is_lower_bound(committee[alpha]) else ''}{delay:.2f} at alpha {alpha:g}"
        for alpha, delay in delays.items()
    )
    return Claim(
        name,
        verdict,
        f"The test loss falls below 10 % of its first value {shown} times as late as the training "
        "loss does (medians; > where half of the runs have not fallen by their last step).",
        {f"delay_alpha_{alpha:g}": delay for alpha, delay in delays.items()},
    )


def _judge_floor(committee: Committee) -> Claim:
    name = f"at alpha {LAZY:g} a network ends where its first kernel does"
    lacking = _lacking(name, {LAZY: committee.get(LAZY, [])}, (LAZY,))
    if lacking:
        return lacking
    runs = committee[LAZY]
    ratio, n_fallen = median_ratio(runs), count(runs, has_fallen)
    if ratio is None:
        return Claim(name, "inconclusive", "Half of the last test losses are not finite.")
    verdict: Verdict = "inconclusive"
    if _is_far(ratio):
        verdict = "not confirmed"
    elif _is_near(ratio):
        verdict = "confirmed"
    shares = {
        name: median_share(runs, column)
        for name, column in (
            ("end", "test_loss"),
            ("kernel", "kernel_loss"),
            ("kernel_limit", "kernel_loss_limit"),
            ("kernel_least", "kernel_loss_least"),
        )
    }
    shown = {name: "unknown" if share is None else f"{share:.0%}" for name, share in shares.items()}
    return Claim(
        name,
        verdict,
        f"By step {last_step_of(runs):,} the test loss is at {shown['end']} of its first value; "
        f"regression with the first kernel, stopped at the same step, is at {shown['kernel']} "
        f"({shown['kernel_limit']} not stopped, {shown['kernel_least']} at its best stop), and the "
        f"ratio of the two is {ratio:.2f} (medians). {n_fallen} of {len(runs)} test losses have "
        "fallen below 10 %.",
        {"ratio": ratio, "n_fallen": n_fallen}
        | {f"{name}_share": share for name, share in shares.items()},
    )


def _judge_limit(committee: Committee) -> Claim:
    name = "the lazier, the nearer to the regression with the first kernel"
    lazy = {alpha: runs for alpha, runs in committee.items() if alpha >= LATE}
    if LATE not in lazy or len(lazy) < MIN_LAZY_SCALES:
        reason = f"{len(lazy)} of alpha {LATE:g} and above; {MIN_LAZY_SCALES} are needed."
        return Claim(name, "inconclusive", reason)
    lacking = _lacking(name, lazy, tuple(lazy))
    if lacking:
        return lacking
    found = {alpha: median_ratio(runs) for alpha, runs in lazy.items()}
    ratios = {alpha: ratio for alpha, ratio in found.items() if ratio is not None and ratio > 0}
    if len(ratios) < len(lazy):
        reason = "At some alpha half of the last test losses are not finite."
        return Claim(name, "inconclusive", reason)
    distances = [abs(math.log(ratio)) for ratio in ratios.values()]
    last = ratios[max(ratios)]
    verdict: Verdict = "inconclusive"
    if _is_far(last) or distances[-1] >= distances[0]:
        verdict = "not confirmed"
    elif _is_near(last) and all(a > b for a, b in pairwise(distances)):
        verdict = "confirmed"
    shown = ", ".join(f"{ratio:.2f} at alpha {alpha:g}" for alpha, ratio in ratios.items())
    return Claim(
        name,
        verdict,
        f"The last test loss is {shown} times that of regression with the first kernel (medians).",
        {f"ratio_alpha_{alpha:g}": ratio for alpha, ratio in ratios.items()}
        | {"largest_alpha": max(ratios)},
    )


def _is_near(ratio: float) -> bool:
    return 1 / NEAR_FLOOR <= ratio <= NEAR_FLOOR


def _is_far(ratio: float) -> bool:
    return not 1 / FAR_FROM_FLOOR <= ratio <= FAR_FROM_FLOOR


def _judge_kernel(committee: Committee) -> Claim:
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


def _judge_growth(committee: Committee) -> Claim:
    name = "the norm grows while it groks, without decay"
    lacking = _lacking(name, committee, ())
    if lacking:
        return lacking
    late = {
        alpha: runs
        for alpha, runs in committee.items()
        if (median_delay(runs) or 0) >= GROWING_DELAY
        and at_least_half(count(runs, has_fallen), len(runs))
    }
    if not late:
        reason = (
            f"At no alpha does the test loss fall at least {GROWING_DELAY:g} times as late as the "
            "training loss, in half of the runs, so there is no delay in which a norm could grow."
        )
        return Claim(name, "inconclusive", reason)
    found = {alpha: median_of(runs, "norm_growth_in_delay") for alpha, runs in late.items()}
    growths = {alpha: growth for alpha, growth in found.items() if growth is not None}
    verdict: Verdict = "inconclusive"
    if any(growth <= 1 for growth in growths.values()):
        verdict = "not confirmed"
    elif len(growths) == len(late) and all(growth > GROWTH for growth in growths.values()):
        verdict = "confirmed"
    shown = ", ".join(f"{growth:.2f} at alpha {alpha:g}" for alpha, growth in growths.items())
    return Claim(
        name,
        verdict,
        f"From the fall of the training loss to that of the test loss the norm of the weights "
        f"becomes {shown} times as large (medians, where the delay is at least "
        f"{GROWING_DELAY:g}).",
        {f"growth_alpha_{alpha:g}": growth for alpha, growth in growths.items()},
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


def _lacking(name: str, committee: Committee, wanted: Sequence[float]) -> Claim | None:
    """Why nothing can be said: too few runs of a condition, or half of them do not fit."""
    fewest = min(
        [len(committee.get(alpha, [])) for alpha in wanted] + list(map(len, committee.values())),
        default=0,
    )
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    for alpha, runs in committee.items():
        n_fit = count(runs, has("train_fall_step"))
        if at_least_half(len(runs) - n_fit, len(runs)):
            reason = (
                f"The training loss of only {n_fit} of {len(runs)} runs at alpha {alpha:g} has "
                f"fallen by step {last_step_of(runs):,}, so there is nothing to compare."
            )
            return Claim(name, "inconclusive", reason)
    return None


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


_NOTES = (
    "The learning rate is that of the paper's large alpha at every alpha, so a step is the same "
    "time for the linearized network; where features move, the network is faster than that.",
    "In a committee of linear and quadratic neurons the kernel of the initial weights is mostly "
    "linear, and a large cosine with it says little; drift and alignment are read instead.",
    "The test loss of a network without decay can only fall to what its training points "
    "determine: with fewer points the richest networks are late, too (trial runs with 225).",
    "Medians of steps in the tables are over the runs that got there; the others are counted.",
)
