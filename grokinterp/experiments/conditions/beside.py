"""Comparisons beside the table: sharpness, Grokfast, noise as a dose, and natural data."""

from __future__ import annotations

import math

import pandas as pd

from grokinterp.experiments.claims import LATE, MIN_SEEDS, Claim, Verdict
from grokinterp.experiments.conditions.finer import (
    SHARE_CONFIRMED,
    SHARE_REFUTED,
    thirds_verdict,
)
from grokinterp.experiments.conditions.outcomes import Table
from grokinterp.experiments.conditions.rows import NATURAL
from grokinterp.experiments.conditions.settings import GROKFAST, NO_NOISE, NOISE, REFERENCES
from grokinterp.experiments.records import (
    Record,
    count,
    has,
    is_crossed,
    last_step_of,
    median_of,
    median_time,
    smallest_of,
    where,
)

LEAST_STRENGTHS = 3
"""Strengths of noise that have to be tried before it is said that none of them does it."""
SMALLER = 0.5
"""Part of the reference's rise up to which a rise is hard to detect."""
STANDARD_ERRORS = 2.0
"""Standard errors of a test accuracy up to which a rise may be chance."""


def beside_claims(table: Table) -> list[Claim]:
    """Return the claims on several settings at once; none of them counts for the question."""
    return [_noise(table), _hard_to_detect(table), _sharpness(table), _sooner(table)]


def doses(table: Table) -> pd.DataFrame:
    """Gradient noise by strength, without noise first: when networks crossed, or not within."""
    rows = []
    for name, strength in {NO_NOISE: 0.0, **NOISE}.items():
        runs = table.of(name)
        if not runs:
            continue
        crossed = where(runs, is_crossed)
        without = where(runs, lambda run: not is_crossed(run))
        rows.append(
            {
                "gradient_noise": strength,
                "n_runs": len(runs),
                "n_crossed": len(crossed),
                "first_crossing": smallest_of(crossed, "grokking_time"),
                "median_crossing": median_time(runs),
                "not_within_steps": last_step_of(without) or None,
                "median_memorization_step": median_of(runs, "memorization_step"),
                "median_train_accuracy": median_of(runs, "train_accuracy"),
                "median_accuracy_unmirrored": median_of(runs, "test_accuracy_unmirrored"),
            }
        )
    return pd.DataFrame(rows)


def _noise(table: Table) -> Claim:
    shares = {name: _share_crossed(table, name) for name in (NO_NOISE, *NOISE)}
    parts = []
    for name, strength in {NO_NOISE: 0.0, **NOISE}.items():
        runs = table.of(name)
        if runs:
            parts.append(
                f"{count(runs, is_crossed)} of {len(runs)} at strength {strength:g} "
                f"(by step {last_step_of(runs):,})"
            )
    seen = ", ".join(parts) or "no runs"
    sentence = f"Gradient noise without weight decay, crossings of 95 %: {seen}."
    known = [share for name, share in shares.items() if name != NO_NOISE and share is not None]
    best = max(known, default=None)
    return Claim(
        "gradient noise",
        _noise_verdict(known, shares[NO_NOISE]),
        sentence,
        {"largest_share": best, "share_without": shares[NO_NOISE], "n_strengths": len(known)},
        is_main=False,
    )


def _share_crossed(table: Table, name: str) -> float | None:
    """Share of the runs that crossed; None where too few of the others were followed."""
    runs = table.of(name)
    known = where(runs, lambda run: is_crossed(run) or table.is_followed(run))
    if len(known) < max(len(runs), MIN_SEEDS):
        return None
    return count(known, is_crossed) / len(known)


def _noise_verdict(shares: list[float], without: float | None) -> Verdict:
    rounding = 1e-9
    if not shares or without is None:
        return "inconclusive"
    best = max(shares)
    if best >= SHARE_CONFIRMED - rounding and best > without:
        return "confirmed"
    is_none = best <= SHARE_REFUTED + rounding or best <= without
    return "not confirmed" if is_none and len(shares) >= LEAST_STRENGTHS else "inconclusive"


def _hard_to_detect(table: Table) -> Claim:
    natural = where(table.of_row(NATURAL), has("accuracy_when_memorized"))
    late = where(natural, lambda run: run["outcome_kind"] in LATE)
    structured = where(table.of(REFERENCES["transformer"]), lambda run: run["outcome_kind"] in LATE)
    rise, usual = (median_of([_with_rise(r) for r in runs], "rise") for runs in (late, structured))
    n_masked = count(natural, _is_masked)
    verdict: Verdict = "inconclusive"
    if min(len(late), len(structured)) >= MIN_SEEDS and rise is not None and usual is not None:
        verdict = "confirmed" if rise <= SMALLER * usual else "not confirmed"
    shown, expected = ("none" if value is None else f"{value:.2f}" for value in (rise, usual))
    return Claim(
        "late generalization is harder to detect on natural data",
        verdict,
        f"Median rise of the test accuracy after memorization in late runs: {shown} on natural "
        f"data, {expected} on addition. In {n_masked} of {len(natural)} runs on natural data the "
        "rise is within two standard errors of a test accuracy.",
        {
            "n_late": len(late),
            "median_rise": rise,
            "median_rise_structured": usual,
            "n_masked": n_masked,
            "n_memorized": len(natural),
        },
        is_main=False,
    )


def _with_rise(run: Record) -> Record:
    before, after = run["accuracy_when_memorized"], run["largest_accuracy_after"]
    return {"rise": None if before is None or after is None else after - before}


def _is_masked(run: Record) -> bool:
    best = run["largest_accuracy_after"]
    error = math.sqrt(best * (1 - best) / run["n_test"])
    return best - run["accuracy_when_memorized"] <= STANDARD_ERRORS * error


def _sharpness(table: Table) -> Claim:
    runs = table.of(REFERENCES["transformer"])
    late = where(runs, lambda run: run["outcome_kind"] in LATE)
    n_sharp = count(late, lambda run: run["outcome_kind"] == "grokked")
    return Claim(
        "late generalization is sharp",
        thirds_verdict(n_sharp, len(late)),
        f"{n_sharp} of {len(late)} late runs with weight decay have a transition of at most half "
        "their delay, on test pairs whose mirror image is not trained.",
        {"n_late": len(late), "n_sharp": n_sharp},
        is_main=False,
    )


def _sooner(table: Table) -> Claim:
    times = [
        {run["seed"]: run["grokking_time"] for run in where(table.of(name), is_crossed)}
        for name in (REFERENCES["transformer"], GROKFAST)
    ]
    both = sorted(times[0].keys() & times[1].keys())
    n_sooner = sum(times[1][seed] < times[0][seed] for seed in both)
    pairs = ", ".join(f"{times[1][s]:,.0f} instead of {times[0][s]:,.0f}" for s in both)
    return Claim(
        "Grokfast comes sooner",
        thirds_verdict(n_sooner, len(both)),
        f"With Grokfast {n_sooner} of {len(both)} seeds cross 95 % earlier"
        + (f": at step {pairs}." if both else "."),
        {"n_seeds": len(both), "n_sooner": n_sooner},
        is_main=False,
    )
