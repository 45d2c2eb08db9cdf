"""Rows of a table of runs as plain values, so that a judge reads like its criterion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import pandas as pd

from grokinterp.experiments.experiment import plain_number

Record = dict[str, Any]
"""One run: its value by column, None where there is none."""


def records_of(table: pd.DataFrame) -> list[Record]:
    """Return the rows of a table, with None for whatever is missing.

    Examples
    --------
    >>> records_of(pd.DataFrame({"seed": [0, 1], "grokking_step": [540.0, None]}))
    [{'seed': 0, 'grokking_step': 540.0}, {'seed': 1, 'grokking_step': None}]
    """
    rows = table.to_dict(orient="records")
    return [{str(name): plain_number(value) for name, value in row.items()} for row in rows]


def median_of(runs: Sequence[Record], column: str) -> float | None:
    """Median of a column over the runs that have a value; None where none has.

    Examples
    --------
    >>> median_of([{"delay": 100}, {"delay": None}, {"delay": 300}], "delay")
    200.0
    """
    known = [float(run[column]) for run in runs if run.get(column) is not None]
    return median(known) if known else None


def count(runs: Sequence[Record], is_one: Callable[[Record], bool]) -> int:
    """Count the runs that are such a one.

    Examples
    --------
    >>> count([{"n_spikes": 2}, {"n_spikes": 0}], lambda run: run["n_spikes"] > 0)
    1
    """
    return sum(1 for run in runs if is_one(run))


def last_step_of(runs: Sequence[Record]) -> int:
    """Last step of the longest run: a run that did not get somewhere did not "by step N"."""
    return max((int(run["last_step"]) for run in runs), default=0)
