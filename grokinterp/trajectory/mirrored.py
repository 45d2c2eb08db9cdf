"""When a run learned the test pairs that commutativity alone cannot answer."""

from __future__ import annotations

import pandas as pd

from grokinterp.errors import CheckpointError
from grokinterp.runs.accuracy import accuracy_on, rows_by_mirror
from grokinterp.runs.run import Run
from grokinterp.trajectory.milestones import TRANSITION


def unmirrored_transition(run: Run, accuracies: pd.DataFrame | None = None) -> pd.DataFrame | None:
    """Test accuracy on the pairs whose mirror image is not trained, across the transition.

    Only the checkpoints that decide when that accuracy goes from at most 10 % to at least
    90 % are run: it cannot be above 10 % before the test accuracy is, and nothing after its
    first 90 % matters. The verdict on a run therefore does not depend on which checkpoints
    an analysis takes.

    Parameters
    ----------
    run
        Where the weights are.
    accuracies
        Columns ``step``, ``test_accuracy``: None for those of the run's curves.

    Returns
    -------
    DataFrame or None
        Columns ``step``, ``test_accuracy_unmirrored``, from a checkpoint at or below 10 % to
        the first at or above 90 %, or to the end. None where the run is not on
        pairs or the operation does not commute, every test pair is mirrored, or no test
        accuracy was recorded. Damaged checkpoints are left out.
    """
    rows = rows_by_mirror(run)["unmirrored"]
    tested = (run.curves if accuracies is None else accuracies).dropna(subset=["test_accuracy"])
    if not len(rows) or tested.empty:
        return None
    low, high = TRANSITION
    share = len(rows) / len(run.split.test)
    # Were every right answer an unmirrored pair, their accuracy would be this times higher.
    above = tested["step"].to_numpy()[(tested["test_accuracy"] > low * share).to_numpy()]
    first_above = above[0] if len(above) else run.last_step + 1
    before = [step for step in run.steps if step < first_above]
    found = []
    for step in run.steps[max(len(before) - 1, 0) :]:
        try:
            found.append((step, accuracy_on(run, step, rows)))
        except CheckpointError:
            continue
        if found[-1][1] >= high:
            break
    return pd.DataFrame(found, columns=pd.Index(["step", "test_accuracy_unmirrored"]))
