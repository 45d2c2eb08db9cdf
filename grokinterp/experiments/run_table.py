"""A run as a row: what was varied, when it memorized and generalized, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokinterp.experiments.experiment import PlannedRun
from grokinterp.fields import Number, plain_number
from grokinterp.runs.accuracy import accuracy_on, rows_by_mirror
from grokinterp.trajectory.lasting import first_lasting
from grokinterp.trajectory.run_milestones import milestones_of

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

POWER_THRESHOLD = 0.99
"""Test accuracy at which Power et al. 2022 (arXiv:2201.02177) call a run generalized."""


def row_of(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Return the standard columns of runs.csv for a finished run.

    Steps count updates, losses are in the units of the run's loss, accuracies in [0, 1].

    ``run``
        Hash of the config: the folder of the run in the store.
    ``n_steps``, ``last_step``
        Steps of the config, and the last that was trained: less where the run stopped early.
    ``memorization_step``, ``grokking_step``, ``first_crossing_step``, ``grokking_delay``, \
    ``transition_width``, ``outcome_kind``, ``outcome``
        As :class:`~grokinterp.trajectory.Milestones` has them; ``outcome`` is the sentence, and
        says why a step is missing. A run that generalized and collapsed has a ``grokking_step``.
    ``first_crossing_99``
        First tested step with a test accuracy of at least 99 %, Power et al.'s definition.
    ``is_censored``, ``grokking_time``
        Whether the test accuracy never crossed its threshold; and ``first_crossing_step``, or
        for a censored run ``last_step``, which the true time exceeds. The delay is counted to
        ``grokking_step``, so it can be longer where the accuracy crossed, fell and came back.
    ``diverged_at``
        Step at which the training loss stopped being finite.
    ``train_loss``, ``test_loss``, ``train_accuracy``, ``test_accuracy``
        At the last tested step.
    ``max_test_loss``
        The largest finite one.
    ``test_accuracy_mirrored``, ``test_accuracy_unmirrored``
        Of the last checkpoint, apart for the test pairs whose mirror image is trained and for
        the others, where the operation commutes. A network that only memorizes and knows
        ``a ∘ b = b ∘ a`` is right on the first and at chance on the second.

    What does not apply is None: a regression has no accuracies, and so no steps.
    """
    milestones = milestones_of(run)
    tested = run.curves.dropna(subset=["test_accuracy"])
    crossing = milestones.first_crossing_step
    is_censored = crossing is None if len(tested) else None
    row: dict[str, Any] = {
        **planned.labels,
        "run": planned.config.hash(),
        "n_steps": planned.config.n_steps,
        "last_step": run.last_step,
        "memorization_step": milestones.memorization_step,
        "grokking_step": milestones.grokking_step,
        "first_crossing_step": crossing,
        "first_crossing_99": first_lasting(
            tested["step"].to_numpy(dtype=np.int64),
            tested["test_accuracy"].to_numpy() >= POWER_THRESHOLD,
            patience=0,
        ),
        "is_censored": is_censored,
        "grokking_time": run.last_step if is_censored else crossing,
        "grokking_delay": milestones.grokking_delay,
        "transition_width": milestones.transition_width,
        "outcome_kind": milestones.outcome_kind,
        "outcome": milestones.outcome,
        "diverged_at": run.diverged_at,
        **_last_values(run.curves),
        "max_test_loss": run.curves["test_loss"].replace(np.inf, np.nan).max(),
        **_mirrored_accuracies(run),
    }
    return {name: plain_number(value) for name, value in row.items()}


def _last_values(curves: pd.DataFrame) -> dict[str, float | None]:
    last = {}
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        values = curves[name].dropna()
        last[name] = values.iloc[-1] if len(values) else None
    return last


def _mirrored_accuracies(run: Run) -> dict[str, float | None]:
    """Accuracy of the last checkpoint on both kinds of test pairs of a commutative operation."""
    return {
        f"test_accuracy_{name}": accuracy_on(run, None, rows) if len(rows) and run.steps else None
        for name, rows in rows_by_mirror(run).items()
    }
