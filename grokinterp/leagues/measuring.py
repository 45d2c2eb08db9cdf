"""Measures along a run without looking ahead: key frequencies are those of each checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from grokinterp.circuits import KeyFrequencies, Snapshot, take_snapshot
from grokinterp.circuits.key_frequencies import strongest_key_frequencies
from grokinterp.measures import MEASURES, Measure
from grokinterp.tasks import Task, TaskSpec

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

LOOKING_AHEAD = "_last_keys"
"""Ends the columns that are computed with the key frequencies of the last checkpoint."""
RATIO = 1.12
"""Between the steps of one measured checkpoint and the next, once these are far enough apart."""


def measured_steps(steps: Iterable[int], *, ratio: float = RATIO) -> list[int]:
    """Choose some of the steps, log-spaced; the first and the last always.

    Examples
    --------
    >>> measured_steps(range(0, 1001, 100), ratio=1.5)
    [0, 100, 200, 300, 500, 800, 1000]
    """
    every = sorted(steps)
    chosen: list[int] = []
    for step in every:
        if not chosen or step >= chosen[-1] * ratio:
            chosen.append(step)
    return sorted({*chosen, *every[-1:]})


def measure_along(
    run: Run, measures: Sequence[Measure] = MEASURES, steps: Iterable[int] | None = None
) -> pd.DataFrame:
    """Take measures at checkpoints, each with the key frequencies that it shows itself.

    Parameters
    ----------
    run
        Any run.
    measures
        What to measure.
    steps
        Which checkpoints; None: those of :func:`measured_steps`.

    Returns
    -------
    pd.DataFrame
        A row per checkpoint: ``step`` and the columns of the measures. A measure that needs key
        frequencies has each of its columns twice: with those of the checkpoint, and, under a name
        that ends in ``_last_keys``, with those of the last one. NaN where it has no meaning.
    """
    chosen = measured_steps(run.steps) if steps is None else list(steps)
    _see_as_addition(run.task)
    last_keys = strongest_key_frequencies(take_snapshot(run, run.steps[-1]))
    return pd.DataFrame(
        [{"step": step, **_row(take_snapshot(run, step), measures, last_keys)} for step in chosen]
    )


def _see_as_addition(task: Any) -> None:
    """Give answers that are random the group of addition modulo p.

    Otherwise no measure of frequencies would have a value where there is nothing to find, and
    nobody could count its false alarms.
    """
    if isinstance(task, Task) and task.spec.operation in ("random_labels", "table"):
        cast(dict[str, Any], vars(task))["group_view"] = Task(TaskSpec(p=task.spec.p)).group_view


def _row(
    snapshot: Snapshot, measures: Sequence[Measure], last_keys: KeyFrequencies
) -> dict[str, float]:
    own_keys = strongest_key_frequencies(snapshot)
    row: dict[str, float] = {}
    for one in measures:
        row |= _values(one, snapshot, own_keys)
        if "key_frequencies" in one.needs:
            ahead = _values(one, snapshot, last_keys)
            row |= {f"{column}{LOOKING_AHEAD}": value for column, value in ahead.items()}
    return row


def _values(one: Measure, snapshot: Snapshot, keys: KeyFrequencies) -> dict[str, float]:
    is_known, missing = snapshot.split.is_known, snapshot.network.missing
    if one.why_not(snapshot.task, keys, split_is_known=is_known, missing=missing) is not None:
        return dict.fromkeys(one.columns_where(is_known), math.nan)
    return one.values(snapshot, keys)


def write_trajectory(trajectory: pd.DataFrame, file: Path) -> None:
    """Write a trajectory as a compressed table of float32, atomically."""
    from grokinterp.runs.atomic import write_atomically

    write_atomically(file, packed_columns({str(k): v.to_numpy() for k, v in trajectory.items()}))


def packed_columns(columns: dict[str, np.ndarray]) -> bytes:
    """Compress columns as an .npz: floats as float32, all else as it is."""
    import io

    buffer = io.BytesIO()
    small = {
        name: values.astype(np.float32) if values.dtype.kind == "f" else values
        for name, values in columns.items()
    }
    np.savez_compressed(buffer, allow_pickle=False, **small)
    return buffer.getvalue()
