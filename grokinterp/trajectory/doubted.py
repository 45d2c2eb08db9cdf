"""What stands in place of a verdict where other people's files have probably been misread."""

from __future__ import annotations

from grokinterp.circuits import Algorithm, KeyFrequencies, Snapshot
from grokinterp.runs.run import Run
from grokinterp.trajectory.milestones import Milestones
from grokinterp.trajectory.phases import PHASES, Phases

_STEPS = (
    "memorization_step",
    "grokking_step",
    "first_crossing_step",
    "grokking_delay",
    "transition_width",
    "plateau_transition_width",
    "plateau_accuracy",
    "lost_step",
)


def why_no_verdict(run: Run) -> str:
    """Reason that stands at every verdict that is not given; empty where nothing is doubted.

    Examples
    --------
    >>> why_no_verdict(run)
    ''
    """
    if not run.doubts:
        return ""
    return "no verdict is built on a reading that is in doubt: " + " ".join(run.doubts).rstrip(".")


def no_milestones(run: Run) -> Milestones:
    """Milestones of a run that is in doubt: none, with the reason."""
    reason = why_no_verdict(run)
    return Milestones(
        **dict.fromkeys(_STEPS),
        outcome_kind=None,
        outcome=f"No outcome: {reason}.",
        reasons=dict.fromkeys(_STEPS, reason),
    )


def no_phases(run: Run) -> Phases:
    """Phases of a run that is in doubt: none, with the reason."""
    return Phases(reasons=dict.fromkeys(PHASES, why_no_verdict(run)))


def no_keys(run: Run, snapshot: Snapshot) -> KeyFrequencies:
    """Key frequencies of a run that is in doubt: none, with the reason."""
    view = run.task.group_view
    order = run.task.n_classes if view is None else view.order
    names = () if run.task.has_representations else None
    reason = why_no_verdict(run)
    return KeyFrequencies(order, (), "logit_power", step=snapshot.step, reason=reason, names=names)


def no_algorithm(run: Run) -> Algorithm:
    """Algorithm of a run that is in doubt: none, with the reason."""
    return Algorithm("none", why_no_verdict(run))
