"""What runs say about a claim of a paper, and the rules of judging that questions share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.experiments.chart import Chart
from grokinterp.fields import Number

Verdict = Literal["confirmed", "not confirmed", "inconclusive"]
VERDICTS: tuple[str, ...] = get_args(Verdict)

MIN_SEEDS = 2
"""Runs that every condition of a claim needs, or it is inconclusive."""
LATE = ("grokked", "slow_convergence")
"""Outcomes of a run that generalized long after it memorized its training set; the first is
sharp."""
AT_ONCE = ("generalized_without_delay", "generalized_before_memorizing")
"""Outcomes of a run that generalized about when it memorized its training set, or before."""
GENERALIZED = (*LATE, *AT_ONCE)
"""Outcomes of a run that generalized and kept it, whenever and however sharply."""
NOT_GENERALIZED = ("memorized", "did_not_fit")
"""Outcomes of a run that had not generalized by its last step. Such a run is censored: it says
"not within N steps", and a longer one may end otherwise."""
COLLAPSED = "collapsed"
"""Outcome of a run that lost for good what it had reached. It is in none of the groups above: it
did generalize for a time, where it has a grokking step, and it has not kept it."""
NOT_SETTLED = "not_settled"
"""Outcome of a run that neither kept nor lost what it had reached. It is in none of the groups
above either, and refutes nothing."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, and what these runs say about it."""

    name: str
    """Short, such as ``slope of the log-log fit``."""
    verdict: Verdict
    sentence: str
    """What was seen, with its numbers."""
    numbers: Mapping[str, Number] = field(default_factory=dict)
    """The figures that the verdict rests on, by name."""
    is_main: bool = True
    """Whether the verdict on the question depends on it; False for a remark beside it."""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ConfigError(
                f"verdict={self.verdict!r} is not known. Choose one of {', '.join(VERDICTS)}."
            )
        for name, number in self.numbers.items():
            if isinstance(number, float) and math.isnan(number):
                raise ConfigError(
                    f"{name} of the claim {self.name!r} is NaN. Give None, and the reason in the "
                    "sentence."
                )


@dataclass(frozen=True, eq=False)
class Findings:
    """What a judge makes of the table of runs."""

    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Summaries by name; each becomes a table of the report and ``NAME.csv``."""
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on what limits the claims, or is known against them, with sources."""
    found: str = ""
    """What was found, in two to five sentences for a reader who knows none of the terms: the first
    thing that the report, the command and the page say. Made from the runs, as the claims are, and
    no claim of its own."""

    @property
    def verdict(self) -> Verdict:
        """Verdict on the whole question: see :func:`overall_verdict`."""
        return overall_verdict(self.claims)


def overall_verdict(claims: Sequence[Claim]) -> Verdict:
    """Return the verdict on a question whose claims were judged one by one.

    Only main claims count. ``not confirmed`` as soon as one of them is; otherwise
    ``inconclusive`` as soon as one of them is, or where there is none; otherwise ``confirmed``.

    Examples
    --------
    >>> seen = Claim("a", "confirmed", "Seen."), Claim("b", "inconclusive", "Too few seeds.")
    >>> overall_verdict(seen), overall_verdict(seen[:1])
    ('inconclusive', 'confirmed')
    """
    verdicts = {claim.verdict for claim in claims if claim.is_main}
    if "not confirmed" in verdicts:
        return "not confirmed"
    return "confirmed" if verdicts == {"confirmed"} else "inconclusive"


def too_few(name: str, n_runs: int, *, of: str = "a condition", is_main: bool = True) -> Claim:
    """Return the claim that cannot be judged, because a condition has fewer than MIN_SEEDS runs.

    Examples
    --------
    >>> too_few("spikes", 1).sentence
    '1 runs of a condition are too few; 2 are needed in each.'
    """
    sentence = f"{n_runs} runs of {of} are too few; {MIN_SEEDS} are needed in each."
    return Claim(name, "inconclusive", sentence, {"n_runs": n_runs}, is_main)


def at_least_half(n: int, n_all: int) -> bool:
    """Whether `n` of `n_all` runs are half of them or more; none of none is.

    Examples
    --------
    >>> at_least_half(1, 2), at_least_half(1, 3)
    (True, False)
    """
    return 2 * n >= n_all


def share_verdict(
    n_yes: int,
    n_all: int,
    *,
    confirmed_from: float,
    refuted_up_to: float | None = None,
    refuted_below: float | None = None,
    least: int = MIN_SEEDS,
) -> Verdict:
    """Judge a claim by the share of the runs, or of the comparisons, for which it holds.

    Parameters
    ----------
    n_yes, n_all
        How many hold, of how many that are conclusive: censored ones that say neither are in
        neither number.
    confirmed_from
        Share from which on the claim is confirmed.
    refuted_up_to, refuted_below
        Share up to which, or below which, it is not confirmed. Give one of the two.
    least
        With fewer than this it is inconclusive.

    Examples
    --------
    >>> share_verdict(2, 3, confirmed_from=2 / 3, refuted_up_to=1 / 3)
    'confirmed'
    >>> share_verdict(1, 2, confirmed_from=0.8, refuted_below=0.5)
    'inconclusive'
    """
    if n_all < max(least, 1):
        return "inconclusive"
    share, rounding = n_yes / n_all, 1e-9  # thirds are not floats
    if share >= confirmed_from - rounding:
        return "confirmed"
    if refuted_up_to is not None and share <= refuted_up_to + rounding:
        return "not confirmed"
    if refuted_below is not None and share < refuted_below - rounding:
        return "not confirmed"
    return "inconclusive"
