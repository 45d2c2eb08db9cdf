"""The plateau between memorization and generalization, and how wide the transition is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grokinterp.trajectory.lasting import Windows
from grokinterp.trajectory.thresholds import Thresholds


@dataclass(frozen=True)
class Transition:
    """From the plateau up, on one set of test pairs."""

    plateau: float | None = None
    """Accuracy from the memorization step on, in [0, 1]."""
    width: int | None = None
    """Steps from 10 to 90 % of the way from the plateau to 1."""
    reason: str = ""
    """Why the width is None."""


def brief_patience(delay: int, limits: Thresholds) -> int:
    """Steps over which a plateau is read and a level has to last: a tenth of the delay at most."""
    return min(limits.patience, delay // 10)


def on_plateau(steps: np.ndarray, memorization: int, patience: int) -> slice:
    """Which tests show the plateau: those of its steps, or else the last before or first after."""
    begin = int(np.searchsorted(steps, memorization))
    end = int(np.searchsorted(steps, memorization + patience, side="right"))
    return slice(begin, end) if begin < end else slice(max(begin - 1, 0), max(begin, 1))


def levels(plateau: float, limits: Thresholds) -> tuple[float, float]:
    """Accuracies between which the transition from a plateau is measured.

    The upper is at most the grokking threshold, which is all that a run has to reach.
    """
    low, high = (plateau + share * (1 - plateau) for share in limits.rise)
    return low, min(high, limits.grokking)


def find_transition(
    steps: np.ndarray,
    accuracy: np.ndarray,
    *,
    memorization: int,
    delay: int,
    limits: Thresholds,
) -> Transition:
    """Read the plateau off the curve and measure how long the accuracy takes to leave it.

    The plateau is the median of the tests from the memorization step on, over `patience` steps
    or a tenth of the delay, whichever is shorter. The transition begins at the last test before
    the accuracy lasts, for as many steps, above 10 % of the way from there to 1, and ends where
    it lasts at or above 90 % of it: a spike on the plateau and a dip in the ramp change neither.

    Parameters
    ----------
    steps, accuracy
        Tested steps, rising, and the accuracy at each, in [0, 1].
    memorization, delay
        Where the plateau begins, and how many steps later the run generalized.
    limits
        Has the fractions (`rise`) and the shares of a level that lasts.

    Returns
    -------
    Transition
        Without a width, and with the reason, where the plateau is so high that the rise would
        be no larger than a dip.

    Examples
    --------
    >>> steps = np.arange(0, 10_000, 100)
    >>> accuracy = np.interp(steps, [0, 4050, 6050], [0.1, 0.1, 1.0])
    >>> found = find_transition(
    ...     steps, accuracy, memorization=100, delay=5800, limits=Thresholds()
    ... )
    >>> found.plateau, found.width
    (0.1, 1700)
    """
    if delay <= 0:
        return Transition(reason="the test pairs came no later than the training pairs")
    if not len(steps):
        return Transition(reason="the accuracy was not tested")
    patience = brief_patience(delay, limits)
    shown = on_plateau(steps, memorization, patience)
    plateau = float(np.median(accuracy[shown]))
    low, high = levels(plateau, limits)
    if high - low < limits.dip_depth:
        reason = f"the plateau, {plateau:.1%}, leaves a rise that is no larger than a dip"
        return Transition(plateau, None, reason)
    steps, accuracy = steps[shown.start :], accuracy[shown.start :]

    def first(is_above: np.ndarray, level: float) -> int | None:
        is_deep = accuracy < level - limits.dip_depth
        return Windows(steps, is_above, is_deep, patience, limits).first_lasting()

    leaves, arrives = first(accuracy > low, low), first(accuracy >= high, high)
    if leaves is None or arrives is None:
        return Transition(plateau, None, f"the accuracy does not last at or above {high:.1%}")
    return Transition(plateau, int(steps[arrives] - steps[max(leaves - 1, 0)]))
