"""When a run memorized, when it generalized, and what kind of outcome that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.fields import checked, shown
from grokinterp.trajectory.course import Course, follow_both
from grokinterp.trajectory.lasting import first_lasting
from grokinterp.trajectory.outcome import Facts, OutcomeKind, name_outcome
from grokinterp.trajectory.thresholds import Thresholds
from grokinterp.trajectory.transition import Transition, find_transition

__all__ = ["Milestones", "OutcomeKind", "Thresholds", "find_milestones", "first_lasting"]


@dataclass(frozen=True)
class Milestones:
    """The steps at which a run changed, and its outcome."""

    memorization_step: int | None
    """First tested step from which the training accuracy lasts above its threshold."""
    grokking_step: int | None
    """The same for the test accuracy."""
    first_crossing_step: int | None
    """First tested step with test accuracy above the threshold, whether or not it lasts."""
    grokking_delay: int | None
    """grokking_step - memorization_step, in steps."""
    transition_width: int | None
    """Steps in which the test accuracy goes from 10 to 90 % of the way from its plateau to 1."""
    plateau_transition_width: int | None
    """The same on the test pairs whose mirror image is not trained, where that is known."""
    outcome_kind: OutcomeKind | None
    """Which kind of run this was; None where the record begins too late to show it, or is empty."""
    outcome: str
    """The same as a sentence."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a step, a width or the plateau is None, by its name: there is one for each."""
    plateau_accuracy: float | None = None
    """Test accuracy of the plateau, read from the memorization step on."""
    lost_step: int | None = None
    """First test below the threshold of an accuracy that was reached and lost for good."""


def find_milestones(
    curves: pd.DataFrame,
    *,
    diverged_at: int | None = None,
    unmirrored: pd.DataFrame | None = None,
    thresholds: Thresholds | None = None,
    chance: float | None = None,
) -> Milestones:
    """Find the steps of memorization and generalization, and name the outcome.

    Steps are those from which an accuracy lasts above its threshold
    (:func:`~grokinterp.trajectory.lasting.first_lasting`): dips and spikes that noise or
    slingshots make do not move them.

    For a commutative operation a network that memorizes and has learned only ``a ∘ b = b ∘ a``
    already scores about the train fraction on the test pairs. So whether the transition was
    sharp is judged on the unmirrored test pairs where their accuracy is given.

    The record of a run from elsewhere may begin when the network has already memorized its
    pairs, or be a single checkpoint. Then the step at which that happened is not known.

    Parameters
    ----------
    curves
        Columns ``step``, ``train_accuracy``, ``test_accuracy``; untested rows are passed over.
    diverged_at
        Step at which the training loss stopped being finite.
    unmirrored
        Columns ``step``, ``test_accuracy_unmirrored``, if measured.
    thresholds
        What counts as memorized, generalized, lasting, delayed and sharp.
    chance
        Accuracy of guessing, in [0, 1]: the outcome says where the plateau differs from it.

    Raises
    ------
    ConfigError
        If a column is missing, or an accuracy or `chance` is outside [0, 1].

    Examples
    --------
    >>> steps = range(0, 5000, 500)
    >>> train = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    >>> test = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    >>> curves = pd.DataFrame({"step": steps, "train_accuracy": train, "test_accuracy": test})
    >>> found = find_milestones(curves)
    >>> found.memorization_step, found.grokking_step, found.outcome_kind
    (500, 3000, 'grokked')

    References
    ----------
    Power et al., "Grokking: generalization beyond overfitting on small algorithmic
    datasets", arXiv:2201.02177 (the first crossing alone).
    """
    limits = thresholds or Thresholds()
    _require_fractions(curves, unmirrored, chance)
    tested = curves.dropna(subset=["step", "train_accuracy", "test_accuracy"])
    tested = tested.sort_values("step", kind="stable")
    courses = follow_both(tested, limits)
    if courses is None:
        return _nothing_recorded(diverged_at)
    steps = tested["step"].to_numpy(dtype=np.int64)
    train, test = (tested[f"{side}_accuracy"].to_numpy(dtype=float) for side in ("train", "test"))
    overall = _transition(steps, test, courses, limits)
    honest = None
    if unmirrored is not None:
        rows = unmirrored.dropna(subset=["test_accuracy_unmirrored"])
        known = rows["step"].to_numpy(np.int64), rows["test_accuracy_unmirrored"].to_numpy(float)
        honest = _transition(*known, courses, limits)
    # Without a readable checkpoint on the plateau there is nothing but all test pairs to judge by.
    is_honest = honest is not None and honest.plateau is not None
    is_late = len(steps) == 1 or steps[0] != 0
    facts = Facts(
        *courses,
        transition=honest if honest is not None and is_honest else overall,
        is_unmirrored=is_honest,
        plateau=overall.plateau,
        chance=chance,
        diverged_at=diverged_at,
        begins_at=int(steps[0]) if is_late else None,
        limits=limits,
    )
    kind, sentence = name_outcome(facts)
    if kind != "diverged":
        sentence += (
            f" At step {steps[-1]:,} the accuracy is {train[-1]:.1%} on the training pairs and "
            f"{test[-1]:.1%} on the test pairs."
        )
    crossing = first_lasting(steps, test > limits.grokking, 0)
    return _milestones(facts, crossing, (overall, honest), kind, sentence)


