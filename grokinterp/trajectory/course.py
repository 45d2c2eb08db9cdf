"""Whether an accuracy reached its threshold, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from grokinterp.trajectory.lasting import Windows
from grokinterp.trajectory.thresholds import Thresholds

State = Literal["low", "rising", "swinging", "kept", "sunk", "shaky", "lost"]


@dataclass(frozen=True)
class Course:
    """An accuracy along a run, held against its threshold."""

    reached: int | None
    """First tested step from which it lasts above the threshold; None where it never does."""
    state: State
    """Where it never lasts: ``low``; ``rising`` (above at the end, and longer than ever before,
    but too briefly to say); ``swinging`` (above again and again). Where it did: ``kept`` to the
    end; ``sunk`` a little below; ``lost`` for good; or none of these: ``shaky``."""
    lost: int | None = None
    """First test below the threshold of a loss for good."""


def follow(steps: np.ndarray, accuracy: np.ndarray, threshold: float, limits: Thresholds) -> Course:
    """Say when an accuracy lasts above its threshold, and whether it does so to the end.

    The last `patience` steps, or 5 tests, decide. Lost for good: two thirds of these tests lie
    more than 0.1 below the threshold and at most a fifth above it, and no earlier loss took as
    long. Kept: at most a fifth are deep dips and more than a fifth lie above the threshold
    (otherwise it has sunk); and where more than a fifth of all tests since the first lasting one
    are deep dips, the last stretch above the threshold is longer than any before.

    Parameters
    ----------
    steps, accuracy
        Tested steps, rising, and the accuracy at each, in [0, 1].
    threshold
        The accuracy is reached above it.
    limits
        Has `patience` and the shares.

    Examples
    --------
    >>> steps = np.arange(0, 20_000, 100)
    >>> accuracy = np.where((steps >= 5000) & (steps < 12_000), 1.0, 0.1)
    >>> follow(steps, accuracy, 0.95, Thresholds())
    Course(reached=5000, state='lost', lost=12000)
    """
    windows = Windows(
        steps,
        accuracy > threshold,
        accuracy < threshold - limits.dip_depth,
        limits.patience,
        limits,
    )
    first = windows.first_lasting()
    if first is None:
        return Course(None, _state_before(windows))
    state = _state_after(windows, first)
    lost = int(steps[_lost_at(windows, first)]) if state == "lost" else None
    return Course(int(steps[first]), state, lost)


def follow_both(curves: pd.DataFrame, limits: Thresholds) -> tuple[Course, Course] | None:
    """Follow the training and the test accuracy of curves; None where nothing was tested.

    Parameters
    ----------
    curves
        Columns ``step``, ``train_accuracy``, ``test_accuracy``; untested rows are passed over.
    limits
        Has the threshold of each.
    """
    tested = curves.dropna(subset=["train_accuracy", "test_accuracy"])
    if tested.empty:
        return None
    steps = tested["step"].to_numpy(dtype=np.int64)
    train, test = (tested[f"{side}_accuracy"].to_numpy(dtype=float) for side in ("train", "test"))
    return (
        follow(steps, train, limits.memorization, limits),
        follow(steps, test, limits.grokking, limits),
    )


def _state_before(windows: Windows) -> State:
    """What to call an accuracy that never lasts above its threshold."""
    above = np.flatnonzero(windows.is_above)
    if not len(above):
        return "low"
    below = np.flatnonzero(~windows.is_above)
    last = 1 + int(below[-1]) if len(below) else 0
    if last < len(windows.steps):
        length = windows.steps[-1] - windows.steps[last]
        if length > windows.longest_brief(0, last):
            return "rising"
    since = min(int(above[0]), _last_steps(windows))
    is_often = windows.share_above(since) >= windows.limits.unsettled_share
    return "swinging" if is_often else "low"


def _state_after(windows: Windows, first: int) -> State:
    """What became of an accuracy that lasted above its threshold from a test on."""
    limits = windows.limits
    end = max(first, _last_steps(windows))
    above, deep = windows.share_above(end), windows.share_deep(end)
    if deep >= limits.end_share and above <= limits.dip_share:
        return "lost" if _is_longest(_stretches(windows, first)[1]) else "shaky"
    if deep > limits.dip_share:
        return "shaky"
    if above <= limits.dip_share:
        return "sunk"
    is_steady = windows.share_deep(first) <= limits.dip_share
    return "kept" if is_steady or _is_longest(_stretches(windows, first)[0]) else "shaky"


def _last_steps(windows: Windows) -> int:
    """Index of the first of the last `patience` steps' tests, or of the last 5 tests."""
    begin = int(np.searchsorted(windows.steps, windows.steps[-1] - windows.patience))
    return max(0, min(begin, len(windows.steps) - windows.limits.least_tests))


def _stretches(windows: Windows, first: int) -> tuple[list[int], list[int]]:
    """Steps of the stretches above and of the losses between them, in order.

    A stretch that the end of the record cuts off ends with its last test.
    """
    steps = windows.steps
    fallen = Windows(steps, windows.is_deep, windows.is_above, windows.patience, windows.limits)
    highs: list[int] = []
    lows: list[int] = []
    begin: int | None = first
    while begin is not None:
        fall = fallen.first_lasting(begin, cut_off=False)
        last = int(np.flatnonzero(windows.is_above)[-1]) if fall is None else fall
        highs.append(int(steps[last] - steps[begin]))
        if fall is None:
            break
        begin = windows.first_lasting(fall)
        lows.append(int(steps[-1 if begin is None else begin] - steps[fall]))
    return highs, lows


def _is_longest(lengths: list[int]) -> bool:
    """Whether the last stretch is longer than any before."""
    return len(lengths) < 2 or lengths[-1] > max(lengths[:-1])


def _lost_at(windows: Windows, first: int) -> int:
    """Index of the first test below the threshold after the last lasting stretch above it."""
    backward = Windows(
        -windows.steps[first:][::-1],
        windows.is_above[first:][::-1],
        windows.is_deep[first:][::-1],
        windows.patience,
        windows.limits,
    )
    held = backward.first_lasting()
    last = first if held is None else len(windows.steps) - 1 - held
    return last + 1 + int(np.argmin(windows.is_above[last + 1 :]))
