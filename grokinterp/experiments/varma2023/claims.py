"""What circuits trained alone say, by the criterion of ``varma2023``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from grokinterp.experiments.claims import MIN_SEEDS, Claim, Findings, Verdict, at_least_half
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    count,
    is_above,
    is_below,
    last_step_of,
    records_of,
    where,
)
from grokinterp.experiments.varma2023.circuit_charts import circuit_charts
from grokinterp.experiments.varma2023.circuit_comparison import (
    FORGOTTEN_ACCURACY,
    HELD_ACCURACY,
    Circuits,
    has_settled,
)
from grokinterp.experiments.varma2023.efficiency import AT_REST, MATCHED, PER_NORM
from grokinterp.experiments.varma2023.plain_words import found_by
from grokinterp.fields import Number, plain_number
from grokinterp.laws.over_seeds import GeometricMean
from grokinterp.laws.power_law import PowerLaw

MIN_EXPONENT, FLAT_EXPONENT = 0.1, 0.08
NEAR = 1.5
SAME_FACTOR, OTHER_FACTOR = 1.5, 2.0
SEMI_ACCURACY, FITTED_ACCURACY, MIN_SEMI = (0.2, 0.9), 0.99, 2


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Judge the claims by the criterion."""
    if table.empty:
        return Findings((Claim("circuits", "inconclusive", "No run was finished."),))
    runs = records_of(table)
    mains = {decay: Circuits.of(runs, decay) for decay in sorted(by(runs, "weight_decay"))}
    first = mains.get(1.0, next(iter(mains.values())))
    claims = [
        _memorizing_claim(first),
        _generalizing_claim(first),
        _ungrokking_claim(first),
        _critical_claim(first, MATCHED),
        _critical_claim(first, PER_NORM),
    ]
    if not scale.is_quick:
        claims += [_decay_claim(mains), _semi_grokking_claim(runs)]
    return Findings(
        tuple(claims),
        {"circuits": pd.DataFrame([circuits.row() for circuits in mains.values()])},
        circuit_charts(runs, first),
        _NOTES,
        found_by(claims),
    )


def _law_verdict(law: PowerLaw, low: float, high: float) -> Verdict:
    """Confirmed inside, not confirmed outside, inconclusive across a border."""
    if low < law.low and law.high < high:
        return "confirmed"
    return "not confirmed" if law.high < low or law.low > high else "inconclusive"


def _law_claim(name: str, circuits: Circuits, circuit: str, low: float, high: float) -> Claim:
    law = circuits.laws[circuit]
    counted = circuits.memorizing if circuit == "memorizing" else circuits.held
    left_out = (
        f"{len(circuits.unconverged)} more had not converged."
        if circuit == "memorizing"
        else f"{len(circuits.lost)} more were not that circuit alone."
    )
    numbers = {"n": len(counted), "n_sizes": len({row["n_train"] for row in counted})}
    if law is None:
        sentence = f"Only {len(counted)} runs count, too few for an exponent; {left_out}"
        return Claim(name, "inconclusive", sentence, numbers)
    interval = {"exponent": law.exponent, "exponent_low": law.low, "exponent_high": law.high}
    return Claim(
        name,
        _law_verdict(law, low, high),
        f"The norm goes as D^{law.exponent:.3f} (95 % interval {law.low:.3f} to {law.high:.3f}, "
        f"{law.n} runs); {left_out}",
        numbers | {name: plain_number(value) for name, value in interval.items()},
    )


def _memorizing_claim(circuits: Circuits) -> Claim:
    name = "memorizing weighs more for more pairs"
    return _law_claim(name, circuits, "memorizing", MIN_EXPONENT, math.inf)


def _generalizing_claim(circuits: Circuits) -> Claim:
    name = "generalizing weighs the same for any number of pairs"
    return _law_claim(name, circuits, "generalizing", -FLAT_EXPONENT, FLAT_EXPONENT)


