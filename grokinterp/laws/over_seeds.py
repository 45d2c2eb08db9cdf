"""A positive quantity that every seed has once: its geometric mean, and the interval of that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from grokinterp.errors import FitError


@dataclass(frozen=True)
class GeometricMean:
    """Mean in the logarithm, with its 95 % interval over seeds."""

    value: float
    low: float
    """Lower end; 0 with a single seed, of which nothing is known to scatter."""
    high: float
    """Upper end; inf with a single seed."""
    n: int
    """Seeds."""

    @property
    def in_words(self) -> str:
        """Return ``217 (95 % interval 203 to 232)``."""
        if math.isinf(self.high):
            return f"{self.value:.3g} (one seed)"
        return f"{self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g})"

    def is_within(self, low: int | float, high: int | float) -> bool:
        """Whether the interval lies between two numbers."""
        return low <= self.low and self.high <= high

    def is_outside(self, low: int | float, high: int | float) -> bool:
        """Whether the interval has nothing in common with that between two numbers."""
        return self.high < low or self.low > high


def geometric_mean(values: Iterable[int | float]) -> GeometricMean:
    r"""Average positive numbers in the logarithm.

    The interval is Student's t with n - 1 degrees of freedom and takes seeds as independent, with
    normal scatter in the logarithm.

    Raises
    ------
    FitError
        If there is no number, or one is not positive and finite.

    Examples
    --------
    >>> mean = geometric_mean([50.0, 200.0])
    >>> round(mean.value, 6), mean.high > 1e5
    (100.0, True)
    >>> geometric_mean([99.0, 100.0, 101.0, 100.0, 100.0]).in_words
    '100 (95 % interval 99.1 to 101)'
    """
    from scipy.stats import t

    numbers = [float(value) for value in values]
    bad = [number for number in numbers if not 0 < number < math.inf]
    if bad or not numbers:
        fact = f"{bad[0]:g} has no logarithm" if bad else "there is no number"
        raise FitError(f"{fact}, so there is no geometric mean. Give positive, finite numbers.")
    logs = [math.log(number) for number in numbers]
    if len(logs) == 1:
        return GeometricMean(numbers[0], 0.0, math.inf, 1)
    reach = float(t.ppf(0.975, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    middle = fmean(logs)
    return GeometricMean(_exp(middle), _exp(middle - reach), _exp(middle + reach), len(logs))


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
