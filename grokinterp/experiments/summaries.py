"""Summaries of a table of runs: counts, means of what is there, medians with censoring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from grokinterp.laws.survival import median_with_censoring


def runs_where(runs: pd.DataFrame, condition: Any) -> pd.DataFrame:
    """Return the runs at which a column of booleans is true, all columns kept."""
    return runs.loc[np.asarray(condition, dtype=bool)]


def is_crossed(runs: pd.DataFrame) -> np.ndarray:
    """(n,) booleans: whether each run reached the test accuracy that counts as generalized."""
    return ~runs["is_censored"].to_numpy(dtype=bool)


def values_of(runs: pd.DataFrame, column: str) -> np.ndarray:
    """Return the numbers of a column as float64, those that are missing left out."""
    values = runs[column].to_numpy(dtype=np.float64)
    return values[np.isfinite(values)]


def mean_of(runs: pd.DataFrame, column: str) -> float | None:
    """Mean of the numbers that a column has; None without one."""
    values = values_of(runs, column)
    return float(values.mean()) if len(values) else None


def median_of(runs: pd.DataFrame, column: str) -> float | None:
    """Median of the numbers that a column has; None without one."""
    values = values_of(runs, column)
    return float(np.median(values)) if len(values) else None


def largest_of(runs: pd.DataFrame, column: str) -> float | None:
    """Return the largest number of a column; None without one."""
    values = values_of(runs, column)
    return float(values.max()) if len(values) else None


def smallest_of(runs: pd.DataFrame, column: str) -> float | None:
    """Return the smallest number of a column; None without one."""
    values = values_of(runs, column)
    return float(values.min()) if len(values) else None


def median_time(runs: pd.DataFrame) -> float | None:
    """Kaplan-Meier median of the steps to generalize; None where too many did not."""
    times = runs["grokking_time"].to_numpy(dtype=np.float64)
    return median_with_censoring(times, ~is_crossed(runs))


def outcomes_of(runs: pd.DataFrame) -> str:
    """Return the outcomes that occur, with their numbers: ``grokked 2, memorized 1``."""
    kinds, counts = np.unique(runs["outcome_kind"].dropna().to_numpy(str), return_counts=True)
    return ", ".join(f"{kind} {count}" for kind, count in zip(kinds, counts, strict=True))


def rows_of(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    rows: Any = runs.to_dict(orient="records")
    return rows


def groups_of(runs: pd.DataFrame, column: str) -> list[tuple[Any, pd.DataFrame]]:
    """Return the values of a column in their order of appearance, each with its runs."""
    return list(runs.groupby(column, sort=False))
