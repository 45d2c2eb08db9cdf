"""The exponential law of grokking times at a held norm, and whether it holds: clock or gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal

from grokinterp.errors import FitError
from grokinterp.experiments.claims import MIN_SEEDS, Claim, Verdict, at_least_half, too_few
from grokinterp.experiments.omnigrok.wording import finite
from grokinterp.experiments.records import Record, Runs, count, has
from grokinterp.laws.lack_of_fit import LackOfFit, measure_lack_of_fit
from grokinterp.laws.survival import CensoredFit, fit_censored_power_law

KEPT_LEVEL, REJECTED_LEVEL = 0.05, 0.01
"""p-values of the test of fit from which on the law is kept, and below which it is rejected."""
FEWEST_BELOW = 3
"""Norms through which the law has to go before it predicts the next."""
LONG_BUDGET = 10.0
"""In units of the predicted time: a run that has not generalized by then is late."""
PUBLISHED_RATE = 7.5
ByNorm = Mapping[float, list[Record]]
Reading = Literal["clock", "gate", "later than the law", "another law", "no delay", "open"]


@dataclass(frozen=True)
class Law:
    """The exponential law through one arm, and what tests of fit say about it."""

    fit: CensoredFit
    """Of all runs."""
    overall: LackOfFit
    """Against a mean of its own at every norm."""
    last: LackOfFit
    """Of the judged norm alone, against the law through those below it."""
    judged_norm: float
    """The smallest at which fewer than half of the runs generalized, or else the largest."""
    predicted: float
    """Median over seeds of the law through the norms below, at the judged norm."""
    least_ratio: float
    """Median over its runs of T_grok over the prediction; of censored runs, at least."""
    n_grokked: int
    """At the judged norm."""
    n_judged: int

    @property
    def reading(self) -> Reading:
        """Return what the runs speak for; see the criterion."""
        if not self.fit.low > 0:
            return "no delay"
        is_later = self.last.p_value < REJECTED_LEVEL and (self.last.shift or 0.0) > 0
        if is_later and self.n_grokked == 0:
            return "gate" if self.least_ratio >= LONG_BUDGET else "open"
        if is_later:
            return "later than the law"
        if self.overall.p_value < REJECTED_LEVEL:
            return "another law"
        is_kept = min(self.overall.p_value, self.last.p_value) >= KEPT_LEVEL
        return "clock" if is_kept and at_least_half(self.n_grokked, self.n_judged) else "open"


def law_of(by_norm: ByNorm) -> Law | str:
    """Fit and test log T_grok = a_seed + k rho; or return why that is not possible."""
    norms = sorted(rho for rho in by_norm if rho >= 1)
    late = [rho for rho in norms if not at_least_half(_n_grokked(by_norm[rho]), len(by_norm[rho]))]
    judged = min(late, default=max(norms, default=0.0))
    below = [rho for rho in norms if rho < judged]
    if len(below) < FEWEST_BELOW:
        return f"{len(below)} norms lie below the first late one, and {FEWEST_BELOW} are needed."
    try:
        lower = fit_censored_power_law(*law_columns(by_norm, below))
        ratios = [
            run["grokking_time"] / math.exp(lower.intercepts[run["seed"]] + lower.slope * judged)
            for run in by_norm[judged]
            if run["seed"] in lower.intercepts
        ]
        at = [math.exp(a + lower.slope * judged) for a in lower.intercepts.values()]
        return Law(
            fit=fit_censored_power_law(*law_columns(by_norm, norms)),
            overall=measure_lack_of_fit(*law_columns(by_norm, norms)),
            last=measure_lack_of_fit(
                *law_columns(by_norm, [*below, judged]), apart=[math.exp(judged)]
            ),
            judged_norm=judged,
            predicted=median(at),
            least_ratio=median(ratios) if ratios else 0.0,
            n_grokked=_n_grokked(by_norm[judged]),
            n_judged=len(by_norm[judged]),
        )
    except FitError as error:
        return str(error)


def judge_clock(name: str, by_norm: ByNorm, law: Law | str) -> Claim:
    """Judge whether grokking is delayed exponentially by the held norm, and not removed."""
    fewest = min((len(runs) for runs in by_norm.values()), default=0)
    if fewest < MIN_SEEDS or len(by_norm) < FEWEST_BELOW:
        return too_few(name, fewest)
    if isinstance(law, str):
        return Claim(name, "inconclusive", f"No test of fit: {law}", {"reading": "open"})
    fit, reading = law.fit, law.reading
    verdict: Verdict = "not confirmed"
    if reading in ("clock", "open"):
        verdict = "confirmed" if reading == "clock" else "inconclusive"
    seen = (
        f"At {law.judged_norm:g} times the norm of standard initial weights {law.n_grokked} of "
        f"{law.n_judged} runs generalized, in {'at least ' if law.n_grokked < law.n_judged else ''}"
        f"{law.least_ratio:.3g} times the {law.predicted:,.0f} steps that the exponential through "
        f"the smaller norms predicts (median; p = {law.last.p_value:.2g})."
    )
    return Claim(
        name,
        verdict,
        f"{seen} T_grok is proportional to exp({fit.slope:.1f} rho), 95 % interval {fit.low:.1f} "
        f"to {fit.high:.1f}, through all norms ({fit.n} runs, {fit.n_censored} censored; test of "
        f"fit: p = {law.overall.p_value:.2g}); published: {PUBLISHED_RATE} with rho in units of "
        f"the norm at grokking. {_MEANINGS[reading]}",
        {
            "reading": reading,
            "rate": fit.slope,
            "rate_low": finite(fit.low),
            "rate_high": finite(fit.high),
            "p_fit": law.overall.p_value,
            "judged_norm": law.judged_norm,
            "p_judged_norm": law.last.p_value,
            "predicted": law.predicted,
            "least_ratio": law.least_ratio,
            "n_judged": law.n_judged,
            "n_judged_grokked": law.n_grokked,
            "n": fit.n,
            "n_censored": fit.n_censored,
            "published_rate": PUBLISHED_RATE,
        },
    )


_MEANINGS: dict[Reading, str] = {
    "clock": "So the norm is a clock: it delays, exponentially.",
    "gate": "So it looks like a gate: no run passed there, long after the exponential says it "
    "should. A longer run may.",
    "later than the law": "So runs pass there, and later than exponentially.",
    "another law": "So the times do not lie on an exponential.",
    "no delay": "So a larger norm is not seen to delay.",
    "open": "So clock or gate is open.",
}


def _n_grokked(runs: Runs) -> int:
    return count(runs, has("first_crossing_step"))


def law_columns(
    by_norm: ByNorm, norms: list[float]
) -> tuple[list[float], list[float | int], list[bool], list[int]]:
    """Return exp(rho), times, flags and seeds: an exponential law is a power law in exp(rho)."""
    runs = [run for rho in norms for run in by_norm[rho]]
    return (
        [math.exp(run["init_scale"]) for run in runs],
        [run["grokking_time"] for run in runs],
        [bool(run["is_censored"]) for run in runs],
        [run["seed"] for run in runs],
    )
