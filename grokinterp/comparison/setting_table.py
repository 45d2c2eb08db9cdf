"""Settings as rows: what the seeds of each have in common, and how far they scatter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.comparison.comparison import Comparison, column_of
from grokinterp.comparison.from_runs import comparison_of
from grokinterp.laws.survival import median_with_censoring
from grokinterp.runs.run import Run
from grokinterp.trajectory.analysis import Analysis

SUMMARIZED = ("memorization_step", "test_accuracy", "test_loss", "sum_squared_weights")
"""Columns of the runs that a setting has a median and a range of, beside the grokking step."""


def compare_settings(
    runs: Sequence[Analysis | Run | str | Path], by: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Put settings side by side: the median and the range of their seeds.

    Runs that differ in seeds, or in how long they were watched, have the same setting. The
    median of the grokking step counts a run that never grokked as one whose step lies above
    its last (Kaplan and Meier); to leave such runs out would make the slow settings look fast.

    Parameters
    ----------
    runs
        As :func:`grokinterp.compare` takes them.
    by
        Config fields that make a setting; None: all that differ but seeds and lengths.

    Returns
    -------
    pandas.DataFrame
        One row per setting, in the order of its values: ``setting``; its config fields;
        ``n_runs``, ``n_generalized``, ``n_censored``; ``grokking_step``, the median, ``<NA>``
        where too many runs are censored; ``grokking_step_low`` and ``_high``, the range of
        those that grokked, in updates, ``_high`` being ``<NA>`` if a run is censored; and for
        ``memorization_step``, ``test_accuracy``, ``test_loss`` (nats) and
        ``sum_squared_weights`` of the last checkpoint the median and the range of the runs
        that have one.

    Raises
    ------
    GrokinterpError
        As :func:`grokinterp.compare` does.

    Examples
    --------
    >>> import grokinterp as gi
    >>> folders = ["runs/wd0.5", "runs/wd1", "runs/wd2"]
    >>> table = gi.compare_settings(folders, by="weight_decay")
    >>> table[["setting", "n_runs", "n_censored", "grokking_step"]]
                setting  n_runs  n_censored  grokking_step
    0  weight_decay=0.5       1           1           <NA>
    1    weight_decay=1       1           0            ...
    2    weight_decay=2       1           0            ...
    """
    return setting_table(comparison_of(runs, by))


def setting_table(compared: Comparison) -> pd.DataFrame:
    """Return the table of :func:`compare_settings`."""
    rows = []
    for name, positions in compared.groups().items():
        runs = compared.table.iloc[positions]
        first = compared.configs[positions[0]]
        row = {"setting": name or "all runs"}
        row |= {field: first.get(field) for field in compared.settings.of_setting}
        rows.append({**row, **_grokking(runs), **_ranges(runs)})
    columns = {name: [row.get(name) for row in rows] for row in rows for name in row}
    return pd.DataFrame({name: column_of(values) for name, values in columns.items()})


def _grokking(runs: pd.DataFrame) -> dict[str, Any]:
    grokked = runs["grokking_step"].dropna().to_numpy(dtype=float)
    censored = runs.loc[runs["grokking_step"].isna(), "censored_at"].dropna().to_numpy(dtype=float)
    times = np.concatenate([grokked, censored])
    is_censored = np.arange(len(times)) >= len(grokked)
    return {
        "n_runs": len(runs),
        "n_generalized": len(grokked),
        "n_censored": len(censored),
        "grokking_step": _whole(median_with_censoring(times, is_censored)) if len(times) else None,
        "grokking_step_low": int(grokked.min()) if len(grokked) else None,
        "grokking_step_high": int(grokked.max()) if len(grokked) and not len(censored) else None,
    }


def _whole(step: float | None) -> int | float | None:
    """Return a step as a whole number where it is one: the median of two may lie between."""
    return int(step) if step is not None and step.is_integer() else step


def _ranges(runs: pd.DataFrame) -> dict[str, int | float | None]:
    found: dict[str, int | float | None] = {}
    for name in SUMMARIZED:
        if name in runs:
            values = runs[name].dropna().to_numpy(dtype=float)
            ends = {"": np.median, "_low": np.min, "_high": np.max}
            for end, take in ends.items():
                value = float(take(values)) if len(values) else None
                found[f"{name}{end}"] = _whole(value) if name.endswith("_step") else value
    return found
