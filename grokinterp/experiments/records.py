"""Rows of a table of runs as plain values, so that a judge reads like its criterion.

A run that had not got somewhere by its last step is censored: it got there later, or never.
What is missing in a row is None, and :func:`is_above` and :func:`is_below` hold for neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

import pandas as pd

from grokinterp.fields import plain_number
from grokinterp.laws.survival import median_with_censoring

Record = dict[str, Any]
"""One run: its value by column, None where there is none."""
Runs = Sequence[Record]


def records_of(table: pd.DataFrame) -> list[Record]:
    """Return the rows of a table, with None for whatever is missing.

    Examples
    --------
    >>> records_of(pd.DataFrame({"seed": [0, 1], "grokking_step": [540.0, None]}))
    [{'seed': 0, 'grokking_step': 540.0}, {'seed': 1, 'grokking_step': None}]
    """
    rows = table.to_dict(orient="records")
    return [{str(name): plain_number(value) for name, value in row.items()} for row in rows]


def where(
    runs: Runs, is_one: Callable[[Record], bool] | None = None, /, **values: Any
) -> list[Record]:
    """Return the runs that have these values in these columns, and of which `is_one` holds.

    Examples
    --------
    >>> runs = [{"seed": 0, "delay": 100}, {"seed": 1, "delay": 300}]
    >>> where(runs, seed=1) == where(runs, lambda run: run["delay"] > 200)
    True
    """
    return [
        run
        for run in runs
        if all(run[name] == value for name, value in values.items())
        and (is_one is None or is_one(run))
    ]


def by(runs: Runs, *columns: str) -> dict[Any, list[Record]]:
    """Group runs by the value of a column, or by a tuple of several, in order of appearance.

    Examples
    --------
    >>> by([{"arm": "a", "seed": 0}, {"arm": "b", "seed": 0}, {"arm": "a", "seed": 1}], "arm")
    {'a': [{'arm': 'a', 'seed': 0}, {'arm': 'a', 'seed': 1}], 'b': [{'arm': 'b', 'seed': 0}]}
    """
    found: dict[Any, list[Record]] = {}
    for run in runs:
        values = [run[name] for name in columns]
        key = tuple(values) if len(columns) > 1 else values[0]
        found.setdefault(key, []).append(run)
    return found


def count(runs: Runs, is_one: Callable[[Record], bool]) -> int:
    """Count the runs that are such a one.

    Examples
    --------
    >>> count([{"n_spikes": 2}, {"n_spikes": 0}], lambda run: run["n_spikes"] > 0)
    1
    """
    return sum(1 for run in runs if is_one(run))


def is_above(run: Record, column: str, level: int | float) -> bool:
    """Whether a run has a value in a column, and it lies above the level."""
    return run[column] is not None and run[column] > level


def is_below(run: Record, column: str, level: int | float) -> bool:
    """Whether a run has a value in a column, and it lies below the level."""
    return run[column] is not None and run[column] < level


def has(column: str) -> Callable[[Record], bool]:
    """Return the condition that a run has a value in a column, for `where` and `count`.

    Examples
    --------
    >>> count([{"fit_step": 40}, {"fit_step": None}], has("fit_step"))
    1
    """
    return lambda run: run[column] is not None


def lacks(column: str) -> Callable[[Record], bool]:
    """Return the condition that a run has no value in a column: not by its last step."""
    return lambda run: run[column] is None


def is_crossed(run: Record) -> bool:
    """Whether the test accuracy of a run was above its threshold at a test by its last step.

    It need not have stayed there: a run that collapsed or has not settled may have crossed, and
    its time is that of the first crossing.
    """
    return run["is_censored"] is not None and not run["is_censored"]


def is_censored(run: Record) -> bool:
    """Whether it did not: it got there later, or never."""
    return not is_crossed(run)


def values_of(runs: Runs, column: str) -> list[float]:
    """Return the numbers of a column, those that are missing left out."""
    return [float(run[column]) for run in runs if run.get(column) is not None]


def median_of(runs: Runs, column: str) -> float | None:
    """Median of a column over the runs that have a value; None where none has.

    Examples
    --------
    >>> median_of([{"delay": 100}, {"delay": None}, {"delay": 300}], "delay")
    200.0
    """
    known = values_of(runs, column)
    return median(known) if known else None


def mean_of(runs: Runs, column: str) -> float | None:
    """Mean of a column over the runs that have a value; None where none has."""
    known = values_of(runs, column)
    return fmean(known) if known else None


def largest_of(runs: Runs, column: str) -> float | None:
    """Return the largest number of a column; None without one."""
    return max(values_of(runs, column), default=None)


def smallest_of(runs: Runs, column: str) -> float | None:
    """Return the smallest number of a column; None without one."""
    return min(values_of(runs, column), default=None)


def median_time(runs: Runs) -> float | None:
    """Kaplan-Meier median of the steps to generalize; None where too many did not.

    Examples
    --------
    >>> at_300 = {"grokking_time": 300, "is_censored": False}
    >>> not_by_900 = {"grokking_time": 900, "is_censored": True}
    >>> median_time([at_300, at_300, not_by_900]), median_time([at_300, not_by_900, not_by_900])
    (300.0, None)
    """
    timed = where(runs, has("grokking_time"))
    return median_with_censoring(
        [run["grokking_time"] for run in timed], [is_censored(run) for run in timed]
    )


def last_step_of(runs: Runs) -> int:
    """Last step of the longest run: a run that did not get somewhere did not "by step N"."""
    return max((int(run["last_step"]) for run in runs), default=0)


def outcomes_of(runs: Runs) -> str:
    """Return the outcomes that occur, with their numbers: ``grokked 2, memorized 1``."""
    kinds = Counter(str(run["outcome_kind"]) for run in runs if run["outcome_kind"] is not None)
    return ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))
