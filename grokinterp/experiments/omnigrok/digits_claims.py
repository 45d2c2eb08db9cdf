"""What perceptrons on digits say: the L, the U, and the delay from large initial weights."""

from __future__ import annotations

import math
from statistics import median

from grokinterp.experiments.claims import MIN_SEEDS, Claim, Verdict, at_least_half, too_few
from grokinterp.experiments.omnigrok.wording import finite, least_median, percent, ratio_of, times
from grokinterp.experiments.records import Record, Runs, count, last_step_of, median_of
from grokinterp.fields import Number

CORNER_RATIO, FLAT_SHARE, STEEP_SHARE = 10.0, 0.01, 0.1
END_RATIO, LOW_END_RATIO = 2.0, 1.2
STILL_FALLING = 0.5
"""A loss that halved over the last half of training is not the lowest of its norm."""
LATE_RATIO, NOT_LATE_RATIO, EARLY_RATIO, ACCURACY_AT_FIT = 3.0, 1.5, 1.0, 0.80
ACCURACY_AT_FIT_MSE = 0.40

LARGE = 8.0
"""Factor of the initial weights that should delay."""


def judge_landscape(name: str, by_norm: dict[float, list[Record]], is_main: bool = True) -> Claim:
    """Judge whether the training loss is L-shaped in the norm, and the test loss U-shaped."""
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
    # Past the best norm the loss should stay down, and not only be down at the end.
    highest = max(range(min(best + 1, len(norms) - 1), len(norms)), key=train.__getitem__)
    corner, flat = train[0] / max(train[best], 1e-300), train[highest] / train[0]
    is_falling = _is_falling(by_norm[norms[highest]])
    verdict: Verdict = "inconclusive"
    if corner >= CORNER_RATIO and flat <= FLAT_SHARE and min(ends) >= END_RATIO:
        verdict = "confirmed"
    elif best in (0, len(norms) - 1) or min(ends) < LOW_END_RATIO:
        verdict = "not confirmed"
    elif flat > STEEP_SHARE and not is_falling:
        verdict = "not confirmed"
    numbers: dict[str, Number] = {
        "best_norm": norms[best],
        "lowest_test_loss": finite(test[best]),
        "test_ratio_at_smallest": finite(ends[0]),
        "test_ratio_at_largest": finite(ends[1]),
        "train_loss_at_smallest": finite(train[0]),
        "train_loss_at_best": finite(train[best]),
        "train_loss_at_largest": finite(train[-1]),
        "highest_train_loss_past_best": finite(train[highest]),
        "is_highest_still_falling": is_falling,
    }
    sentence = (
        f"Test loss is lowest, {test[best]:.3g}, at {norms[best]:g} times the norm of standard "
        f"initial weights, and {ends[0]:.3g} and {ends[1]:.3g} times that at {norms[0]:g} and "
        f"{norms[-1]:g}; the training loss is {train[0]:.3g}, {train[best]:.3g} and "
        f"{train[-1]:.3g} at these three (smallest, best, largest; medians of {fewest} seeds)."
    )
    if flat > FLAT_SHARE and is_falling:
        sentence += (
            f" At {norms[highest]:g} it still fell when training ended, so it is not the lowest."
        )
    return Claim(name, verdict, sentence, numbers, is_main)


def judge_delay(by_scale: dict[float, list[Record]]) -> Claim:
    """Judge whether large initial weights, and they alone, generalize late."""
    name = "large initial weights delay generalization on digits"
    large, standard = by_scale.get(LARGE, []), by_scale.get(1.0, [])
    fewest = min(len(large), len(standard))
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    ratio, standard_ratio = (
        median(ratio_of(run, "crossing_85_step") for run in runs) for runs in (large, standard)
    )
    n_not_by = count(large, lambda run: not math.isfinite(ratio_of(run, "crossing_85_step")))
    at_fit = median_of(large, "accuracy_at_fit")
    verdict: Verdict = "inconclusive"
    if not at_least_half(n_not_by, len(large)) and at_fit is not None:
        is_late = ratio >= LATE_RATIO and at_fit <= ACCURACY_AT_FIT
        if is_late and standard_ratio <= EARLY_RATIO:
            verdict = "confirmed"
        elif ratio < NOT_LATE_RATIO or least_median(standard, "crossing_85_step") > ratio:
            verdict = "not confirmed"
    final, standard_at_fit = (
        median_of(large, "test_accuracy"),
        median_of(standard, "accuracy_at_fit"),
    )
    return Claim(
        name,
        verdict,
        f"With initial weights times {LARGE:g}, 85 % test accuracy comes {times(ratio)} as late "
        f"as 99 % training accuracy ({n_not_by} of {len(large)} not by step "
        f"{last_step_of(large):,}), "
        f"from {percent(at_fit)} at T_fit to {percent(final)} at the end; with standard initial "
        f"weights {times(standard_ratio)}, with {percent(standard_at_fit)} at T_fit (medians). A "
        "partial grok, on digits instead of MNIST.",
        {
            "ratio_large": finite(ratio),
            "ratio_standard": finite(standard_ratio),
            "n_not_by_last_step": n_not_by,
            "accuracy_at_fit_large": at_fit,
            "accuracy_at_end_large": final,
        },
    )


def judge_delay_mse(runs: Runs) -> Claim:
    """Judge the same with squared error, where the test accuracy begins lower."""
    name = "with squared error the delay is from lower"
    if len(runs) < MIN_SEEDS:
        return too_few(name, len(runs), is_main=False)
    ratios = [ratio_of(run, "crossing_80_step") for run in runs]
    n_not_by = count(runs, lambda run: not math.isfinite(ratio_of(run, "crossing_80_step")))
    at_fit, final = median_of(runs, "accuracy_at_fit"), median_of(runs, "test_accuracy")
    is_seen = median(ratios) >= LATE_RATIO and (at_fit or 0.0) <= ACCURACY_AT_FIT_MSE
    verdict: Verdict = "confirmed" if is_seen else "not confirmed"
    if at_least_half(n_not_by, len(runs)) or at_fit is None:
        verdict = "inconclusive"
    return Claim(
        name,
        verdict,
        f"Test accuracy {percent(at_fit)} at T_fit and {percent(final)} at the end; 80 % comes "
        f"{times(median(ratios))} as late as T_fit ({n_not_by} of {len(runs)} not by step "
        f"{last_step_of(runs):,}).",
        {
            "accuracy_at_fit": at_fit,
            "accuracy_at_end": final,
            "ratio": finite(median(ratios)),
            "n_not_by_last_step": n_not_by,
        },
        is_main=False,
    )


def _is_falling(runs: Runs) -> bool:
    """Whether the training loss at least halved over the last half of training."""
    earlier, last = median_of(runs, "half_train_loss"), median_of(runs, "train_loss")
    return earlier is not None and last is not None and last <= STILL_FALLING * earlier


def _loss(run: Record, column: str) -> float:
    """Last loss; one that stopped being finite is larger than all."""
    return math.inf if run[column] is None or run["diverged_at"] is not None else run[column]
