"""Accuracy of a checkpoint on some of the pairs, such as those that commutativity cannot answer."""

from __future__ import annotations

import numpy as np
import torch

from grokinterp.runs.run import Run
from grokinterp.tasks import Task


def rows_by_mirror(run: Run) -> dict[str, np.ndarray]:
    """Return the test pairs whose mirror image (b, a) is trained, and the others.

    A network that memorizes and has learned only a∘b = b∘a is right on the first and at chance
    on the second.

    Returns
    -------
    dict[str, ndarray]
        Rows of the task's pairs as ``mirrored`` and ``unmirrored``; both are empty where the
        operation does not commute or the run is not on pairs.
    """
    task, split = run.split.task, run.split
    if not isinstance(task, Task) or not task.operation.is_commutative:
        nothing = np.zeros(0, dtype=np.int64)
        return {"mirrored": nothing, "unmirrored": nothing}
    mirrored = split.test[split.is_mirrored[split.test]]
    return {"mirrored": mirrored, "unmirrored": split.unmirrored_test}


def accuracy_on(run: Run, step: int | None, rows: np.ndarray) -> float:
    """Fraction of these pairs that a checkpoint answers rightly.

    Parameters
    ----------
    run
        On pairs.
    step
        Of the checkpoint; None: the last.
    rows
        (n,) rows of the task's pairs, at least one.

    Raises
    ------
    CheckpointError
        If there is no checkpoint at that step, or it is damaged.
    """
    answers = run.logits(step, rows).argmax(dim=-1)
    return (answers == torch.tensor(run.task.labels[rows])).double().mean().item()
