"""When the progress measures of a run are half way, and when its test accuracy jumps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokinterp.experiments.experiment import PlannedRun
from grokinterp.experiments.nanda2023.random_frequencies import losses_of_random_frequencies
from grokinterp.fields import Number

if TYPE_CHECKING:
    from grokinterp.runs.run import Run
    from grokinterp.trajectory import Analysis

MAX_CHECKPOINTS = 130
"""More are thinned out: a checkpoint modulo 113 costs 0.3 s."""
JUMP_ACCURACY = 0.5
CURVES = (
    "test_loss",
    "excluded_loss_train",
    "restricted_loss_test",
    "held_out_restricted_loss",
    "test_accuracy",
    "test_accuracy_unmirrored",
    "sum_squared_weights",
)
"""Measures that the charts draw, where a run has them."""
CURVES_COLUMN = "progress_file"
CURVES_FILE = "progress.csv"


def observe_progress(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Analyze a run at its checkpoints and return its leads, phases and key frequencies.

    ``jump_step``, ``jump_step_all``
        First checkpoint with more than half of the test pairs right: of those whose mirror
        image is not trained, and of all.
    ``test_loss_step``, ``excluded_step``, ``restricted_step``, ``held_out_step``
        When each loss is half way, see :func:`half_way_steps`.
    ``test_loss_lead``, ``excluded_lead``, ``restricted_lead``, ``held_out_lead``
        Steps from there to the jump; None where there is no jump, or no half way.
    ``excluded_ahead``, ``restricted_ahead``
        Steps from there to the step at which the test loss itself is half way.
    ``n_random``, ``n_random_excluded``, ``n_random_restricted``, ``first_random_excluded_step``, \
    ``first_random_restricted_step``
        Sets of random frequencies, those whose loss is half way no later than that of the key
        frequencies, and the earliest step of one: see
        :mod:`~grokinterp.experiments.nanda2023.random_frequencies`.
    ``memorization_steps``, ``circuit_formation_steps``, ``cleanup_steps``
        Length of each phase, None for one that there is not.
    ``cleanup_weight_ratio``
        Sum of squared weights at the end of cleanup, of that at its start.
    ``n_key_frequencies``, ``key_frequencies``, ``final_variance_explained``
        Of the last checkpoint; the fraction of the logits' variance that they explain.
    ``progress_file``
        CSV file of the measures along training, in the analysis of the run, for the charts.
        None for a run in memory.
    """
    from grokinterp.trajectory import analyze_run

    every = math.ceil(len(run.steps) / MAX_CHECKPOINTS)
    analysis = analyze_run(run, deep=False, every=every)
    trajectory = analysis.trajectory
    keys = analysis.key_frequencies.frequencies
    found = half_way_steps(trajectory, run.task.n_classes)
    random_losses = losses_of_random_frequencies(run, trajectory["step"], keys)
    explained = trajectory.get("fraction_logit_variance_explained")
    return {
        **found,
        **_of_random(trajectory, random_losses, found, run.task.n_classes),
        **_phases(analysis),
        "n_key_frequencies": len(keys),
        "key_frequencies": " ".join(str(k) for k in keys),
        "final_variance_explained": None if explained is None else float(explained.iloc[-1]),
        CURVES_COLUMN: _kept_curves(run, trajectory),
    }


def _of_random(
    trajectory: pd.DataFrame,
    losses: list[pd.DataFrame],
    found: dict[str, Number],
    n_classes: int,
) -> dict[str, Number]:
    """Compare the steps of random frequencies with those of the key frequencies."""
    kept = trajectory[["step", "test_accuracy", "test_accuracy_unmirrored"]]
    columns: dict[str, Number] = {"n_random": len(losses)}
    for name in ("excluded", "restricted"):
        steps = []
        for one in losses:
            step = half_way_steps(kept.join(one), n_classes)[f"{name}_step"]
            steps += [] if step is None else [step]
        reached = found[f"{name}_step"]
        columns[f"n_random_{name}"] = (
            len(steps) if reached is None else sum(step <= reached for step in steps)
        )
        columns[f"first_random_{name}_step"] = min(steps, default=None)
    return columns


