"""The exponents of the times to generalize, each with two intervals, and what they say of -1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from grokinterp.errors import FitError
from grokinterp.experiments.claims import Claim, Verdict
from grokinterp.experiments.records import Runs, by, is_above, is_censored, is_crossed, where
from grokinterp.fields import Number, plain_number
from grokinterp.laws.bootstrap import MIN_GROUPS, BootstrapInterval
from grokinterp.laws.survival import CensoredFit, bootstrap_slope, fit_censored_power_law

LAW = "slope of log T against log λ for 0 < λ <= 1"
DELAY_LAW = "slope of the delay after memorization for 0 < λ <= 1"
EXPECTED_SLOPE = -1.0
STEEPEST_SLOPE, SHALLOWEST_SLOPE = -1.5, -0.5
BRANCH_END = 1.0
"""Largest λ of the branch on which the law is fitted."""
MIN_LAMBDAS, ENOUGH_LAMBDAS = 3, 6
"""Values of λ at which a run generalized: for a fit, and for the law to be confirmed."""
MAX_CENSORED = 0.4


def judge_time(branch: Runs) -> tuple[CensoredFit | None, Claim]:
    """Fit the exponent of the time to generalize and compare it with -1."""
    times = [run["grokking_time"] for run in branch]
    fit, claim = _judge(LAW, "T", branch, times)
    naive = _naive_slope(where(branch, is_crossed))
    numbers = {**claim.numbers, "slope_without_censored_runs": naive}
    return fit, Claim(LAW, claim.verdict, claim.sentence, numbers)


def judge_delay(branch: Runs) -> Claim:
    """Fit the exponent of the delay; runs that did not memorize have none."""
    late = _late(branch)
    return _judge(DELAY_LAW, "the delay", late, _delays(late))[1]


def slopes_by_seed(branch: Runs) -> list[dict[str, Number]]:
    """Return the exponents of each seed by itself, None where its runs do not determine one."""
    rows: list[dict[str, Number]] = []
    for seed, runs in sorted(by(branch, "seed").items()):
        late = _late(runs)
        fit = _fit(runs, [run["grokking_time"] for run in runs])
        delay = _fit(late, _delays(late))
        rows.append(
            {
                "seed": seed,
                "n_runs": len(runs),
                "n_censored": len(runs) - len(where(runs, is_crossed)),
                "slope": fit and fit.slope,
                "slope_of_delay": delay and delay.slope,
            }
        )
    return rows


def _late(branch: Runs) -> Runs:
    return where(
        branch,
        lambda run: (
            run["memorization_step"] is not None
            and is_above(run, "grokking_time", run["memorization_step"])
        ),
    )


def _delays(late: Runs) -> list[float]:
    return [run["grokking_time"] - run["memorization_step"] for run in late]


def _judge(
    name: str, what: str, runs: Runs, times: Sequence[int | float]
) -> tuple[CensoredFit | None, Claim]:
    crossed = where(runs, is_crossed)
    n, n_censored = len(runs), len(runs) - len(crossed)
    n_lambdas = len(by(crossed, "weight_decay"))
    counts = {"n_runs": n, "n_censored": n_censored, "n_weight_decays": n_lambdas}
    doubt = _too_little(runs, crossed)
    fit = None if doubt else _fit(runs, times)
    drawn = None if fit is None else _drawn(runs, times)
    if fit is None or drawn is None:
        reason = doubt or "the runs do not determine a slope, a scatter and an interval"
        sentence = f"Not fitted: {reason} ({n} runs, {n_censored} of them censored)."
        return fit, Claim(name, "inconclusive", sentence, counts)
    low, high = min(fit.low, drawn.low), max(fit.high, drawn.high)
    numbers = counts | {
        "slope": fit.slope,
        "low": low,
        "high": high,
        "profile_low": fit.low,
        "profile_high": fit.high,
        "bootstrap_low": drawn.low,
        "bootstrap_high": drawn.high,
        "sigma": fit.sigma,
    }
    contains = "contains" if low <= EXPECTED_SLOPE <= high else "does not contain"
    sentence = (
        f"The slope of {what} is {fit.slope:.2f}. By the profile likelihood its 95 % interval is "
        f"{_interval(fit)}, by drawing the {drawn.n_groups} seeds again {_interval(drawn)}; both "
        f"together are {low:.2f} to {high:.2f}, which {contains} -1. {n} runs at {n_lambdas} "
        f"values of λ, {n_censored} of them censored; at one λ and seed the times scatter by a "
        f"factor of {math.exp(fit.sigma):.2f}."
    )
    plain = {key: plain_number(value) for key, value in numbers.items()}
    return fit, Claim(name, _verdict(low, high, n_lambdas), sentence, plain)


def _verdict(low: float, high: float, n_lambdas: int) -> Verdict:
    if not low <= EXPECTED_SLOPE <= high:
        return "not confirmed"
    is_narrow = low > STEEPEST_SLOPE and high < SHALLOWEST_SLOPE
    return "confirmed" if is_narrow and n_lambdas >= ENOUGH_LAMBDAS else "inconclusive"


def _interval(of: CensoredFit | BootstrapInterval) -> str:
    return f"{of.low:.2f} to {of.high:.2f}"


def _too_little(runs: Runs, crossed: Runs) -> str | None:
    """Say what the branch lacks for a fit, or None."""
    if len(by(runs, "seed")) < MIN_GROUPS:
        return f"fewer than {MIN_GROUPS} seeds"
    if len(by(crossed, "weight_decay")) < MIN_LAMBDAS:
        return f"fewer than {MIN_LAMBDAS} values of λ at which a run generalized"
    if len(runs) - len(crossed) > MAX_CENSORED * len(runs):
        return f"more than {MAX_CENSORED:.0%} of the runs are censored"
    return None


def _fit(runs: Runs, times: Sequence[int | float]) -> CensoredFit | None:
    try:
        return fit_censored_power_law(*_data(runs, times))
    except FitError:
        return None


def _drawn(runs: Runs, times: Sequence[int | float]) -> BootstrapInterval | None:
    try:
        return bootstrap_slope(*_data(runs, times))
    except FitError:
        return None


def _data(
    runs: Runs, times: Sequence[int | float]
) -> tuple[list[float], Sequence[int | float], list[bool], list[int]]:
    decays, seeds = ([run[name] for run in runs] for name in ("weight_decay", "seed"))
    return decays, times, [is_censored(run) for run in runs], seeds


def _naive_slope(crossed: Runs) -> float | None:
    """Least squares of log T on log λ with an intercept for every seed, censored runs dropped."""
    xy = []
    for runs in by(crossed, "seed").values():
        logs = np.log([(run["weight_decay"], run["grokking_time"]) for run in runs])
        xy.append(logs - logs.mean(axis=0))
    x, y = np.concatenate(xy).T if xy else (np.zeros(1), np.zeros(1))
    return float(x @ y / (x @ x)) if x @ x > 0 else None
