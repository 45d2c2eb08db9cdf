"""A model with intervals that hold on configurations it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grokinterp.forecasting.landmarks import AtLandmark
from grokinterp.laws.cure import NEVER, SEEN, CureModel, Distribution, fit_cure_model

N_FOLDS = 10
PENALTY = 3.0
"""Drawn to zero as if each coefficient had been seen three times to be zero."""
LEVEL = 0.9
"""Of the intervals."""


@dataclass(frozen=True)
class Method:
    """How a forecast is made: which times, from which features."""

    name: str
    distribution: Distribution = "log-normal"
    with_curves: bool = True
    penalty: int | float = PENALTY

    def fit(self, runs: AtLandmark, start: CureModel | None = None) -> CureModel:
        """Fit to runs at a landmark."""
        return fit_cure_model(
            runs.columns(self.with_curves),
            runs.times,
            distribution=self.distribution,
            penalty=self.penalty,
            start=start,
        )


METHODS = (
    Method("config", "log-logistic", with_curves=False),
    Method("log-normal"),
    Method("log-logistic", "log-logistic"),
    Method("weibull", "weibull"),
)
"""What is compared: the config alone, and three accelerated failure times with the curves."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A model, and the parts of its distribution between which 90 % of unseen runs lie."""

    method: Method
    model: CureModel
    low_part: int | float
    """Part of the model's distribution that lies below the interval."""
    high_part: int | float
    """1 where there are too few configurations for an upper bound."""
    n_settings: int
    """Configurations that the two were found on."""

    def never_within(
        self, features: Float[np.ndarray, "run feature"], step: np.ndarray, horizon: int | float
    ) -> Float[np.ndarray, " run"]:
        """Probability that the runs do not grok until a step."""
        columns, start = self._columns(features), np.log(step)
        never = self.model.never(columns)
        until = np.maximum(np.full(len(start), np.log(horizon)), start)
        return never + (1 - never) * np.exp(self.model.log_survival(columns, until, start))

    def quantile(
        self, features: Float[np.ndarray, "run feature"], step: np.ndarray, part: int | float
    ) -> Float[np.ndarray, " run"]:
        """Step before which a part of the runs that grok have grokked; infinite for all."""
        if part >= 1:
            return np.full(len(step), np.inf)
        return np.exp(self.model.log_quantile(self._columns(features), part, np.log(step)))

    def _columns(self, features: np.ndarray) -> np.ndarray:
        return features[:, : len(self.model.center)]


def calibrate(
    method: Method,
    runs: AtLandmark,
    *,
    level: float = LEVEL,
    n_folds: int = N_FOLDS,
    start: CureModel | None = None,
) -> Calibrated:
    """Fit a model, and find by cross-conformal prediction what its intervals must be.

    Configurations are dealt into folds. Each fold is predicted by a model of the others: the part
    of the predicted distribution that lies before the grokking step of a run is its rank. A run
    that was cut off has a rank of at least that of its last step, and counts with the
    probability that it groks at all. The interval runs from the rank below which at most 5 % of
    (configurations + 1) lie, the run to come counted in the worst place, to the one above which
    at most 5 % lie.

    Raises
    ------
    FitError
        If too few runs grok after the landmark.
    """
    model = method.fit(runs, start)
    fold = _folds(runs.settings, n_folds)
    rank, is_seen, mass = (np.zeros(len(runs)) for _ in range(3))
    for number in range(n_folds):
        is_out = fold == number
        if not is_out.any():
            continue
        # From the whole model, which lies near: the search is shorter.
        without = method.fit(runs.rows(~is_out), model)
        rank[is_out], is_seen[is_out], mass[is_out] = _ranks(without, method, runs.rows(is_out))
    # As many configurations as there are masses: seeds share the weight of theirs.
    _, which, counts = np.unique(runs.settings, return_inverse=True, return_counts=True)
    mass = mass / counts[which]
    low, high = _bounds(rank, is_seen.astype(bool), mass, (1 - level) / 2)
    return Calibrated(method, model, low, high, round(float(mass.sum())))


def _folds(settings: tuple[str, ...], n_folds: int) -> np.ndarray:
    """Deal configurations into folds, always alike."""
    names, which = np.unique(settings, return_inverse=True)
    dealt = np.random.default_rng(0).permutation(len(names)) % n_folds
    return dealt[which]


def _ranks(
    model: CureModel, method: Method, runs: AtLandmark
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times, columns = runs.times, runs.columns(method.with_curves)
    survival = np.exp(model.log_survival(columns, times.log_time, times.log_start))
    never = model.never(columns)
    may_come = (1 - never) * survival / (never + (1 - never) * survival)
    seen = times.status == SEEN
    mass = np.where(seen, 1.0, np.where(times.status == NEVER, 0.0, may_come))
    return 1 - survival, seen, mass


def _bounds(
    rank: np.ndarray, is_seen: np.ndarray, mass: np.ndarray, tail: float
) -> tuple[float, float]:
    """Ranks between which all but a tail at each end lie, by the product-limit estimate."""
    order = np.lexsort((~is_seen, rank))
    rank, is_seen, mass = rank[order], is_seen[order], mass[order]
    total = float(mass.sum())
    at_risk = np.maximum(total - np.concatenate([[0.0], np.cumsum(mass)[:-1]]), 1e-12)
    survival = np.cumprod(np.where(is_seen, 1 - np.minimum(mass / at_risk, 1.0), 1.0))
    allowed = tail * (total + 1) + 1e-9
    below = total * (1 - survival)
    is_low = is_seen & (below <= allowed)
    low = float(rank[is_low][-1]) if is_low.any() else 0.0
    is_high = is_seen & (total * survival + 1 <= allowed)
    return low, float(rank[is_high][0]) if is_high.any() else 1.0