def _require_fractions(
    curves: pd.DataFrame, unmirrored: pd.DataFrame | None, chance: float | None
) -> None:
    """Refuse what cannot be judged, such as accuracies in per cent."""
    checked("curves", curves, pd.DataFrame, "Pass run.curves, or a table with these columns.")
    tables: list[tuple[pd.DataFrame, tuple[str, ...]]]
    tables = [(curves, ("train_accuracy", "test_accuracy"))]
    if unmirrored is not None:
        checked("unmirrored", unmirrored, pd.DataFrame)
        tables.append((unmirrored, ("test_accuracy_unmirrored",)))
    for table, names in tables:
        for name in ("step", *names):
            if name not in table:
                needed = ", ".join(("step", *names))
                raise ConfigError(f"the table has no column {name}. It needs {needed}.")
        for name in names:
            known = table[name].dropna().to_numpy(dtype=float)
            if len(known) and not (known.min() >= 0 and known.max() <= 1):
                raise ConfigError(
                    f"{name} goes from {known.min():g} to {known.max():g}, outside [0, 1]. It is a "
                    "fraction, not a percentage."
                )
    if chance is not None and not 0 <= checked("chance", chance, float | int) <= 1:
        raise ConfigError(f"chance={shown(chance)} is outside [0, 1]. For p answers it is 1/p.")


def _transition(
    steps: np.ndarray, accuracy: np.ndarray, courses: tuple[Course, Course], limits: Thresholds
) -> Transition:
    memorization, grokking = (course.reached for course in courses)
    if memorization is None or grokking is None:
        return Transition(reason="it needs both memorization_step and grokking_step")
    delay = grokking - memorization
    return find_transition(steps, accuracy, memorization=memorization, delay=delay, limits=limits)


def _milestones(
    facts: Facts,
    crossing: int | None,
    transitions: tuple[Transition, Transition | None],
    kind: OutcomeKind | None,
    sentence: str,
) -> Milestones:
    overall, honest = transitions
    lost = [course.lost for course in (facts.train, facts.test) if course.lost is not None]
    steps = {
        "memorization_step": facts.train.reached,
        "grokking_step": facts.test.reached,
        "first_crossing_step": crossing,
    }
    begins_at = facts.begins_at
    before = [name for name, step in steps.items() if begins_at is not None and step == begins_at]
    steps |= dict.fromkeys(before)
    is_known = None not in (steps["memorization_step"], steps["grokking_step"])
    found = {
        **steps,
        "grokking_delay": facts.delay if is_known else None,
        "transition_width": overall.width,
        "plateau_transition_width": None if honest is None else honest.width,
        "plateau_accuracy": overall.plateau,
        "lost_step": min(lost, default=None),
    }
    known = _reasons(facts, overall, honest)
    reasons = {name: known[name] for name, value in found.items() if value is None}
    if before:
        reason = f"it lies at or before step {begins_at:,}, where the record begins"
        reasons |= dict.fromkeys(before, reason)
    return Milestones(**found, outcome_kind=kind, outcome=sentence, reasons=reasons)


def _reasons(facts: Facts, overall: Transition, honest: Transition | None) -> Mapping[str, str]:
    """Why each step would be None."""
    limits = facts.limits
    return {
        "memorization_step": f"the training accuracy never stays above {limits.memorization:g}",
        "grokking_step": f"the test accuracy never stays above {limits.grokking:g}",
        "first_crossing_step": f"the test accuracy is never above {limits.grokking:g}",
        "grokking_delay": "it needs both memorization_step and grokking_step",
        "transition_width": overall.reason,
        "plateau_transition_width": (
            "no accuracy on test pairs without a trained mirror image was given"
            if honest is None
            else honest.reason
        ),
        "plateau_accuracy": overall.reason,
        "lost_step": "no accuracy that was reached was lost for good",
    }


def _nothing_recorded(diverged_at: int | None) -> Milestones:
    reason = "no accuracy on training and test pairs was recorded"
    names = (
        "memorization_step",
        "grokking_step",
        "first_crossing_step",
        "grokking_delay",
        "transition_width",
        "plateau_transition_width",
        "plateau_accuracy",
        "lost_step",
    )
    kind: OutcomeKind | None = None if diverged_at is None else "diverged"
    said = f"No outcome: {reason}."
    if diverged_at is not None:
        said = f"Diverged: the training loss stopped being finite at step {diverged_at:,}."
    return Milestones(
        **dict.fromkeys(names),
        outcome_kind=kind,
        outcome=said,
        reasons=dict.fromkeys(names, reason),
    )