def half_way_steps(trajectory: pd.DataFrame, n_classes: int) -> dict[str, Number]:
    """Return the jump of the test accuracy, when each loss is half way, and the leads.

    The test loss falls like the restricted loss, on the same pairs; how far the others are ahead
    of it is what they tell that it does not.

    Up to the jump a loss has a smallest and a largest value. One that rises is half way between
    that smallest and its largest of the whole run at the first checkpoint after the smallest
    from which on it stays above until the jump; one that falls is half way between that largest
    and its smallest of the whole run at the first from which on it stays below to the end. A
    loss that moves by less than log(n_classes) / 2 nats has not moved: None.

    Examples
    --------
    >>> trajectory = pd.DataFrame({
    ...     "step": [0, 10, 20, 30, 40],
    ...     "test_accuracy": [0.0, 0.0, 0.1, 0.2, 1.0],
    ...     "excluded_loss_train": [4.0, 0.1, 0.2, 3.0, 9.0],
    ...     "restricted_loss_test": [4.0, 5.0, 1.0, 0.1, 0.0],
    ... })
    >>> steps = half_way_steps(trajectory, n_classes=37)
    >>> steps["jump_step"], steps["excluded_lead"], steps["restricted_lead"]
    (40, 0, 20)
    """
    least = math.log(n_classes) / 2
    steps = trajectory["step"].to_numpy(dtype=np.int64)
    columns = {str(name): values.to_numpy() for name, values in trajectory.items()}
    test = columns["test_accuracy"]
    unmirrored = columns.get("test_accuracy_unmirrored", test)
    jump = _first(steps, unmirrored > JUMP_ACCURACY)
    found: dict[str, Number] = {
        "jump_step": jump,
        "jump_step_all": _first(steps, test > JUMP_ACCURACY),
        "test_loss_step": _fall(steps, columns.get("test_loss"), least, jump),
        "excluded_step": _rise(steps, columns.get("excluded_loss_train"), least, jump),
        "restricted_step": _fall(steps, columns.get("restricted_loss_test"), least, jump),
        "held_out_step": _fall(steps, columns.get("held_out_restricted_loss"), least, jump),
    }
    leads = {
        f"{name}_lead": _steps_from(found[f"{name}_step"], jump)
        for name in ("test_loss", "excluded", "restricted", "held_out")
    }
    ahead = {
        f"{name}_ahead": _steps_from(found[f"{name}_step"], found["test_loss_step"])
        for name in ("excluded", "restricted")
    }
    return {**found, **leads, **ahead}


def _steps_from(step: Any, to: Any) -> int | None:
    return None if step is None or to is None else to - step


def _kept_curves(run: Run, trajectory: pd.DataFrame) -> str | None:
    """Write the measures that the charts draw beside the run; return the file."""
    from grokinterp.runs.atomic import make_folder, write_atomically

    if run.folder is None:
        return None
    names = ["step", *(name for name in CURVES if name in trajectory)]
    file = run.folder / "analysis" / CURVES_FILE
    make_folder(file.parent, "Remove what is in its place.")
    write_atomically(file, trajectory[names].to_csv(index=False, lineterminator="\n").encode())
    return str(file.resolve())


def _first(steps: np.ndarray, is_so: np.ndarray) -> int | None:
    return int(steps[is_so.argmax()]) if is_so.any() else None


def _rise(steps: np.ndarray, loss: np.ndarray | None, least: float, jump: int | None) -> int | None:
    if loss is None or jump is None:
        return None
    until = int(np.searchsorted(steps, jump, side="right"))
    # The loss at initialization is high too, for another reason: it counts from its minimum.
    start = int(np.argmin(loss[:until]))
    low, high = loss[start], loss[start:].max()
    if not high - low >= least:
        return None
    is_above = loss > (low + high) / 2
    later = _lasting(steps[start:until], is_above[start:until])
    # Not before the jump: then at any time after, which makes a lead below 0.
    return later if later is not None else _first(steps[until:], is_above[until:])


def _fall(steps: np.ndarray, loss: np.ndarray | None, least: float, jump: int | None) -> int | None:
    if loss is None or jump is None:
        return None
    high, low = loss[: int(np.searchsorted(steps, jump, side="right"))].max(), loss.min()
    return _lasting(steps, loss < (low + high) / 2) if high - low >= least else None


def _lasting(steps: np.ndarray, is_so: np.ndarray) -> int | None:
    """First step from which on it is so to the end."""
    if not len(steps) or not is_so[-1]:
        return None
    otherwise = np.flatnonzero(~is_so)
    return int(steps[otherwise[-1] + 1 if len(otherwise) else 0])


def _phases(analysis: Analysis) -> dict[str, Number]:
    spans: dict[str, Any] = analysis.phases.as_dict()
    lengths = {f"{name}_steps": span and span[1] - span[0] for name, span in spans.items()}
    ratio = None
    if spans["cleanup"] is not None:
        steps = analysis.trajectory["step"].to_numpy()
        weights = analysis.trajectory["sum_squared_weights"].to_numpy()
        first, last = spans["cleanup"]
        inside = weights[(steps >= first) & (steps <= last)]
        ratio = float(inside[-1] / inside[0]) if len(inside) else None
    return {**lengths, "cleanup_weight_ratio": ratio}
