"""Numbers of the claims in words, and the ratios that several of them read."""

from __future__ import annotations

import math
from statistics import median

from grokinterp.experiments.records import Record, Runs, count, lacks


def ratio_of(run: Record, column: str) -> float:
    """Step of a column over T_fit; infinite where the run did not get to either."""
    if run[column] is None or run["fit_step"] is None:
        return math.inf
    return run[column] / max(run["fit_step"], 1)


def least_median(runs: Runs, column: str) -> float:
    """Median of what the ratios are at least: a run that did not get there took longer."""
    return median(_least_ratio(run, column) for run in runs)


def _least_ratio(run: Record, column: str) -> float:
    if run["fit_step"] is None:
        return 0.0
    step = run["last_step"] if run[column] is None else run[column]
    return step / max(run["fit_step"], 1)


def n_censored(runs: Runs) -> int:
    """Count the runs whose test accuracy did not pass 95 % by their last step."""
    return count(runs, lacks("first_crossing_step"))


def finite(value: float) -> float | None:
    """Return a number that is finite, or None: JSON has no infinity."""
    return value if math.isfinite(value) else None


def number(value: float | None) -> str:
    """Return a number to three digits."""
    return "not reached" if value is None or not math.isfinite(value) else f"{value:.3g}"


def times(ratio: float) -> str:
    """Return how many times as late something came."""
    return f"{ratio:.3g} times" if math.isfinite(ratio) else "more times than was trained for"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "unknown accuracy" if share is None else f"{share:.0%}"
