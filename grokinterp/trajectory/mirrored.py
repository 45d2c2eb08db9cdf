"""Accuracy along a run on the test pairs that commutativity alone cannot answer."""

from __future__ import annotations

import pandas as pd
import torch

from grokinterp.errors import CheckpointError
from grokinterp.models.pair_tables import forward_pairs
from grokinterp.runs.run import Run


def unmirrored_accuracies(run: Run) -> pd.DataFrame | None:
    """Test accuracy at every checkpoint on the pairs whose mirror image is not trained.

    The same numbers as the column ``test_accuracy_unmirrored`` of an analysis, without the
    rest of it.

    Returns
    -------
    DataFrame or None
        Columns ``step``, ``test_accuracy_unmirrored``; None where the operation does not
        commute or every test pair is mirrored. Damaged checkpoints are left out.
    """
    rows = run.split.test[~run.split.is_mirrored[run.split.test]]
    if not run.task.operation.is_commutative or not len(rows):
        return None
    pairs, labels = torch.tensor(run.task.pairs[rows]), torch.tensor(run.task.labels[rows])
    found = []
    for step in run.steps:
        try:
            parameters = run.parameters(step)
        except CheckpointError:
            continue
        with torch.no_grad():
            answers = forward_pairs(parameters, run.spec, pairs).logits.argmax(dim=-1)
        found.append((step, (answers == labels).double().mean().item()))
    return pd.DataFrame(found, columns=pd.Index(["step", "test_accuracy_unmirrored"]))
