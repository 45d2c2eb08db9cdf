"""The task and the training pairs that a user or a file gives, as a table over all operands."""

from __future__ import annotations

import numpy as np

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.runs.importers.assembly import given_split
from grokinterp.runs.importers.hints import Hints
from grokinterp.tasks import Task, TaskSpec


def trained_table(train_pairs: object, given: Task | None, p: int) -> np.ndarray | None:
    """Return which pairs were trained on, as a (p, p) table; None where that is not known.

    Parameters
    ----------
    train_pairs
        Rows of the task's pairs (of all p * p where no task is given), or (n, 2) pairs.
    given
        The task, if one is given.
    p
        Operands.
    """
    if train_pairs is None:
        return None
    given = given or Task(TaskSpec(p=p))
    chosen = given.pairs[given_split(given, train_pairs).train]
    trained = np.zeros((p, p), dtype=bool)
    trained[chosen[:, 0], chosen[:, 1]] = True
    return trained


def stored_table(train_pairs: object, hints: Hints, p: int) -> np.ndarray | None:
    """Return which pairs a file says were trained on, as a (p, p) table.

    None if it does not say, if the user gives others, or if they are no pairs of the task: whoever
    makes a split of them says what is wrong.
    """
    if train_pairs is None or hints.train_pairs is not None:
        return None
    try:
        return trained_table(train_pairs, given_task(hints, p), p)
    except ConfigError:
        return None


def given_task(hints: Hints, p: int) -> Task | None:
    """Return the task that the user gives for a network with p operands; None if none is given.

    Raises
    ------
    CheckpointError
        If the task has another number of operands.
    """
    spec = hints.task_on(p)
    if spec is None:
        return None
    task = Task(spec)
    if task.n_tokens != p:
        what = "answers" if task.spec.table is None else "operands"
        raise CheckpointError(
            f"the network has {p} {what}, the task {task.n_tokens}. Check the task's p."
        )
    return task
