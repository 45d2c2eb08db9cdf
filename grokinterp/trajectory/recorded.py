"""Losses and accuracies along a run: as recorded, or as its checkpoints show them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from grokinterp.errors import CheckpointError
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.runs.run import CURVE_COLUMNS, Run


def has_recorded(run: Run, column: str) -> bool:
    """Whether the curves of a run hold at least one number of a column."""
    return bool(np.isfinite(run.curves[column].to_numpy(dtype=float)).any())


def known_curves(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves with a test loss, and curves with accuracies: of the run, or of its checkpoints.

    A run from elsewhere may come without either; then the checkpoints have to do.
    """
    has_losses, has_accuracies = (has_recorded(run, c) for c in ("test_loss", "test_accuracy"))
    if has_losses and has_accuracies:
        return run.curves, run.curves
    computed = checkpoint_curves(run)
    return (run.curves if has_losses else computed, run.curves if has_accuracies else computed)


def checkpoint_curves(run: Run) -> pd.DataFrame:
    """Curves computed at every checkpoint, for a run that came without.

    All checkpoints are run, whichever an analysis takes, so that the steps that are found do
    not depend on that.

    Returns
    -------
    DataFrame
        step, train_loss, test_loss (nats), train_accuracy, test_accuracy. No rows where the
        split is not known; damaged checkpoints are left out.
    """
    labels = torch.tensor(run.task.labels)
    sides = {"train": torch.tensor(run.split.train), "test": torch.tensor(run.split.test)}
    rows = []
    for step in run.steps if run.split.is_known else ():
        try:
            logits = run.logits(step)
        except CheckpointError:
            continue
        losses, correct = pair_losses(logits, labels), are_correct(logits, labels).double()
        rows.append(
            {
                "step": step,
                **{f"{side}_loss": float(losses[at].mean()) for side, at in sides.items()},
                **{f"{side}_accuracy": float(correct[at].mean()) for side, at in sides.items()},
            }
        )
    return pd.DataFrame(rows, columns=pd.Index(CURVE_COLUMNS))
