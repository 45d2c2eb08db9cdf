"""How good a warning is: thresholds fixed on some configurations, judged on others. Pure numpy.

An alarm is the first checkpoint, from the memorization step on, at which a measure is beyond its
threshold. A threshold is the mildest that at most 5 % of the runs that do not grok cross, on one
half of the configurations; the other half is judged by it, and the other way round, so that every
run is judged once by a threshold that it had no part in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from grokinterp.laws.bootstrap import expanded_tail

Ending = Literal["groks", "cannot", "censored"]
Direction = Literal[1, -1]
MOST_FALSE_ALARMS = 0.05
"""Part of the runs that do not grok which may cross a threshold, where it is fixed."""
N_DRAWS = 1000
"""Bootstrap draws of configurations."""


@dataclass(frozen=True, eq=False)
class WatchedCurve:
    """One measure along one run, from the memorization step on.

    Examples
    --------
    >>> curve = WatchedCurve("p=23", "groks", np.array([100, 200, 300]), np.array([0.1, 0.5, 0.9]),
    ...     memorization_step=100, grokking_step=300)
    >>> curve.before_jump.tolist(), curve.alarm(0.4, 1), curve.lead(0.4, 1), curve.lead(0.6, 1)
    ([0.1, 0.5], 200, 100, 0)
    """

    setting: str
    """Configuration; runs that differ in their seeds alone have the same."""
    ending: Ending
    """``groks``; ``cannot``: nothing to generalize to; ``censored``: not within its steps."""
    steps: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    memorization_step: int
    grokking_step: int | None = None
    """None unless it groks."""

    @property
    def before_jump(self) -> Float[np.ndarray, " m"]:
        """Values that a warning may come from: since memorization and before the jump."""
        return self.values[self._is_watched]

    @property
    def _is_watched(self) -> np.ndarray:
        is_watched = self.steps >= self.memorization_step
        if self.grokking_step is not None:
            is_watched &= self.steps < self.grokking_step
        return is_watched

    def extreme(self, direction: Direction) -> float:
        """Return the largest of direction times value; NaN where there is no value."""
        values = direction * self.before_jump
        known = values[~np.isnan(values)]
        return float(known.max()) if len(known) else np.nan

    def alarm(self, threshold: float, direction: Direction) -> int | None:
        """Return the first watched step with direction times value above the threshold."""
        is_watched = self._is_watched
        with np.errstate(invalid="ignore"):
            beyond = direction * self.values[is_watched] > threshold
        return int(self.steps[is_watched][beyond.argmax()]) if beyond.any() else None

    def lead(self, threshold: float, direction: Direction) -> int:
        """Return the steps from the alarm to the jump; 0 where there was no alarm before it."""
        assert self.grokking_step is not None
        alarm = self.alarm(threshold, direction)
        return 0 if alarm is None else self.grokking_step - alarm


@dataclass(frozen=True)
class Rule:
    """When a measure gives an alarm."""

    direction: Direction
    """1: when it rises above the threshold; -1: when it falls below minus the threshold."""
    threshold: float
    """Of direction times value."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval over configurations; NaN where there are too few."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Score:
    """What a measure is worth as a warning."""

    n_groks: int
    n_cannot: int
    n_censored: int
    rules: tuple[Rule, Rule]
    """Fixed on the first half of the configurations, and on the second."""
    warned: Estimate
    """Share of the grokking runs with an alarm before the jump."""
    lead: Estimate
    """Median over all grokking runs, in steps; a run that was not warned has a lead of 0."""
    lead_quartiles: tuple[float, float]
    lead_over_grokking: tuple[float, float, float]
    """Quartiles of the lead over the grokking step."""
    lead_over_memorization: tuple[float, float, float]
    """Quartiles of the lead over the memorization step."""
    false_alarms_cannot: Estimate
    """Share of the runs that cannot grok which had an alarm."""
    false_alarms_censored: Estimate
    auc: Estimate
    """Chance that a grokking run before its jump goes further than a run that does not grok."""


