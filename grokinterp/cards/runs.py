"""The card of a run: doubts, what its curves show, how far it got."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from grokinterp.cards.markup import Card
from grokinterp.cards.pictures import sparkline

if TYPE_CHECKING:
    import pandas as pd

    from grokinterp.runs.run import Run
    from grokinterp.trajectory.milestones import Milestones


def run_card(run: Run) -> Card:
    """What a run is, what its curves show of it, and that it can be analyzed."""
    milestones = milestones_on_record(run)
    steps = run.steps
    span = f"{len(steps):,}, from step {steps[0]:,} to {steps[-1]:,}" if steps else "none yet"
    return Card(
        title=f"Run of {run.split.task.spec.in_words}",
        warnings=warnings_of(run),
        rows={
            "outcome": _outcome(run, milestones),
            "split": repr(run.split).partition(": ")[2],
            "network": run.spec.in_words,
            "checkpoints": span,
            f"at step {run.last_step:,}": _last_numbers(run.curves)
            or "no losses or accuracies were recorded",
            "folder": str(run.folder) if run.folder else None,
            "origin": run.origin if run.is_imported else None,
        },
        pictures=[losses_of(run.curves, milestones)],
        calls=_calls(run),
    )


def warnings_of(run: Run) -> dict[str, str | None]:
    """What to know first: a doubtful reading, a loss that is not finite, a run under way."""
    from grokinterp.trajectory.summary import unfinished

    diverged = run.diverged_at
    said = unfinished(run).strip()
    return {
        "In doubt": " ".join(run.doubts) or None,
        "Diverged": None
        if diverged is None
        else f"the training loss stopped being finite at step {diverged:,}.",
        "Not finished": said.removeprefix("Not finished (").removesuffix(").") or None,
    }


def milestones_on_record(run: Run) -> Milestones | None:
    """Milestones as the curves alone show them; None in doubt and where no accuracy was recorded.

    Whether a transition is sharp may be for the checkpoints to show
    (:func:`~grokinterp.trajectory.mirrored.unmirrored_transition`). Running them is what
    ``gi.analyze_run`` is for, and a card is only looked at.
    """
    from grokinterp.trajectory.milestones import find_milestones
    from grokinterp.trajectory.recorded import has_recorded

    names = ("train_accuracy", "test_accuracy")
    if run.doubts or not all(name in run.curves and has_recorded(run, name) for name in names):
        return None
    return find_milestones(run.curves, diverged_at=run.diverged_at)


def losses_of(curves: pd.DataFrame, milestones: Milestones | None) -> str:
    """Draw both losses of a table that has ``step`` and any of the two columns."""
    if "step" not in curves:
        return ""
    steps = curves["step"].to_numpy()
    losses = {
        name: (steps, curves[column].to_numpy(dtype=float))
        for name, column in (("train", "train_loss"), ("test", "test_loss"))
        if column in curves
    }
    marks = {}
    if milestones is not None:
        marks = {
            "memorized": milestones.memorization_step,
            "generalized": milestones.grokking_step,
        }
    return sparkline(losses, marks)


def _outcome(run: Run, milestones: Milestones | None) -> str | None:
    if run.doubts:
        return "none, while the reading is in doubt"
    if milestones is None or run.diverged_at is not None:
        return None
    from grokinterp.runs.accuracy import rows_by_mirror
    from grokinterp.trajectory.thresholds import Thresholds

    n_unmirrored = len(rows_by_mirror(run)["unmirrored"])
    if n_unmirrored in (0, len(run.split.test)) or milestones.grokking_step is None:
        return milestones.outcome
    memorized, generalized = milestones.memorization_step, milestones.grokking_step
    first = "" if memorized is None else f"memorized its training pairs at step {memorized:,}; "
    above = f"test accuracy above {100 * Thresholds().grokking:g}% from step {generalized:,} on"
    return f"{first}{above}. gi.analyze_run(run) says how sharp that was."


def _last_numbers(curves: pd.DataFrame) -> str:
    """The last number of every column, whichever row it stands in."""
    found: dict[str, float] = {}
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        values: Any = curves[name].to_numpy(dtype=float) if name in curves else np.empty(0)
        known = values[~np.isnan(values)]
        if len(known) and not math.isinf(known[-1]):
            found[name.replace("_", " ")] = float(known[-1])
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


def _calls(run: Run) -> dict[str, str]:
    from grokinterp.tasks import Task

    curves = {"run.curves": "has losses and accuracies"} if len(run.curves) else {}
    if not isinstance(run.split.task, Task):
        return curves
    if not run.steps:
        return {"gi.train(run.config, folder)": "trains it", **curves}
    if run.doubts:
        return {"run.origin": "says how the files were read", **curves}
    return {"gi.analyze_run(run)": "finds key frequencies, phases and circuits", **curves}
