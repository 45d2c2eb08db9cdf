"""What runs at a held norm, and from large initial weights, say for ``omnigrok``."""

from __future__ import annotations

import math
from statistics import median

import pandas as pd

from grokinterp.errors import FitError
from grokinterp.experiments.claims import (
    MIN_SEEDS,
    Claim,
    Findings,
    Verdict,
    at_least_half,
    too_few,
)
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.omnigrok.charts import (
    CLAMPED,
    DECAYED,
    DELAY,
    DELAY_MSE,
    LANDSCAPE,
    LANDSCAPE_MSE,
    norm_charts,
)
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
)
from grokinterp.fields import Number
from grokinterp.laws.survival import CensoredFit, fit_censored_power_law

FITTED = 0.99
"""Training accuracy of T_fit."""
CORNER_RATIO, FLAT_SHARE, STEEP_SHARE = 10.0, 0.01, 0.1
END_RATIO, LOW_END_RATIO = 2.0, 1.2
LATE_RATIO, NOT_LATE_RATIO, EARLY_RATIO, ACCURACY_AT_FIT = 3.0, 1.5, 1.0, 0.80
ACCURACY_AT_FIT_MSE = 0.40
CLAMPED_RATIO, CLAMPED_RATIO_HIGH, DECAYED_RATIO = 1.5, 2.0, 2.0
HIGH_NORM, HIGHEST_FITTED_NORM = 1.2, 1.4
PUBLISHED_RATE = 7.5

