"""When a run memorized, when it generalized, and what kind of outcome that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from grokinterp.fields import check_types, require

OutcomeKind = Literal[
    "grokked",
    "generalized_without_delay",
    "slow_convergence",
    "memorized",
    "did_not_fit",
    "diverged",
]


TRANSITION = (0.1, 0.9)
"""Test accuracies between which a transition is measured."""


@dataclass(frozen=True)
class Thresholds:
    """What counts as memorized, generalized, delayed and sharp."""

    memorization: float = 0.99
    """Training accuracy above which the training pairs are known."""
    grokking: float = 0.95
    """Test accuracy above which the network has generalized."""
    patience: int = 1000
    """Steps for which an accuracy has to stay above its threshold (or to the end)."""
    delay_ratio: float = 1.0
    """Generalization is delayed when it comes more than this many memorization times later."""
    width_ratio: float = 0.5
    """A delayed transition is sharp when it takes at most this fraction of the delay."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("memorization", "grokking"):
            is_fine = 0 <= getattr(self, name) < 1
            require(self, name, is_fine, "It is an accuracy: use a value in [0, 1).")
        require(self, "patience", self.patience >= 0, "Use 0 for the first crossing.")
        for name in ("delay_ratio", "width_ratio"):
            require(self, name, getattr(self, name) >= 0, "Use a ratio of 0 or more.")


@dataclass(frozen=True)
class Milestones:
    """The steps at which a run changed, and its outcome."""

    memorization_step: int | None
    """First tested step with training accuracy above threshold that stays above."""
    grokking_step: int | None
    """The same for test accuracy."""
    first_crossing_step: int | None
    """First tested step with test accuracy above the threshold, whether or not it stays."""
    grokking_delay: int | None
    """grokking_step - memorization_step, in steps."""
    transition_width: int | None
    """Steps from the last test accuracy of at most 10 % to the first of at least 90 %."""
    plateau_transition_width: int | None
    """The same on the test pairs whose mirror image is not trained, where that is known."""
    outcome_kind: OutcomeKind | None
    """Which kind of run this was; None where the record begins too late to tell, or is empty."""
    outcome: str
    """The same as a sentence."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a step cannot be told from the record, by its name."""


