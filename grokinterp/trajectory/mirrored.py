"""When a run learned the test pairs that commutativity alone cannot answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from grokinterp.errors import CheckpointError
from grokinterp.runs.accuracy import accuracy_on, rows_by_mirror
from grokinterp.runs.run import Run
from grokinterp.trajectory.course import follow_both
from grokinterp.trajectory.lasting import Windows
from grokinterp.trajectory.thresholds import Thresholds
from grokinterp.trajectory.transition import brief_patience, levels, on_plateau

_COLUMNS = ("step", "test_accuracy_unmirrored")


def unmirrored_transition(
    run: Run, accuracies: pd.DataFrame | None = None, thresholds: Thresholds | None = None
) -> pd.DataFrame | None:
    """Test accuracy on the pairs whose mirror image is not trained, where it decides.

    Only the checkpoints that decide when that accuracy leaves its plateau and arrives are run:
    those that show the plateau after memorization, and those from the last before the test
    accuracy could have taken these pairs off it, until they stay right. The verdict on a run
    therefore does not depend on which checkpoints an analysis takes.

    Parameters
    ----------
    run
        Where the weights are.
    accuracies
        Columns ``step``, ``train_accuracy``, ``test_accuracy``: None for those of the run's
        curves.
    thresholds
        What counts as memorized, generalized and lasting.

    Returns
    -------
    DataFrame or None
        Columns ``step``, ``test_accuracy_unmirrored``; no rows for a run without a step of
        memorization and a later one of generalization. None where the run is not on pairs or
        the operation does not commute, every test pair is mirrored or none is, or no test
        accuracy was recorded. Damaged checkpoints are left out.
    """
    rows = rows_by_mirror(run)["unmirrored"]
    # Without a mirrored pair the test accuracy is that of these pairs, and its curve is finer.
    if len(rows) == len(run.split.test):
        return None
    tested = (run.curves if accuracies is None else accuracies).dropna(subset=["test_accuracy"])
    if not len(rows) or tested.empty:
        return None
    limits = thresholds or Thresholds()
    memorization, grokking = (
        None if course is None else course.reached
        for course in follow_both(tested, limits) or (None, None)
    )
    if memorization is None or grokking is None or grokking <= memorization:
        return _as_table({})
    patience = brief_patience(grokking - memorization, limits)
    accuracy_at = _accuracy_on(run, rows)
    found = _on_plateau(run.steps, memorization, patience, accuracy_at)
    if not found:
        return _as_table({})
    low, high = levels(float(np.median(list(found.values()))), limits)
    # Were every right answer an unmirrored pair, their accuracy would be this times higher.
    could_leave = low * len(rows) / len(run.split.test)
    is_off = (tested["step"] > max(found)) & (tested["test_accuracy"] > could_leave)
    off = min(tested.loc[is_off, "step"], default=run.last_step)
    n_earlier = sum(step < off for step in run.steps)
    found |= _last_readable(run.steps[:n_earlier], found, accuracy_at)
    for step in run.steps[n_earlier:]:
        found |= accuracy_at(step)
        if _has_arrived(found, high, patience, limits):
            break
    return _as_table(found)


def _accuracy_on(run: Run, rows: np.ndarray) -> Callable[[int], dict[int, float]]:
    """A function from a step to its accuracy on some pairs; nothing for a damaged checkpoint."""

    def accuracy_at(step: int) -> dict[int, float]:
        try:
            return {step: accuracy_on(run, step, rows)}
        except CheckpointError:
            return {}

    return accuracy_at


def _on_plateau(
    steps: Sequence[int],
    memorization: int,
    patience: int,
    accuracy_at: Callable[[int], dict[int, float]],
) -> dict[int, float]:
    """Accuracies at the checkpoints of the plateau, or at the nearest that can be read."""
    shown = on_plateau(np.array(steps), memorization, patience)
    found = {}
    for step in steps[shown]:
        found |= accuracy_at(step)
    for step in (*reversed(steps[: shown.start]), *steps[shown.stop :]):
        if found:
            break
        found |= accuracy_at(step)
    return found


def _last_readable(
    steps: Sequence[int],
    found: Mapping[int, float],
    accuracy_at: Callable[[int], dict[int, float]],
) -> dict[int, float]:
    """The accuracy at the last of some checkpoints that can be read, where it is not known yet."""
    for step in reversed(steps):
        if step in found:
            break
        if got := accuracy_at(step):
            return got
    return {}


def _has_arrived(
    found: Mapping[int, float], high: float, patience: int, limits: Thresholds
) -> bool:
    """Whether what was looked at so far shows the accuracy at its upper level for long enough."""
    steps = np.array(sorted(found))
    accuracy = np.array([found[step] for step in steps])
    is_deep = accuracy < high - limits.dip_depth
    windows = Windows(steps, accuracy >= high, is_deep, patience, limits)
    return windows.first_lasting(cut_off=False) is not None


def _as_table(found: Mapping[int, float]) -> pd.DataFrame:
    return pd.DataFrame(sorted(found.items()), columns=pd.Index(_COLUMNS))
