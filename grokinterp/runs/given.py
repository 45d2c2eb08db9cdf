"""Checks of what is passed for each step, and of logged losses."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import checked, shown
from grokinterp.runs.importers.assembly import LARGEST_STEP, are_steps, given_split
from grokinterp.runs.record import BATCH_LOSS, CURVE_COLUMNS
from grokinterp.tasks import Split, Task, TaskSpec


def by_step(name: str, what: str, given: Mapping[Any, Any]) -> dict[int, Any]:
    """Return what was given by step, in the order of the steps.

    Parameters
    ----------
    name
        Of the argument.
    what
        A value of it is called in the message.

    Raises
    ------
    CheckpointError
        If there is none, or a step is no number of updates.
    """
    if not given:
        raise CheckpointError(f"{name} is empty. Pass {{step: {what}}} with at least one step.")
    for step in given:
        is_whole = isinstance(step, Integral) and not isinstance(step, bool)
        if not is_whole or not 0 <= int(step) < LARGEST_STEP:
            raise CheckpointError(
                f"{name} has the step {shown(step)}. Pass {{step: {what}}} with the number of "
                "updates applied, a non-negative integer."
            )
    return {int(step): given[step] for step in sorted(given)}


def split_of(task: TaskSpec, train_pairs: Any) -> Split:
    """Return the split with the given training pairs; an unknown split if there are none."""
    return (
        Split.unknown(Task(task)) if train_pairs is None else given_split(Task(task), train_pairs)
    )


def given_curves(curves: pd.DataFrame | None) -> pd.DataFrame:
    """Return logged losses and accuracies as a run has them; no rows if none were logged.

    Raises
    ------
    ConfigError
        If it is not a table with ``step`` and a column of a run's curves, or repeats a step.

    Examples
    --------
    >>> given_curves(pd.DataFrame({"step": [10, 0], "test_loss": [0.5, 2.5]}))["test_loss"].tolist()
    [2.5, 0.5]
    """
    if curves is None:
        return pd.DataFrame(columns=pd.Index(CURVE_COLUMNS), dtype=float).astype({"step": "int64"})
    checked("curves", curves, pd.DataFrame, "Pass a table with a row per step.")
    more = [name for name in (BATCH_LOSS,) if name in curves]
    known = [name for name in (*CURVE_COLUMNS[1:], *more) if name in curves]
    if "step" not in curves or not known:
        raise ConfigError(
            f"curves has the columns {', '.join(map(str, curves.columns)) or 'none'}. It takes "
            f"step and any of {', '.join((*CURVE_COLUMNS[1:], BATCH_LOSS))}."
        )
    try:
        columns = {name: curves[name].to_numpy(dtype=float) for name in ("step", *known)}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"curves has a cell that is not a number: {error}.") from None
    if not are_steps(columns["step"].tolist()):
        raise ConfigError("curves has steps that are not distinct non-negative integers.")
    table = pd.DataFrame(columns).sort_values(by="step").reset_index(drop=True)
    table = table.astype({"step": "int64"}).reindex(columns=[*CURVE_COLUMNS, *more])
    return table.replace(-np.inf, np.inf)