def find_milestones(
    curves: pd.DataFrame,
    *,
    diverged_at: int | None = None,
    unmirrored: pd.DataFrame | None = None,
    thresholds: Thresholds | None = None,
) -> Milestones:
    """Find the steps of memorization and generalization, and name the outcome.

    For a commutative operation a network that only memorizes and knows ``a ∘ b = b ∘ a``
    already scores about the train fraction on the test pairs. So whether the transition was
    sharp is judged on the unmirrored test pairs where their accuracy is given.

    The record of a run from elsewhere may begin when the network already knows its pairs, or
    be a single checkpoint. Then the step at which that happened is not known.

    Parameters
    ----------
    curves
        Columns ``step``, ``train_accuracy``, ``test_accuracy``; untested rows are passed over.
    diverged_at
        Step at which the training loss stopped being finite.
    unmirrored
        Columns ``step``, ``test_accuracy_unmirrored``, if measured.
    thresholds
        What counts as memorized, generalized, delayed and sharp.

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
    tested = curves.dropna(subset=["train_accuracy", "test_accuracy"])
    steps = tested["step"].to_numpy(dtype=np.int64)
    train, test = tested["train_accuracy"].to_numpy(), tested["test_accuracy"].to_numpy()
    found = {
        "memorization_step": first_lasting(steps, train > limits.memorization, limits.patience),
        "grokking_step": first_lasting(steps, test > limits.grokking, limits.patience),
        "first_crossing_step": first_lasting(steps, test > limits.grokking, 0),
    }
    reasons = _unrecorded(steps, found)
    memorization, grokking, crossing = (
        None if name in reasons else step for name, step in found.items()
    )
    delay = None if memorization is None or grokking is None else grokking - memorization
    plateau_width = None
    if unmirrored is not None:
        rows = unmirrored.dropna(subset=["test_accuracy_unmirrored"])
        plateau_width = _transition_width(
            rows["step"].to_numpy(dtype=np.int64), rows["test_accuracy_unmirrored"].to_numpy()
        )
    width = _transition_width(steps, test)
    judged_width = width if plateau_width is None else plateau_width
    kind = _outcome_kind(memorization, delay, grokking, judged_width, diverged_at, limits)
    sentence = _sentence(
        kind,
        memorization,
        grokking,
        delay,
        judged_width,
        plateau_width is not None,
        diverged_at,
        limits,
    )
    if reasons and kind != "diverged":
        kind, sentence = _partly_recorded(found, reasons, limits)
    if kind != "diverged" and len(steps):
        sentence += (
            f" At step {steps[-1]:,} the accuracy is {train[-1]:.1%} on the training pairs and "
            f"{test[-1]:.1%} on the test pairs."
        )
    return Milestones(
        memorization, grokking, crossing, delay, width, plateau_width, kind, sentence, reasons
    )


def _unrecorded(steps: np.ndarray, found: Mapping[str, int | None]) -> dict[str, str]:
    """Say which milestones lie before the record: reached where it begins, and not at a start."""
    if not len(steps):
        return dict.fromkeys(found, "no accuracy on training and test pairs was recorded")
    first = int(steps[0])
    if first == 0 and len(steps) > 1:
        return {}
    reason = f"it lies at or before step {first:,}, where the record begins"
    return {name: reason for name, step in found.items() if step == first}


def _partly_recorded(
    found: Mapping[str, int | None], reasons: Mapping[str, str], limits: Thresholds
) -> tuple[OutcomeKind | None, str]:
    memorization, grokking = found["memorization_step"], found["grokking_step"]
    if memorization is None and "memorization_step" in reasons:
        return None, f"No outcome: {reasons['memorization_step']}."
    if memorization is None:
        return "did_not_fit", _sentence("did_not_fit", None, None, None, None, False, None, limits)
    if grokking is None:
        return "memorized", (
            f"Memorized: it knew its training pairs by step {memorization:,} and never reached "
            f"and kept a test accuracy above {limits.grokking:.0%}."
        )
    above = f"a test accuracy above {limits.grokking:.0%}"
    knew = "knew its training pairs"
    if "memorization_step" not in reasons:
        first, already, then = grokking, f"had {above}", f"; it {knew} at step {memorization:,}"
    elif "grokking_step" not in reasons:
        first, already, then = memorization, knew, f"; it reached {above} at step {grokking:,}"
    else:
        first, already, then = memorization, knew, f" and had {above}"
    return (
        None,
        f"No outcome: at step {first:,}, where the record begins, it already {already}{then}.",
    )


def first_lasting(steps: np.ndarray, is_above: np.ndarray, patience: int) -> int | None:
    """First step from which on the condition holds for `patience` steps or to the end."""
    for i in np.flatnonzero(is_above):
        until = np.searchsorted(steps, steps[i] + patience, side="right")
        if is_above[i:until].all():
            return int(steps[i])
    return None


def _transition_width(steps: np.ndarray, accuracy: np.ndarray) -> int | None:
    high = np.flatnonzero(accuracy >= TRANSITION[1])
    if not len(high):
        return None
    low = np.flatnonzero(accuracy[: high[0]] <= TRANSITION[0])
    return int(steps[high[0]] - steps[low[-1]]) if len(low) else None


def _outcome_kind(
    memorization: int | None,
    delay: int | None,
    grokking: int | None,
    width: int | None,
    diverged_at: int | None,
    limits: Thresholds,
) -> OutcomeKind:
    if diverged_at is not None:
        return "diverged"
    if memorization is None:
        return "did_not_fit"
    if grokking is None or delay is None:
        return "memorized"
    if delay <= limits.delay_ratio * memorization:
        return "generalized_without_delay"
    if width is not None and width > limits.width_ratio * delay:
        return "slow_convergence"
    return "grokked"


def _sentence(
    kind: OutcomeKind,
    memorization: int | None,
    grokking: int | None,
    delay: int | None,
    width: int | None,
    is_unmirrored: bool,
    diverged_at: int | None,
    limits: Thresholds,
) -> str:
    known = f"knew its training pairs at step {memorization:,}" if memorization is not None else ""
    above = f"a test accuracy above {limits.grokking:.0%}"
    if kind == "diverged":
        return f"Diverged: the training loss stopped being finite at step {diverged_at:,}."
    if kind == "did_not_fit":
        return f"Did not fit: the training accuracy never stays above {limits.memorization:.0%}."
    if kind == "memorized":
        return f"Memorized: it {known} and never reached and kept {above}."
    assert grokking is not None and delay is not None
    if kind == "generalized_without_delay":
        return f"Generalized without delay: it {known} and had {above} at step {grokking:,}."
    took = f", in a transition of {width:,} steps" if width is not None else ""
    if took and is_unmirrored:
        took += " (on the test pairs whose mirror image is not trained)"
    if kind == "slow_convergence":
        return (
            f"Converged slowly: it {known} and reached {above} {delay:,} steps later, at step "
            f"{grokking:,}{took}: late, but not sharp."
        )
    return (
        f"Grokked: it {known} and reached {above} {delay:,} steps later, at step "
        f"{grokking:,}{took}."
    )
