"""Delays of committees, their distance from kernel regression, and the tables of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median

import pandas as pd

from grokinterp.experiments.claims import at_least_half
from grokinterp.experiments.records import (
    Record,
    Runs,
    count,
    has,
    lacks,
    last_step_of,
    median_of,
    where,
)

Committee = Mapping[float, list[Record]]
"""Runs of the committee by output scale, in rising order."""


def has_fallen(run: Record) -> bool:
    """Whether the test loss has fallen by the last step."""
    return run["test_fall_step"] is not None


def is_lower_bound(runs: Runs) -> bool:
    """Whether half of the runs or more have not fallen, so that the median is a lower bound."""
    return at_least_half(len(runs) - count(runs, has_fallen), len(runs))


def median_delay(runs: Runs, suffix: str = "") -> float | None:
    """Median ratio of the steps at which test and training loss have fallen.

    Parameters
    ----------
    runs
        One whose test loss has not fallen counts with its last step, as a lower bound; one whose
        training loss has not has no delay and is left out.
    suffix
        Ending of the columns, which names the level.

    Examples
    --------
    >>> run = {"train_fall_step": 100, "test_fall_step": 300, "last_step": 900}
    >>> median_delay([run, {**run, "test_fall_step": None}])
    6.0
    """
    train, test = f"train_fall_step{suffix}", f"test_fall_step{suffix}"
    delays = [
        (run["last_step"] if run[test] is None else run[test]) / max(run[train], 1)
        for run in where(runs, has(train))
    ]
    return median(delays) if delays else None


def median_ratio(runs: Runs) -> float | None:
    """Median of the last test loss over that of the kernel; None where half are not finite."""
    return _finite_median([_quotient(run, "test_loss", "kernel_loss") for run in runs])


def median_share(runs: Runs, column: str) -> float | None:
    """Median of a test loss as a part of the first one; None where half are not finite."""
    return _finite_median([_quotient(run, column, "first_test_loss") for run in runs])


def _quotient(run: Record, above: str, below: str) -> float:
    """Infinite where a loss is not finite."""
    return math.inf if run[above] is None or not run[below] else run[above] / run[below]


def _finite_median(values: list[float]) -> float | None:
    middle = median(values) if values else math.inf
    return middle if math.isfinite(middle) else None


def committee_table(committee: Committee) -> pd.DataFrame:
    """Return medians by output scale."""
    columns = (
        "train_fall_step",
        "test_fall_step",
        "first_test_loss",
        "max_test_loss",
        "test_loss",
        "kernel_loss",
        "kernel_loss_limit",
        "kernel_loss_least",
        "kernel_drift",
        "kernel_cosine",
        "first_alignment",
        "last_alignment",
        "weight_movement",
        "norm_ratio",
        "norm_ratio_at_fall",
        "norm_growth_in_delay",
    )
    rows = [
        {
            "output_scale": alpha,
            "n_runs": len(runs),
            "n_not_fallen": len(runs) - count(runs, has_fallen),
            "n_not_fallen_at_5": count(runs, lacks("test_fall_step_at_5")),
            "median_delay": median_delay(runs),
            "median_delay_at_20": median_delay(runs, "_at_20"),
            "median_delay_at_5": median_delay(runs, "_at_5"),
            "end_over_kernel": median_ratio(runs),
            **{column: median_of(runs, column) for column in columns},
            "last_step": last_step_of(runs),
        }
        for alpha, runs in committee.items()
    ]
    return pd.DataFrame(rows)


def addition_table(addition: Mapping[tuple[float, float], list[Record]]) -> pd.DataFrame:
    """Return medians by scale of the initial weights and of the output."""
    columns = ("fit_step", "first_crossing_step", "test_accuracy", "test_accuracy_unmirrored")
    rows = [
        {
            "init_scale": first,
            "output_scale": output,
            "n_runs": len(runs),
            "n_not_by_last_step": count(runs, lacks("first_crossing_step")),
            **{column: median_of(runs, column) for column in columns},
            "norm_ratio": median_of(runs, "norm_ratio"),
            "last_step": last_step_of(runs),
        }
        for (first, output), runs in addition.items()
    ]
    return pd.DataFrame(rows)
