"""The milestones of a run, judged on everything that it recorded."""

from __future__ import annotations

import pandas as pd

from grokinterp.runs.run import Run
from grokinterp.tasks import Task
from grokinterp.trajectory.doubted import no_milestones
from grokinterp.trajectory.milestones import Milestones, find_milestones
from grokinterp.trajectory.mirrored import unmirrored_transition
from grokinterp.trajectory.thresholds import Thresholds


def milestones_of(
    run: Run, accuracies: pd.DataFrame | None = None, thresholds: Thresholds | None = None
) -> Milestones:
    """Find the milestones of a run from its curves, its unmirrored test pairs and chance.

    Parameters
    ----------
    run
        Of any task; without an accuracy there are no milestones, and the reasons say so.
    accuracies
        Columns ``step``, ``train_accuracy``, ``test_accuracy``; None for the run's curves.
    thresholds
        What counts as memorized, generalized and lasting.

    Examples
    --------
    >>> milestones_of(run) == analysis.milestones
    True
    """
    if run.doubts:
        return no_milestones(run)
    task = run.split.task
    return find_milestones(
        run.curves if accuracies is None else accuracies,
        diverged_at=run.diverged_at,
        unmirrored=unmirrored_transition(run, accuracies, thresholds),
        thresholds=thresholds,
        # Digits are guessed at the share of the most frequent one, a regression not at all.
        chance=1 / task.n_classes if isinstance(task, Task) else None,
    )