def threshold_of(extremes: Float[np.ndarray, " run"], *, most: float = MOST_FALSE_ALARMS) -> float:
    """Return the mildest threshold that at most this part of the runs goes beyond.

    Examples
    --------
    >>> threshold_of(np.arange(20.0)), threshold_of(np.arange(10.0))
    (18.0, 9.0)
    """
    ordered = np.sort(extremes)[::-1]
    return float(ordered[int(most * len(ordered))])


def rule_of(
    curves: Sequence[WatchedCurve],
    *,
    direction: Direction | None = None,
    most: float = MOST_FALSE_ALARMS,
) -> Rule:
    """Fix the threshold of a measure, and its direction unless that is declared.

    The direction learned is the one in which more of the grokking runs are warned; where both warn
    of as many, the one with the larger area under the curve.
    """
    found = []
    for sign in (1, -1) if direction is None else (direction,):
        others = np.array([c.extreme(sign) for c in curves if c.ending != "groks"])
        before = np.array([c.extreme(sign) for c in curves if c.ending == "groks"])
        limit = threshold_of(others, most=most)
        found.append(((float((before > limit).mean()), _auc(before, others)), Rule(sign, limit)))
    return max(found, key=lambda one: one[0])[1]


def halves_of(curves: Sequence[WatchedCurve], seed: int = 0) -> np.ndarray:
    """Assign each run the half, 0 or 1, of its configuration.

    Configurations are drawn apart for each ending, so that both halves have all three.
    """
    ending: dict[str, list[str]] = {}
    for curve in curves:
        ending.setdefault(curve.setting, []).append(curve.ending)
    generator = np.random.default_rng(seed)
    half: dict[str, int] = {}
    for kind in ("groks", "cannot", "censored"):
        names = [name for name in sorted(ending) if _usual(ending[name]) == kind]
        order = generator.permutation(len(names))
        start = int(generator.integers(2))
        half |= {names[k]: (place + start) % 2 for place, k in enumerate(order)}
    return np.array([half[curve.setting] for curve in curves])


def _usual(endings: list[str]) -> str:
    return max(sorted(set(endings)), key=endings.count)


