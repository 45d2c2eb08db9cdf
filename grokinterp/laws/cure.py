r"""Times that some of a population never reach: accelerated failure times with a fraction cured.

Some runs grok early, some late and some never, and most that have not yet are only known not to
have by their last step. A mixture cure model tells the two questions apart: whether, and when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_ndtr

from grokinterp.errors import FitError

Distribution = Literal["log-normal", "log-logistic", "weibull"]
"""Of the times, about their accelerated scale."""
SEEN, CENSORED, NEVER = 0, 1, 2
"""What is known of a time: it was seen, it is later than the last look, or there is none."""
_LOG_2PI = float(np.log(2 * np.pi))
_SMALLEST_SIGMA = 1e-3


def _normal(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return -0.5 * (z * z + _LOG_2PI), log_ndtr(-z), -z


def _logistic(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    log_survival = log_expit(-z)
    return log_survival + log_expit(z), log_survival, 1 - 2 * expit(z)


def _smallest_extreme(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    power = np.exp(np.minimum(z, 500.0))
    return z - power, -power, 1 - power


_DENSITIES: dict[
    Distribution, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
] = {"log-normal": _normal, "log-logistic": _logistic, "weibull": _smallest_extreme}
"""From z: log density, log survival, and the slope of the log density."""


@dataclass(frozen=True, eq=False)
class Times:
    """Times after a start, some of them cut off and some that never come."""

    log_time: Float[np.ndarray, " n"]
    """Natural logarithm of the time, or of the last look where it is `CENSORED`; without a
    meaning where there is none."""
    log_start: Float[np.ndarray, " n"]
    """Natural logarithm of the time at which it was known not to have come yet."""
    status: Int[np.ndarray, " n"]
    """`SEEN`, `CENSORED` or `NEVER`."""
    weight: Float[np.ndarray, " n"]
    """How much each counts."""

    def __len__(self) -> int:
        return len(self.log_time)

    def rows(self, chosen: np.ndarray) -> Times:
        """Return some of the times."""
        return Times(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class CureModel:
    r"""Probability of never, and the distribution of the time otherwise, by features.

    With features x, standardized as they were where the model was fitted,

    .. math:: P(\text{never}\mid x) = \operatorname{expit}(c + \gamma x), \qquad
        \log T = a + \beta x + \sigma\varepsilon
    """

    distribution: Distribution
    theta: Float[np.ndarray, " parameter"]
    """a and beta, c and gamma, log sigma."""
    center: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " feature"]
    log_likelihood: float
    """Without the penalty, in nats of log T."""

    def never(self, features: Float[np.ndarray, "n feature"]) -> Float[np.ndarray, " n"]:
        """Probability that the time never comes, given that it has not by the start."""
        return expit(self._design(features) @ self._parts()[1])

    def log_scale(self, features: Float[np.ndarray, "n feature"]) -> Float[np.ndarray, " n"]:
        """Location of log T: a + beta x."""
        return self._design(features) @ self._parts()[0]

    @property
    def sigma(self) -> float:
        """Scatter of log T about its location, in the unit of the distribution."""
        return self._parts()[2]

    def log_survival(
        self,
        features: Float[np.ndarray, "n feature"],
        log_time: Float[np.ndarray, " n"],
        log_start: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Log probability that the time is later, given that it comes, and after the start."""
        location = self.log_scale(features)
        tail = _DENSITIES[self.distribution]
        at, begin = ((one - location) / self.sigma for one in (log_time, log_start))
        return np.minimum(tail(at)[1] - tail(begin)[1], 0.0)

    def log_quantile(
        self,
        features: Float[np.ndarray, "n feature"],
        part: int | float | Float[np.ndarray, " n"],
        log_start: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Log time before which a part of the times lies, given that it comes after the start.

        By bisection, to a thousandth of a per cent of the time.
        """
        wanted = np.log1p(-np.clip(part, 0.0, 1 - 1e-12))
        location = self.log_scale(features)
        low = np.broadcast_to(log_start, location.shape).astype(float)
        high = np.maximum(location, low) + 40 * self.sigma + 1
        for _ in range(60):
            middle = (low + high) / 2
            is_later = self.log_survival(features, middle, log_start) > wanted
            low, high = np.where(is_later, middle, low), np.where(is_later, high, middle)
        return (low + high) / 2

    def _design(self, features: np.ndarray) -> np.ndarray:
        return _with_constant((np.asarray(features) - self.center) / self.scale)

    def _parts(self) -> tuple[np.ndarray, np.ndarray, float]:
        n = (len(self.theta) - 1) // 2
        return self.theta[:n], self.theta[n:-1], float(np.exp(self.theta[-1]) + _SMALLEST_SIGMA)


def fit_cure_model(
    features: Float[np.ndarray, "n feature"],
    times: Times,
    *,
    distribution: Distribution = "log-normal",
    penalty: int | float = 1.0,
    start: CureModel | None = None,
) -> CureModel:
    r"""Fit whether and when by penalized maximum likelihood.

    With :math:`\pi` the probability of never, f and S density and survival of log T, and s the
    start, a time that was seen contributes :math:`\log(1-\pi) + \log f(t) - \log S(s)`, one that
    never comes :math:`\log \pi`, and a censored one
    :math:`\log(\pi + (1 - \pi) S(t)/S(s))`. From the sum half of `penalty` times the squared
    coefficients of the standardized features is taken, those of log T in units of sigma.

    Parameters
    ----------
    features
        (n, feature); one that does not vary has no say.
    times
        What is known of each.
    distribution
        Of the times.
    penalty
        How strongly coefficients are drawn to zero.
    start
        A model of nearly the same times, from which the search starts.

    Raises
    ------
    FitError
        If fewer than 5 times were seen, or lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> draw = np.random.default_rng(0)
    >>> x = draw.normal(size=(400, 1))
    >>> log_t = 6 + 0.5 * x[:, 0] + 0.2 * draw.normal(size=400)
    >>> status = np.where(draw.random(400) < 0.25, NEVER, SEEN)
    >>> times = Times(log_t, np.zeros(400), status, np.ones(400))
    >>> model = fit_cure_model(x, times, penalty=0.01)
    >>> at = model.log_scale(np.array([[0.0], [1.0]]))
    >>> round(float(at[1] - at[0]), 1), round(model.sigma, 1)
    (0.5, 0.2)
    >>> bool(abs(model.never(x).mean() - (status == NEVER).mean()) < 0.01)
    True

    References
    ----------
    Farewell, "The use of mixture models for the analysis of survival data with long-term
    survivors", Biometrics 38, 1982.
    """
    features = np.asarray(features, dtype=float)
    if features.ndim != 2 or len(features) != len(times):
        raise FitError(f"{len(features)} rows of features for {len(times)} times. Give one each.")
    if distribution not in _DENSITIES:
        raise FitError(
            f"distribution={distribution!r} is not known. Use one of {', '.join(_DENSITIES)}."
        )
    seen = times.status == SEEN
    if seen.sum() < 5:
        raise FitError(
            f"{int(seen.sum())} times were seen, and 5 are needed. Use runs that were followed "
            "for longer."
        )
    center = features.mean(axis=0)
    spread = features.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1.0)
    design = _with_constant((features - center) / scale)
    objective = _Objective(design, times, _DENSITIES[distribution], penalty)
    first = objective.first_guess() if start is None else start.theta
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    value = -float(found.fun) + objective.penalty_of(found.x)
    return CureModel(distribution, found.x, center, scale, value)


def _with_constant(features: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(features)), features])


@dataclass(frozen=True, eq=False)
class _Objective:
    """Negative penalized log-likelihood and its gradient."""

    design: np.ndarray
    times: Times
    density: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
    penalty: float

    def first_guess(self) -> np.ndarray:
        seen = self.times.log_time[self.times.status == SEEN]
        theta = np.zeros(2 * self.design.shape[1] + 1)
        theta[0], theta[-1] = seen.mean(), np.log(max(seen.std(), 0.05))
        theta[self.design.shape[1]] = -1.0
        return theta

    def penalty_of(self, theta: np.ndarray) -> float:
        k = self.design.shape[1]
        sigma = np.exp(theta[-1]) + _SMALLEST_SIGMA
        slopes, odds = theta[1:k], theta[k + 1 : 2 * k]
        return 0.5 * self.penalty * float((slopes @ slopes) / sigma**2 + odds @ odds)

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        k, times = self.design.shape[1], self.times
        slopes, odds, grown = theta[:k], theta[k:-1], np.exp(theta[-1])
        sigma = grown + _SMALLEST_SIGMA
        location, logit = self.design @ slopes, self.design @ odds
        z, z0 = ((one - location) / sigma for one in (times.log_time, times.log_start))
        log_f, log_s, slope_f = self.density(z)
        log_f0, log_s0, _ = self.density(z0)
        hazard, hazard0 = np.exp(log_f - log_s), np.exp(log_f0 - log_s0)
        log_not, log_never, never = log_expit(-logit), log_expit(logit), expit(logit)
        seen, cut = times.status == SEEN, times.status == CENSORED

        later = np.minimum(log_not + log_s - log_s0, log_not)
        log_cut = np.logaddexp(log_never, later)
        # Where a censored run may still come: the share of its probability that is `later`.
        share = np.exp(later - log_cut)
        value = np.where(seen, log_not + log_f - np.log(sigma) - log_s0, log_never)
        value = np.where(cut, log_cut, value)

        to_z = np.where(seen, slope_f, np.where(cut, -hazard * share, 0.0))
        to_z0 = np.where(seen, hazard0, np.where(cut, hazard0 * share, 0.0))
        to_logit = np.where(seen, -never, np.where(cut, (1 - share) - never, 1 - never))
        to_sigma = -(to_z * z + to_z0 * z0 + seen) / sigma
        weight = times.weight
        gradient = np.concatenate(
            [
                self.design.T @ (weight * -(to_z + to_z0) / sigma),
                self.design.T @ (weight * to_logit),
                [float(weight @ to_sigma) * grown],
            ]
        )
        drawn = np.zeros_like(theta)
        drawn[1:k] = self.penalty * theta[1:k] / sigma**2
        drawn[k + 1 : 2 * k] = self.penalty * theta[k + 1 : 2 * k]
        drawn[-1] = -self.penalty * float(theta[1:k] @ theta[1:k]) / sigma**3 * grown
        return -float(weight @ value) + self.penalty_of(theta), drawn - gradient