LARGE = 8.0
"""Factor of the initial weights that should delay."""


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion."""
    arms = {arm: by(at, "init_scale") for arm, at in by(records_of(table), "arm").items()}
    clamped = arms.get(CLAMPED, {})
    decayed = arms.get(DECAYED, {}).get(1.0, [])
    fit = _fit_of(clamped)
    claims = [
        _judge_landscape("L and U on digits", arms.get(LANDSCAPE, {})),
        _judge_delay(arms.get(DELAY, {})),
        _judge_clamp(clamped.get(1.0, []), decayed),
        _judge_clock(clamped, fit),
    ]
    if LANDSCAPE_MSE in arms:
        name = "L and U on digits, squared error"
        claims.append(_judge_landscape(name, arms[LANDSCAPE_MSE], is_main=False))
    if DELAY_MSE in arms:
        claims.append(_judge_delay_mse(arms[DELAY_MSE].get(LARGE, [])))
    tables = {"conditions": _summary(arms)} if arms else {}
    return Findings(tuple(claims), tables, norm_charts(arms, fit), _NOTES)


def _judge_landscape(name: str, by_norm: dict[float, list[Record]], is_main: bool = True) -> Claim:
    fewest = min((len(runs) for runs in by_norm.values()), default=0)
    if fewest < MIN_SEEDS or len(by_norm) < 3:
        return too_few(name, fewest, is_main=is_main)
    norms = sorted(by_norm)
    train, test = (
        [median(_loss(run, column) for run in by_norm[w]) for w in norms]
        for column in ("train_loss", "test_loss")
    )
    best = test.index(min(test))
    ends = test[0] / test[best], test[-1] / test[best]
    corner, flat = train[0] / max(train[best], 1e-300), train[-1] / train[0]
    verdict: Verdict = "inconclusive"
    if corner >= CORNER_RATIO and flat <= FLAT_SHARE and min(ends) >= END_RATIO:
        verdict = "confirmed"
    elif best in (0, len(norms) - 1) or min(ends) < LOW_END_RATIO or flat > STEEP_SHARE:
        verdict = "not confirmed"
    numbers: dict[str, Number] = {
        "best_norm": norms[best],
        "lowest_test_loss": _finite(test[best]),
        "test_ratio_at_smallest": _finite(ends[0]),
        "test_ratio_at_largest": _finite(ends[1]),
        "train_loss_at_smallest": _finite(train[0]),
        "train_loss_at_best": _finite(train[best]),
        "train_loss_at_largest": _finite(train[-1]),
    }
    sentence = (
        f"Test loss is lowest, {test[best]:.3g}, at {norms[best]:g} times the norm of standard "
        f"initial weights, and {ends[0]:.3g} and {ends[1]:.3g} times that at {norms[0]:g} and "
        f"{norms[-1]:g}; the training loss is {train[0]:.3g}, {train[best]:.3g} and "
        f"{train[-1]:.3g} at these three (smallest, best, largest; medians of {fewest} seeds)."
    )
    return Claim(name, verdict, sentence, numbers, is_main)


def _judge_delay(by_scale: dict[float, list[Record]]) -> Claim:
    name = "large initial weights delay generalization on digits"
    large, standard = by_scale.get(LARGE, []), by_scale.get(1.0, [])
    fewest = min(len(large), len(standard))
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    ratio, standard_ratio = (
        median(_ratio(run, "crossing_85_step") for run in runs) for runs in (large, standard)
    )
    n_not_by = count(large, lambda run: not math.isfinite(_ratio(run, "crossing_85_step")))
    at_fit = median_of(large, "accuracy_at_fit")
    verdict: Verdict = "inconclusive"
    if not at_least_half(n_not_by, len(large)) and at_fit is not None:
        is_late = ratio >= LATE_RATIO and at_fit <= ACCURACY_AT_FIT
        if is_late and standard_ratio <= EARLY_RATIO:
            verdict = "confirmed"
        elif ratio < NOT_LATE_RATIO or _least_median(standard, "crossing_85_step") > ratio:
            verdict = "not confirmed"
    final, standard_at_fit = (
        median_of(large, "test_accuracy"),
        median_of(standard, "accuracy_at_fit"),
    )
    return Claim(
        name,
        verdict,
        f"With initial weights times {LARGE:g}, 85 % test accuracy comes {_times(ratio)} as late "
        f"as 99 % training accuracy ({n_not_by} of {len(large)} not by step "
        f"{last_step_of(large):,}), "
        f"from {_percent(at_fit)} at T_fit to {_percent(final)} at the end; with standard initial "
        f"weights {_times(standard_ratio)}, with {_percent(standard_at_fit)} at T_fit (medians). A "
        "partial grok, on digits instead of MNIST.",
        {
            "ratio_large": _finite(ratio),
            "ratio_standard": _finite(standard_ratio),
            "n_not_by_last_step": n_not_by,
            "accuracy_at_fit_large": at_fit,
            "accuracy_at_end_large": final,
        },
    )


def _judge_delay_mse(runs: Runs) -> Claim:
    name = "with squared error the delay is from lower"
    if len(runs) < MIN_SEEDS:
        return too_few(name, len(runs), is_main=False)
    ratios = [_ratio(run, "crossing_80_step") for run in runs]
    n_not_by = count(runs, lambda run: not math.isfinite(_ratio(run, "crossing_80_step")))
    at_fit, final = median_of(runs, "accuracy_at_fit"), median_of(runs, "test_accuracy")
    is_seen = median(ratios) >= LATE_RATIO and (at_fit or 0.0) <= ACCURACY_AT_FIT_MSE
    verdict: Verdict = "confirmed" if is_seen else "not confirmed"
    if at_least_half(n_not_by, len(runs)) or at_fit is None:
        verdict = "inconclusive"
    return Claim(
        name,
        verdict,
        f"Test accuracy {_percent(at_fit)} at T_fit and {_percent(final)} at the end; 80 % comes "
        f"{_times(median(ratios))} as late as T_fit ({n_not_by} of {len(runs)} not by step "
        f"{last_step_of(runs):,}).",
        {
            "accuracy_at_fit": at_fit,
            "accuracy_at_end": final,
            "ratio": _finite(median(ratios)),
            "n_not_by_last_step": n_not_by,
        },
        is_main=False,
    )


def _judge_clamp(clamped: Runs, decayed: Runs) -> Claim:
    name = "a held norm removes the delay on addition"
    fewest = min(len(clamped), len(decayed))
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    held, free = (
        median(_ratio(run, "first_crossing_step") for run in runs) for runs in (clamped, decayed)
    )
    least_held, least_free = (
        _least_median(runs, "first_crossing_step") for runs in (clamped, decayed)
    )
    verdict: Verdict = "inconclusive"
    if held <= CLAMPED_RATIO and least_free >= DECAYED_RATIO:
        verdict = "confirmed"
    elif least_held > CLAMPED_RATIO_HIGH or least_held >= free:
        verdict = "not confirmed"
    fits = median_of(clamped, "fit_step"), median_of(decayed, "fit_step")
    norms = median_of(clamped, "first_norm"), median_of(decayed, "last_norm")
    return Claim(
        name,
        verdict,
        f"T_grok / T_fit is {_number(held)} with the norm held at {_number(norms[0])} (T_fit "
        f"{_number(fits[0])}) and {_number(free)} with weight decay (T_fit {_number(fits[1])}, "
        f"norm {_number(norms[1])} at the end); medians. "
        f"Not by the last step: {_n_censored(clamped)} of {len(clamped)} and "
        f"{_n_censored(decayed)} of {len(decayed)}.",
        {
            "ratio_norm_held": _finite(held),
            "ratio_weight_decay": _finite(free),
            "n_not_by_norm_held": _n_censored(clamped),
            "n_not_by_weight_decay": _n_censored(decayed),
        },
    )


def _judge_clock(clamped: dict[float, list[Record]], fit: CensoredFit | str) -> Claim:
    name = "a larger held norm delays grokking, and does not remove it"
    fewest = min((len(runs) for runs in clamped.values()), default=0)
    if fewest < MIN_SEEDS or len(clamped) < 3:
        return too_few(name, fewest)
    high = [run for rho, runs in clamped.items() if rho >= HIGH_NORM for run in runs]
    n_grokked = count(high, has("first_crossing_step"))
    seen = (
        f"{n_grokked} of {len(high)} runs held at {HIGH_NORM:g} times the norm of standard initial "
        f"weights or more grok; the others not by step {last_step_of(high):,}."
    )
    numbers: dict[str, Number] = {"n_high": len(high), "n_high_grokked": n_grokked}
    if isinstance(fit, str):
        return Claim(name, "inconclusive", f"{seen} No fit: {fit}", numbers)
    numbers |= {
        "rate": fit.slope,
        "rate_low": _finite(fit.low),
        "rate_high": _finite(fit.high),
        "n": fit.n,
        "n_censored": fit.n_censored,
        "published_rate": PUBLISHED_RATE,
    }
    verdict: Verdict = "inconclusive"
    if not fit.low > 0:
        verdict = "not confirmed"
    elif high and at_least_half(n_grokked, len(high)):
        verdict = "confirmed"
    return Claim(
        name,
        verdict,
        f"{seen} T_grok is proportional to exp({fit.slope:.1f} rho), 95 % interval "
        f"{fit.low:.1f} to {fit.high:.1f} ({fit.n} runs, {fit.n_censored} censored); published: "
        f"{PUBLISHED_RATE} with rho in units of the norm at grokking.",
        numbers,
    )


def _fit_of(clamped: dict[float, list[Record]]) -> CensoredFit | str:
    """Rate of log T_grok in the norm: a power law in exp(rho); or why there is none."""
    runs = [r for rho, at in clamped.items() if 1 <= rho <= HIGHEST_FITTED_NORM for r in at]
    try:
        return fit_censored_power_law(
            [math.exp(run["init_scale"]) for run in runs],
            [run["grokking_time"] for run in runs],
            [bool(run["is_censored"]) for run in runs],
            [run["seed"] for run in runs],
        )
    except FitError as error:
        return str(error)


def _ratio(run: Record, column: str) -> float:
    """Step of a column over T_fit; infinite where the run did not get to either."""
    if run[column] is None or run["fit_step"] is None:
        return math.inf
    return run[column] / max(run["fit_step"], 1)


def _least_median(runs: Runs, column: str) -> float:
    """Median of what the ratios are at least: a run that did not get there took longer."""
    return median(_least_ratio(run, column) for run in runs)


def _least_ratio(run: Record, column: str) -> float:
    if run["fit_step"] is None:
        return 0.0
    step = run["last_step"] if run[column] is None else run[column]
    return step / max(run["fit_step"], 1)


def _loss(run: Record, column: str) -> float:
    """Last loss; one that stopped being finite is larger than all."""
    return math.inf if run[column] is None or run["diverged_at"] is not None else run[column]


def _n_censored(runs: Runs) -> int:
    return count(runs, lacks("first_crossing_step"))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "not reached" if value is None or not math.isfinite(value) else f"{value:.3g}"


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if math.isfinite(ratio) else "more times than was trained for"


def _percent(share: float | None) -> str:
    return "unknown accuracy" if share is None else f"{share:.0%}"


def _summary(arms: dict[str, dict[float, list[Record]]]) -> pd.DataFrame:
    rows = [
        {
            "arm": arm,
            "init_scale": factor,
            "n_runs": len(runs),
            "fit_step": median_of(runs, "fit_step"),
            "grokking_time": median_of(runs, "first_crossing_step"),
            "n_not_by_last_step": _n_censored(runs),
            "crossing_85_step": median_of(runs, "crossing_85_step"),
            "accuracy_at_fit": median_of(runs, "accuracy_at_fit"),
            "test_accuracy": median_of(runs, "test_accuracy"),
            "test_accuracy_unmirrored": median_of(runs, "test_accuracy_unmirrored"),
            "train_loss": median_of(runs, "train_loss"),
            "test_loss": median_of(runs, "test_loss"),
            "first_norm": median_of(runs, "first_norm"),
            "last_norm": median_of(runs, "last_norm"),
            "last_step": last_step_of(runs),
        }
        for arm, by_scale in arms.items()
        for factor, runs in sorted(by_scale.items())
    ]
    return pd.DataFrame(rows)


_NOTES = (
    "That the norm is a clock and not a gate is the later reading: with the norm held, grokking "
    "time grows exponentially with it (arXiv:2606.13753), and a delay of log(norm at "
    "memorization / norm after) over the rate of decay fits free runs (arXiv:2603.13331).",
    "A commutative operation gives away the answer of every test pair whose mirror image is "
    "trained: the table has the accuracy on the others.",
    "Medians of steps in the table are over the runs that got there; n_not_by_last_step says how "
    "many did not pass 95 %, which the digits need not.",
)
