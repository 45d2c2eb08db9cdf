"""What transformers on addition say at a held norm, compared with their neighbors."""

from __future__ import annotations

from statistics import median

from grokinterp.errors import FitError
from grokinterp.experiments.claims import MIN_SEEDS, Claim, Verdict, share_verdict, too_few
from grokinterp.experiments.omnigrok.held_norm_law import (
    FEWEST_BELOW,
    ByNorm,
    Law,
    law_columns,
)
from grokinterp.experiments.omnigrok.wording import (
    finite,
    least_median,
    n_censored,
    number,
    ratio_of,
)
from grokinterp.experiments.records import Record, Runs, median_of, median_time
from grokinterp.laws.survival import fit_censored_power_law

CLAMPED_RATIO, CLAMPED_RATIO_HIGH, DECAYED_RATIO = 1.5, 2.0, 2.0
SLOWED_RATIO, SLOWED_FROM, SLOWED_UP_TO = 3.0, 0.8, 0.5
HIGH_NORM = 1.4
USUAL_EPSILON = 1e-8


def judge_clamp(clamped: Runs, decayed: Runs) -> Claim:
    """Judge whether grokking at a held standard norm comes with the fit, and sooner than free."""
    name = "a held norm removes the delay on addition"
    fewest = min(len(clamped), len(decayed))
    if fewest < MIN_SEEDS:
        return too_few(name, fewest)
    held, free = (
        median(ratio_of(run, "first_crossing_step") for run in runs) for runs in (clamped, decayed)
    )
    least_held, least_free = (
        least_median(runs, "first_crossing_step") for runs in (clamped, decayed)
    )
    # A ratio near 1 may also come from fitting late, which removes nothing.
    steps = [median(float(run["grokking_time"]) for run in runs) for runs in (clamped, decayed)]
    verdict: Verdict = "inconclusive"
    if held <= CLAMPED_RATIO and least_free >= DECAYED_RATIO and steps[0] < steps[1]:
        verdict = "confirmed"
    elif least_held > CLAMPED_RATIO_HIGH or least_held >= free:
        verdict = "not confirmed"
    fits = median_of(clamped, "fit_step"), median_of(decayed, "fit_step")
    norms = median_of(clamped, "first_norm"), median_of(decayed, "last_norm")
    return Claim(
        name,
        verdict,
        f"T_grok / T_fit is {number(held)} with the norm held at {number(norms[0])} (T_fit "
        f"{number(fits[0])}) and {number(free)} with weight decay (T_fit {number(fits[1])}, "
        f"norm {number(norms[1])} at the end); medians. "
        f"Not by the last step: {n_censored(clamped)} of {len(clamped)} and "
        f"{n_censored(decayed)} of {len(decayed)}.",
        {
            "ratio_norm_held": finite(held),
            "ratio_weight_decay": finite(free),
            "time_norm_held": steps[0],
            "time_weight_decay": steps[1],
            "n_not_by_norm_held": n_censored(clamped),
            "n_not_by_weight_decay": n_censored(decayed),
        },
    )