def _ungrokking_claim(circuits: Circuits) -> Claim:
    name = "forgets on few pairs, keeps on many"
    by_size = by(circuits.continued, "n_train")
    if len(by_size) < 2:
        return Claim(name, "inconclusive", "Fewer than two sizes have a continued network.")
    few, many = min(by_size), max(by_size)
    below, above = by_size[few], by_size[many]
    n_forgot, n_kept = count(below, _has_forgotten), count(above, _has_kept)
    n_never = count(below, lambda run: not _has_forgotten(run) and has_settled(run))
    verdict: Verdict = "inconclusive"
    if min(len(below), len(above)) >= MIN_SEEDS:
        if n_forgot == len(below) and n_kept == len(above):
            verdict = "confirmed"
        elif at_least_half(n_never, len(below)) or 2 * n_kept <= len(above):
            verdict = "not confirmed"
    n_censored = len(below) - n_forgot - n_never
    later = f" ({n_censored} of the others are not at rest yet)" if n_censored else ""
    return Claim(
        name,
        verdict,
        f"Continued on {few} pairs, {n_forgot} of {len(below)} networks ended below an accuracy of "
        f"{FORGOTTEN_ACCURACY:g}{later}; on {many}, {n_kept} of {len(above)} ended above "
        f"{HELD_ACCURACY:g}.",
        {
            "fewest_pairs": few,
            "most_pairs": many,
            "n_below": len(below),
            "n_forgot": n_forgot,
            "n_above": len(above),
            "n_kept": n_kept,
        },
    )


def _critical_claim(circuits: Circuits, reading: str) -> Claim:
    """Whether half is forgotten at the D_crit of a reading of efficiency."""
    name = f"forgetting sets in at D_crit ({reading})"
    critical, curve = circuits.critical[reading].mean, circuits.curve
    ratio = circuits.middle_over_critical(reading)
    numbers = _numbers("critical_size", critical) | _numbers("middle_over_critical_size", ratio)
    numbers |= _numbers("forgetting_middle", curve and curve.middle)
    if critical is None or curve is None or ratio is None or ratio.n < MIN_SEEDS:
        reason = _why_no_ratio(circuits, reading)
        return Claim(name, "inconclusive", reason, numbers)
    verdict: Verdict = "inconclusive"
    if ratio.is_within(1 / NEAR, NEAR):
        verdict = "confirmed"
    elif ratio.is_outside(1 / NEAR, NEAR) and not _may_yet_forget(circuits, reading):
        verdict = "not confirmed"
    return Claim(
        name,
        verdict,
        f"D_crit by {reading} is {critical.in_words}. Half is forgotten at {curve.middle.in_words} "
        f"pairs (steepness {curve.steepness:.1f}), which is {ratio.in_words} times D_crit in "
        f"{ratio.n} seeds.",
        numbers,
    )


def _why_no_ratio(circuits: Circuits, reading: str) -> str:
    if circuits.curve is None:
        return "No seed forgets on some sizes and keeps on others, so forgetting has no middle."
    prices = [price for _, price in circuits.critical[reading].prices]
    if not prices:
        return f"No seed has networks of both circuits that can be compared by {reading}."
    below, above = sum(price < 1 for price in prices), sum(price > 1 for price in prices)
    return (
        f"By {reading} memorizing is the more efficient circuit in {below} of {len(prices)} runs "
        f"and the less efficient in {above}; in fewer than {MIN_SEEDS} seeds is there a size at "
        "which they are equal, and a middle of forgetting."
    )


def _may_yet_forget(circuits: Circuits, reading: str) -> bool:
    """Whether a run that should have forgotten has not and is not at rest: it may later."""
    critical, curve = circuits.critical[reading].mean, circuits.curve
    if critical is None or curve is None:
        return False
    return any(
        curve.middle.value < run["n_train"] < critical.value
        and not _has_forgotten(run)
        and not has_settled(run)
        for run in circuits.continued
    )


def _numbers(name: str, mean: GeometricMean | None) -> dict[str, Number]:
    if mean is None:
        return {name: None}
    found = {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}
    return {key: plain_number(value) for key, value in found.items()}


