"""What circuits trained alone say, by the criterion of ``varma2023``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from grokinterp.experiments.claims import Claim, Findings, Verdict, at_least_half
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    count,
    is_above,
    is_below,
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
from grokinterp.fields import plain_number
from grokinterp.laws.power_law import PowerLaw

MIN_EXPONENT, FLAT_EXPONENT = 0.1, 0.08
FAR, NEAR, WIDEST_BRACKET = 1.7, 1.5, 4.0
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
        _bracket_claim(first),
    ]
    if not scale.is_quick:
        claims += [_decay_claim(mains), _semi_grokking_claim(runs)]
    return Findings(
        tuple(claims),
        {"circuits": pd.DataFrame([circuits.row() for circuits in mains.values()])},
        circuit_charts(runs, first),
        _NOTES,
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
    name = "forgets below D_crit, keeps above"
    critical = circuits.critical_size
    if critical is None:
        return Claim(name, "inconclusive", "The norms of the two circuits give no D_crit.")
    below = where(circuits.continued, lambda run: run["n_train"] < critical / FAR)
    above = where(circuits.continued, lambda run: run["n_train"] > critical * FAR)
    n_forgot, n_kept = count(below, _has_forgotten), count(above, _has_kept)
    n_never = count(below, lambda run: not _has_forgotten(run) and has_settled(run))
    verdict: Verdict = "inconclusive"
    if below and above and n_forgot == len(below) and n_kept == len(above):
        verdict = "confirmed"
    elif below and above:
        is_refuted = at_least_half(n_never, len(below)) or 2 * n_kept <= len(above)
        verdict = "not confirmed" if is_refuted else "inconclusive"
    n_censored = len(below) - n_forgot - n_never
    later = f" ({n_censored} of the others are not at rest yet)" if n_censored else ""
    return Claim(
        name,
        verdict,
        f"D_crit is {critical:.0f}. Below D_crit / {FAR:g}, {n_forgot} of {len(below)} runs "
        f"ended below an accuracy of {FORGOTTEN_ACCURACY:g}{later}; above {FAR:g} D_crit, {n_kept} "
        f"of {len(above)} ended above {HELD_ACCURACY:g}.",
        {
            "critical_size": critical,
            "n_below": len(below),
            "n_forgot": n_forgot,
            "n_above": len(above),
            "n_kept": n_kept,
        },
    )


def _bracket_claim(circuits: Circuits) -> Claim:
    name = "forgetting sets in at D_crit"
    critical, (low, high) = circuits.critical_size, circuits.forgetting
    numbers = {"critical_size": critical, "forgets_up_to": low, "keeps_from": high}
    if critical is None or low is None or high is None:
        sentence = "There is no D_crit, or no size at which all forget, or none at which all keep."
        return Claim(name, "inconclusive", sentence, numbers)
    # Runs that should have forgotten, and may yet.
    censored = where(
        circuits.continued,
        lambda run: high <= run["n_train"] < critical and not has_settled(run),
    )
    if high > WIDEST_BRACKET * low:
        verdict: Verdict = "inconclusive"
    elif low / NEAR <= critical <= high * NEAR:
        verdict = "confirmed"
    else:
        verdict = "inconclusive" if critical > high and censored else "not confirmed"
    return Claim(
        name,
        verdict,
        f"All runs forget up to {low} pairs and keep from {high} pairs on; the norms are equal "
        f"at {critical:.0f}.",
        numbers,
    )


def _decay_claim(circuits: Mapping[float, Circuits]) -> Claim:
    name = "D_crit does not depend on weight decay"
    found = {decay: one.critical_size for decay, one in circuits.items()}
    numbers = {f"critical_size_at_{decay:g}": size for decay, size in found.items()}
    sizes = [size for size in found.values() if size is not None]
    if len(sizes) < 2:
        return Claim(name, "inconclusive", "Fewer than two weight decays have a D_crit.", numbers)
    factor = max(sizes) / min(sizes)
    verdict: Verdict = "not confirmed" if factor > OTHER_FACTOR else "inconclusive"
    if factor < SAME_FACTOR:
        verdict = "confirmed"
    shown = ", ".join(f"{size:.0f} at {decay:g}" for decay, size in found.items() if size)
    sentence = f"D_crit is {shown}: a factor of {factor:.2f}."
    return Claim(name, verdict, sentence, numbers | {"factor": factor})


def _semi_grokking_claim(runs: Runs) -> Claim:
    name = "semi-grokking near D_crit"
    scratch = where(runs, circuit="from scratch")
    low, high = SEMI_ACCURACY
    n_semi, n_grokked = count(scratch, _is_semi_grokked), count(scratch, _has_kept)
    n_censored = count(scratch, lambda run: not _has_kept(run) and not has_settled(run))
    if n_semi >= MIN_SEMI:
        verdict: Verdict = "confirmed"
    else:
        is_crossed = 0 < n_grokked < len(scratch) and not n_censored
        verdict = "not confirmed" if n_semi == 0 and is_crossed else "inconclusive"
    return Claim(
        name,
        verdict,
        f"{n_semi} of {len(scratch)} runs from scratch came to rest between {low:g} and {high:g}; "
        f"{n_grokked} grokked, and the others did not within their steps.",
        {"n_runs": len(scratch), "n_semi_grokked": n_semi, "n_grokked": n_grokked},
        is_main=False,
    )


def _has_forgotten(run: Record) -> bool:
    return is_below(run, "late_accuracy", FORGOTTEN_ACCURACY)


def _has_kept(run: Record) -> bool:
    return is_above(run, "late_accuracy", HELD_ACCURACY)


def _is_semi_grokked(run: Record) -> bool:
    low, high = SEMI_ACCURACY
    is_between = is_above(run, "lowest_accuracy", low) and is_below(run, "highest_accuracy", high)
    return is_between and is_above(run, "train_accuracy", FITTED_ACCURACY)


_NOTES = (
    "Logit per norm is Varma et al.'s efficiency for homogeneous networks. A transformer with "
    "biases and attention is not homogeneous, so D_crit is read off the norms at which training "
    "under the same weight decay comes to rest.",
    "Test pairs of a continued network include those that it was trained on before; forgetting "
    "is measured on all of them alike.",
    "The paper's semi-grokking took some 10^7 steps modulo 113. A few thousand steps modulo 37 "
    "without it are no evidence against it.",
)