def score(
    curves: Sequence[WatchedCurve],
    *,
    direction: Direction | None = None,
    most: float = MOST_FALSE_ALARMS,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Score | str:
    """Judge one measure on runs that grok and runs that do not.

    Parameters
    ----------
    curves
        The measure along every run; runs in which it has no value are left out.
    direction
        Whether it rises or falls before grokking; None: learned where the threshold is fixed.
    most
        Part of the runs that do not grok which may cross the threshold where it is fixed.
    seed
        Of the halves and of the draws.
    n_draws
        Bootstrap draws of configurations, with thresholds held fixed.

    Returns
    -------
    Score or str
        The reason where there are too few runs.

    References
    ----------
    Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69,
    2015, section 4.3 (expanded percentile intervals).
    """
    curves = [curve for curve in curves if not np.isnan(curve.extreme(1))]
    halves = halves_of(curves, seed)
    parts = [[c for c, of in zip(curves, halves, strict=True) if of == half] for half in (0, 1)]
    for part in parts:
        n_groks = sum(curve.ending == "groks" for curve in part)
        if not n_groks or n_groks == len(part):
            kind = "groks" if not n_groks else "does not grok"
            return f"it has values in no run that {kind} in one half of the configurations"
    rules = tuple(rule_of(part, direction=direction, most=most) for part in parts)
    judged_by = [rules[1 - half] for half in halves]
    return _Judged(curves, halves, judged_by, seed, n_draws).score((rules[0], rules[1]))


class _Judged:
    """Alarms and leads of all runs by the rule of the other half, and draws of configurations."""

    def __init__(
        self,
        curves: Sequence[WatchedCurve],
        halves: np.ndarray,
        rules: Sequence[Rule],
        seed: int,
        n_draws: int,
    ) -> None:
        pairs = list(zip(curves, rules, strict=True))
        self.endings = np.array([curve.ending for curve in curves])
        self.is_grokked = self.endings == "groks"
        self.alarms = np.array([c.alarm(r.threshold, r.direction) is not None for c, r in pairs])
        self.extremes = np.array([c.extreme(r.direction) for c, r in pairs])
        self.halves = halves
        grokked = [(c, c.lead(r.threshold, r.direction)) for c, r in pairs if c.ending == "groks"]
        self.leads = np.array([lead for _, lead in grokked], float)
        self.grokking = np.array([c.grokking_step for c, _ in grokked], float)
        # A run that has memorized at step 0 has a lead of how many steps, not of how many times.
        self.memorization = np.array([max(c.memorization_step, 1) for c, _ in grokked], float)
        names, setting = np.unique([curve.setting for curve in curves], return_inverse=True)
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), n_draws)
        self.n_settings = len(names)
        self.weights = drawn[:, setting]

    def score(self, rules: tuple[Rule, Rule]) -> Score:
        quartiles = np.quantile(self.leads, [0.25, 0.75])
        return Score(
            n_groks=int(self.is_grokked.sum()),
            n_cannot=int((self.endings == "cannot").sum()),
            n_censored=int((self.endings == "censored").sum()),
            rules=rules,
            warned=self._share("groks"),
            lead=self._median_lead(),
            lead_quartiles=(float(quartiles[0]), float(quartiles[1])),
            lead_over_grokking=_quartiles(self.leads / self.grokking),
            lead_over_memorization=_quartiles(self.leads / self.memorization),
            false_alarms_cannot=self._share("cannot"),
            false_alarms_censored=self._share("censored"),
            auc=self._auc(),
        )

    def _share(self, ending: Ending) -> Estimate:
        is_one = self.endings == ending
        if not is_one.any():
            return Estimate(np.nan, np.nan, np.nan)
        weights = self.weights[:, is_one]
        with np.errstate(invalid="ignore"):
            draws = weights @ self.alarms[is_one] / weights.sum(axis=1)
        return self._estimate(float(self.alarms[is_one].mean()), draws)

    def _median_lead(self) -> Estimate:
        order = np.argsort(self.leads, kind="stable")
        weights = self.weights[:, self.is_grokked][:, order].cumsum(axis=1)
        is_half = weights >= weights[:, -1:] / 2
        draws = np.where(weights[:, -1] > 0, self.leads[order][is_half.argmax(axis=1)], np.nan)
        return self._estimate(float(np.median(self.leads)), draws)

    def _auc(self) -> Estimate:
        above = np.zeros((int(self.is_grokked.sum()), int((~self.is_grokked).sum())))
        pairs = np.zeros_like(above)
        mine, theirs = self.extremes[self.is_grokked], self.extremes[~self.is_grokked]
        # Values of one direction are compared: those judged by the same rule.
        same = self.halves[self.is_grokked][:, None] == self.halves[~self.is_grokked][None]
        above += same * ((mine[:, None] > theirs[None]) + 0.5 * (mine[:, None] == theirs[None]))
        pairs += same
        groks, others = self.weights[:, self.is_grokked], self.weights[:, ~self.is_grokked]
        with np.errstate(invalid="ignore"):
            draws = ((groks @ above) * others).sum(1) / ((groks @ pairs) * others).sum(1)
        return self._estimate(float(above.sum() / pairs.sum()), draws)

    def _estimate(self, value: float, draws: np.ndarray) -> Estimate:
        known = draws[~np.isnan(draws)]
        if self.n_settings < 4 or not len(known):
            return Estimate(value, np.nan, np.nan)
        tail = expanded_tail(self.n_settings)
        low, high = np.quantile(known, [tail, 1 - tail])
        return Estimate(value, float(low), float(high))


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)


def _auc(mine: np.ndarray, theirs: np.ndarray) -> float:
    is_above = mine[:, None] > theirs[None]
    return float((is_above + 0.5 * (mine[:, None] == theirs[None])).mean())