def judge_vanishing(usual: ByNorm, kept: ByNorm) -> Claim:
    """Judge whether large norms are late because Adam's updates vanish there."""
    name = "at large norms it is vanishing updates that hold generalization up"
    pairs = [
        (slow, quick)
        for rho in usual
        if rho >= HIGH_NORM
        for slow in usual[rho]
        for quick in kept.get(rho, [])
        if slow["seed"] == quick["seed"]
    ]
    if len(pairs) < MIN_SEEDS:
        return too_few(name, len(pairs), of="the pairs of a norm and a seed", is_main=False)
    answers = [_is_slowed(slow, quick) for slow, quick in pairs]
    slowed = [slow for (slow, _), answer in zip(pairs, answers, strict=True) if answer]
    n_known = sum(answer is not None for answer in answers)
    verdict = share_verdict(
        len(slowed), n_known, confirmed_from=SLOWED_FROM, refuted_up_to=SLOWED_UP_TO
    )
    gradient = median_of(slowed, "last_gradient")
    if verdict == "confirmed" and not (gradient is not None and gradient < USUAL_EPSILON):
        verdict = "inconclusive"
    medians = [median_time([pair[side] for pair in pairs]) for side in (0, 1)]
    return Claim(
        name,
        verdict,
        f"From {HIGH_NORM:g} times the norm of standard initial weights on, {len(slowed)} of "
        f"{n_known} runs with Adam's usual epsilon took at least {SLOWED_RATIO:g} times as long as "
        f"the same network with one of 1e-20 ({len(pairs) - n_known} of {len(pairs)} pairs say "
        f"neither); median T_grok {number(medians[0])} and {number(medians[1])}. When they ended "
        f"their gradients were {number(gradient)} a weight (epsilon {USUAL_EPSILON:g}; root mean "
        "square, median).",
        {
            "n_slowed": len(slowed),
            "n_pairs": n_known,
            "n_pairs_undecided": len(pairs) - n_known,
            "gradient_of_slowed": gradient,
            "time_usual_epsilon": medians[0],
            "time_small_epsilon": medians[1],
        },
        is_main=False,
    )


def judge_other_loss(stable: ByNorm, law: Law | str) -> Claim:
    """Judge whether the norm delays under a loss whose gradient falls off slowly, too."""
    name = "a held large norm delays by itself, under a loss whose gradient does not vanish"
    fewest = min((len(runs) for runs in stable.values()), default=0)
    if fewest < MIN_SEEDS or len(stable) < FEWEST_BELOW:
        return too_few(name, fewest, is_main=False)
    try:
        fit = fit_censored_power_law(*law_columns(stable, sorted(stable)))
    except FitError as error:
        return Claim(name, "inconclusive", f"No fit: {error}", is_main=False)
    norms = sorted(stable)
    ends = [median_time(stable[norm]) for norm in (norms[0], norms[-1])]
    gradient = median_of([run for runs in stable.values() for run in runs], "last_gradient")
    verdict: Verdict = "not confirmed"
    if fit.low > 0:
        is_alive = gradient is not None and gradient > USUAL_EPSILON
        verdict = "confirmed" if is_alive else "inconclusive"
    rate = "not known" if isinstance(law, str) else f"exp({law.fit.slope:.1f} rho)"
    return Claim(
        name,
        verdict,
        f"Under StableMax T_grok is proportional to exp({fit.slope:.1f} rho), 95 % interval "
        f"{fit.low:.1f} to {fit.high:.1f} ({fit.n} runs, {fit.n_censored} censored), median "
        f"{number(ends[0])} at {norms[0]:g} and {number(ends[1])} at {norms[-1]:g}; gradients end "
        f"at {number(gradient)} a weight (epsilon {USUAL_EPSILON:g}). Under cross-entropy with a "
        f"small epsilon it is {rate}.",
        {
            "rate": fit.slope,
            "rate_low": finite(fit.low),
            "rate_high": finite(fit.high),
            "rate_cross_entropy": None if isinstance(law, str) else law.fit.slope,
            "gradient_at_end": gradient,
            "n": fit.n,
            "n_censored": fit.n_censored,
        },
        is_main=False,
    )


def _is_slowed(slow: Record, quick: Record) -> bool | None:
    """Whether a run took long against its neighbor; None where censored times do not say."""
    ratio = slow["grokking_time"] / max(quick["grokking_time"], 1)
    if quick["is_censored"]:
        # The neighbor takes longer than that: the ratio is an upper bound where `slow` is seen.
        return None if slow["is_censored"] or ratio >= SLOWED_RATIO else False
    if slow["is_censored"]:
        return True if ratio >= SLOWED_RATIO else None
    return ratio >= SLOWED_RATIO