def _decay_claim(circuits: Mapping[float, Circuits]) -> Claim:
    name = "D_crit does not depend on weight decay"
    figures = {
        **{
            f"D_crit by {reading}": {d: one.critical[reading].mean for d, one in circuits.items()}
            for reading in (MATCHED, PER_NORM, AT_REST)
        },
        "the middle of forgetting": {
            d: one.curve and one.curve.middle for d, one in circuits.items()
        },
    }
    sizes = {
        what: {decay: mean.value for decay, mean in found.items() if mean is not None}
        for what, found in figures.items()
    }
    if any(len(found) < 2 for found in sizes.values()):
        lacking = ", ".join(what for what, found in sizes.items() if len(found) < 2)
        sentence = f"Fewer than two weight decays have this figure: {lacking}."
        return Claim(name, "inconclusive", sentence)
    factors = {what: max(found.values()) / min(found.values()) for what, found in sizes.items()}
    verdict: Verdict = "inconclusive"
    if max(factors.values()) > OTHER_FACTOR:
        verdict = "not confirmed"
    elif max(factors.values()) < SAME_FACTOR:
        verdict = "confirmed"
    shown = "; ".join(
        f"{what} is {', '.join(f'{size:.0f} at {decay:g}' for decay, size in found.items())}, a "
        f"factor of {factors[what]:.2f}"
        for what, found in sizes.items()
    )
    numbers = {f"factor of {what}": factor for what, factor in factors.items()}
    return Claim(name, verdict, f"{shown[0].upper()}{shown[1:]}.", numbers)


def _semi_grokking_claim(runs: Runs) -> Claim:
    name = "semi-grokking near D_crit"
    by_size = dict(sorted(by(where(runs, circuit="from scratch"), "n_train").items()))
    scratch = [run for at in by_size.values() for run in at]
    if not scratch:
        return Claim(name, "inconclusive", "No run from scratch was finished.", is_main=False)
    low, high = SEMI_ACCURACY
    n_semi, n_grokked = count(scratch, _is_semi_grokked), count(scratch, _has_grokked)
    n_open = count(scratch, lambda run: not _has_grokked(run) and not has_settled(run))
    largest = by_size[max(by_size)]
    has_largest = count(largest, _has_grokked) == len(largest) >= MIN_SEEDS
    verdict: Verdict = "inconclusive"
    if n_semi >= MIN_SEMI:
        verdict = "confirmed"
    elif n_semi == 0 and has_largest and not n_open and n_grokked < len(scratch):
        verdict = "not confirmed"
    shown = ", ".join(
        f"{count(at, _has_grokked)} of {len(at)} on {size} pairs" for size, at in by_size.items()
    )
    return Claim(
        name,
        verdict,
        f"{n_semi} of {len(scratch)} runs from scratch came to rest between {low:g} and {high:g}. "
        f"Grokked: {shown}; {n_open} others are not at rest by step {last_step_of(scratch):,}.",
        {
            "n_runs": len(scratch),
            "n_semi_grokked": n_semi,
            "n_grokked": n_grokked,
            "n_not_at_rest": n_open,
        },
        is_main=False,
    )


def _has_forgotten(run: Record) -> bool:
    return is_below(run, "late_accuracy", FORGOTTEN_ACCURACY)


def _has_kept(run: Record) -> bool:
    return is_above(run, "late_accuracy", HELD_ACCURACY)


def _has_grokked(run: Record) -> bool:
    """Whether a run from scratch is right at its end; it stops soon after."""
    return is_above(run, "test_accuracy_unmirrored", HELD_ACCURACY)


def _is_semi_grokked(run: Record) -> bool:
    low, high = SEMI_ACCURACY
    is_between = is_above(run, "lowest_accuracy", low) and is_below(run, "highest_accuracy", high)
    return is_between and has_settled(run) and is_above(run, "train_accuracy", FITTED_ACCURACY)


_NOTES = (
    "At a matched logit both readings of efficiency say the same, since logit per norm is then a "
    "constant over the norm. They differ because training rests at different logits.",
    "The norm at a matched logit scales all weights of a network by one factor. A transformer with "
    "biases and attention is not homogeneous, so the logit of the scaled network is computed and "
    "not extrapolated.",
    "Test pairs of a continued network include those that it was trained on before; forgetting "
    "is measured on all of them alike.",
    "The paper's semi-grokking took some 10^7 steps modulo 113. Fewer steps modulo 37 without it "
    "are no evidence against it.",
)
