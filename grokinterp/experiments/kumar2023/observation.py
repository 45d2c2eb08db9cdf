"""What is read off a finished run: when its losses fell, and how far its kernel moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokinterp.experiments.curve_cells import cell_of, spread_rows
from grokinterp.experiments.experiment import PlannedRun
from grokinterp.experiments.kumar2023.charts import COMMITTEE
from grokinterp.fields import Number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from grokinterp.runs.run import Run

LEVELS = {"": 0.1, "_at_20": 0.2, "_at_5": 0.05}
"""Part of its first value below which a loss has fallen, by the ending of its columns; the first
is judged, the others are looked at."""
FITTED = 0.99
KERNEL_POINTS = 150
N_KERNELS = 20
"""Checkpoints whose kernels are observed, at most."""


def observe(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Read when the losses fell, how far weights and kernel moved, and what its kernel gives.

    Returns
    -------
    dict[str, Number]
        ``norm_ratio``: last norm over first. On addition ``fit_step``: training accuracy of 99 %.
        Of the committee ``train_fall_step`` and ``test_fall_step``, the first tested steps after
        its largest value at which a loss is below 10 % of its value at step 0, the same at
        other levels, as ``train_fall_step_at_20``; ``first_test_loss``; ``norm_ratio_at_fall``,
        norm over first norm at the first checkpoint from ``test_fall_step`` on, and
        ``norm_growth_in_delay``, that norm over the one at the last checkpoint up to
        ``train_fall_step``. On test points ``kernel_drift``, ``kernel_cosine`` and
        ``weight_movement`` at the end, ``first_alignment`` and ``last_alignment``. Regression
        with the first kernel on test points: ``kernel_loss``, stopped at the run's last step,
        ``kernel_loss_limit``, not stopped, and ``kernel_loss_least``, stopped where it is best.
        ``loss_points``, ``step:training loss:test loss``, and ``kernel_points``,
        ``step:drift:alignment:movement:norm ratio``, both separated by spaces.
    """
    from grokinterp.runs.weights import trained_norm

    tested = run.curves.dropna(subset=["test_loss"])
    norms = {step: trained_norm(run, step) for step in run.steps}
    first, last = norms[run.steps[0]], norms[run.steps[-1]]
    observed: dict[str, Number] = {"norm_ratio": last / first}
    if planned.labels["arm"] != COMMITTEE:
        is_fit = (tested["train_accuracy"] >= FITTED).to_numpy()
        fit_steps = tested["step"].to_numpy()[is_fit]
        return observed | {"fit_step": int(fit_steps[0]) if len(fit_steps) else None}
    falls = _fall_columns(tested)
    observed |= falls | _growth_columns(norms, falls)
    observed["first_test_loss"] = float(tested["test_loss"].iloc[0])
    observed |= _kernel_columns(run) | _regression_columns(run)
    observed["loss_points"] = _loss_points(tested)
    return observed


def _fall_columns(tested: pd.DataFrame) -> dict[str, int | None]:
    steps = tested["step"].to_numpy()
    return {
        f"{side}_fall_step{suffix}": fall_step(steps, tested[f"{side}_loss"].to_numpy(), level)
        for suffix, level in LEVELS.items()
        for side in ("train", "test")
    }


def fall_step(
    steps: Sequence[int] | np.ndarray, losses: Sequence[float] | np.ndarray, level: float
) -> int | None:
    """First step, from the largest loss on, at which a loss is below `level` times the first one.

    Examples
    --------
    >>> fall_step([0, 10, 20, 30], [1.0, 1.5, 0.5, 0.05], 0.1)
    30
    >>> fall_step([0, 10, 20], [1.0, 1.5, 0.12], 0.1) is None
    True
    """
    import numpy as np

    values = np.asarray(losses, dtype=float)
    peak = int(np.where(np.isfinite(values), values, -1.0).argmax())
    after = zip(steps[peak:], values[peak:], strict=True)
    return next((int(step) for step, loss in after if loss < level * values[0]), None)


def _growth_columns(
    norms: dict[int, float], falls: dict[str, int | None]
) -> dict[str, float | None]:
    train, test = falls["train_fall_step"], falls["test_fall_step"]
    after = next((step for step in norms if test is not None and step >= test), None)
    before = None if train is None else max(step for step in norms if step <= train)
    at_fall = None if after is None else norms[after]
    grown = None if at_fall is None or before is None else at_fall / norms[before]
    return {
        "norm_ratio_at_fall": None if at_fall is None else at_fall / next(iter(norms.values())),
        "norm_growth_in_delay": grown,
    }


def _kernel_columns(run: Run) -> dict[str, Number]:
    from grokinterp.experiments.kumar2023.tangent_kernel import kernel_path

    path = kernel_path(run, n_points=KERNEL_POINTS, n_checkpoints=N_KERNELS)
    columns = (path.steps, path.drift, path.alignment, path.movement, path.norm_ratio)
    return {
        "kernel_drift": path.drift[-1],
        "kernel_cosine": path.cosine[-1],
        "weight_movement": path.movement[-1],
        "first_alignment": path.alignment[0],
        "last_alignment": path.alignment[-1],
        "kernel_points": cell_of(zip(*columns, strict=True)),
    }


def _regression_columns(run: Run) -> dict[str, Number]:
    from grokinterp.experiments.kumar2023.tangent_kernel import first_kernel_regression

    regression = first_kernel_regression(run)
    return {
        "kernel_loss": regression.test_loss(run.last_step),
        "kernel_loss_limit": regression.test_loss(math.inf),
        "kernel_loss_least": regression.least_test_loss(),
    }


def _loss_points(tested: pd.DataFrame) -> str:
    kept = tested.iloc[spread_rows(len(tested), 50)]
    return cell_of(kept[["step", "train_loss", "test_loss"]].to_numpy())
