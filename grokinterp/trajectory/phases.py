"""The three phases of a grokking run: memorization, circuit formation, cleanup."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api.indexers import BaseIndexer

from grokinterp.trajectory.course import follow
from grokinterp.trajectory.thresholds import Thresholds

PHASES = ("memorization", "circuit_formation", "cleanup")
CLEANUP_FRACTION = 0.95
SPIKE_FRACTION = 0.05
"""A rise or fall of the test loss is a spike when it takes less than this fraction of its step."""


@dataclass(frozen=True)
class Phases:
    """First and last step of each phase, or None with a reason."""

    memorization: tuple[int, int] | None = None
    circuit_formation: tuple[int, int] | None = None
    cleanup: tuple[int, int] | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a phase is None, by its name."""

    def as_dict(self) -> dict[str, list[int] | None]:
        """Return {name: [first step, last step] or None}, in order."""
        spans = {name: getattr(self, name) for name in PHASES}
        return {name: list(span) if span else None for name, span in spans.items()}


def find_phases(
    curves: pd.DataFrame, weights: pd.DataFrame, *, thresholds: Thresholds | None = None
) -> Phases:
    """Find the phases from the test loss and the sum of squared weights.

    Memorization ends at the maximum of the test loss. Circuit formation ends, and cleanup
    begins, at the first tested step from which on the test loss stays below half that
    maximum. Cleanup ends when 95 % of the later fall of the sum of squared weights is done.
    Both published runs whose curves are known have their maximum at 1,399 and 1,420, where
    the paper puts the end of memorization (about 1,400).

    Spikes decide nothing: the maximum is looked for up to the grokking step, where `curves` has
    accuracies that show one, and both boundaries are read off the running median of the test
    loss over 5 % of the steps before and after, or one test. A return above half the maximum
    that takes longer than that does delay the cleanup.

    Parameters
    ----------
    curves
        Columns ``step`` and ``test_loss`` (nats); rows without a test loss are passed over.
        ``test_accuracy``, in [0, 1], where it is known.
    weights
        Columns ``step`` and ``sum_squared_weights``.
    thresholds
        What counts as generalized, for the grokking step.

    Examples
    --------
    >>> curves = pd.DataFrame({"step": [0, 10, 20, 30], "test_loss": [5.0, 30.0, 20.0, 0.1]})
    >>> weights = pd.DataFrame({"step": [0, 30, 40], "sum_squared_weights": [9.0, 5.0, 1.0]})
    >>> find_phases(curves, weights).as_dict()
    {'memorization': [0, 10], 'circuit_formation': [10, 30], 'cleanup': [30, 40]}

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability", ICLR
    2023, arXiv:2301.05217, section 5 and figure 7 (there the boundaries are drawn by eye).
    """
    tested = curves.loc[curves["test_loss"].notna()]
    if tested.empty:
        return _none_of("the run has no test loss", *PHASES)
    loss, steps = tested["test_loss"].to_numpy(float), tested["step"].to_numpy(np.int64)
    level = running_median(steps, loss)
    until = _grokking_step(tested, thresholds or Thresholds())
    n_before = len(steps) if until is None else int(np.searchsorted(steps, until, side="right"))
    top = int(level[:n_before].argmax())
    # The level is as broad as its window: the peak itself is the largest test in that window.
    width = _half_widths(steps)[top]
    around = slice(top - width, min(top + width + 1, n_before))
    peak = around.start + int(loss[around].argmax())
    if len(loss) == 1:
        return _none_of("the test loss is known at one step alone", *PHASES)
    if peak == 0:
        return _none_of("the test loss never rises above its first value", *PHASES)
    memorization = (int(steps[0]), int(steps[peak]))
    above_half = level >= level[top] / 2
    last_above = len(loss) - 1 - int(above_half[::-1].argmax())
    if last_above == len(loss) - 1:
        reason = "the test loss does not stay below half its maximum"
        rest = _none_of(reason, *PHASES[1:])
        return Phases(memorization, None, None, rest.reasons)
    cleanup_start = int(steps[last_above + 1])
    cleanup_end, reason = _end_of_cleanup(weights, cleanup_start)
    formation = (memorization[1], cleanup_start)
    if cleanup_end is None:
        return Phases(memorization, formation, None, {"cleanup": reason})
    return Phases(memorization, formation, (cleanup_start, cleanup_end))


def running_median(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Median of the tests around each: 5 % of the steps up to there before and after, or one test.

    The window shrinks at both ends of the record. At the last tests the median of as many tests
    before them counts where it is lower, so that a spike at the end is one too.

    Examples
    --------
    >>> running_median(np.array([0, 10, 20, 30, 40]), np.array([1.0, 9.0, 2.0, 1.0, 9.0]))
    array([1., 2., 2., 2., 2.])
    """
    n, index = len(steps), np.arange(len(steps))
    half = _half_widths(steps)
    centered = _Spans(start=index - half, stop=index + half + 1)
    level = pd.Series(values).rolling(centered, min_periods=1).median().to_numpy()
    wanted = _half_widths(steps, shrinks=False)
    # Bounds that never go back are what pandas computes fast.
    first = np.maximum.accumulate(np.maximum(index - 2 * wanted, 0))
    trailing = _Spans(start=first, stop=index + 1)
    before = pd.Series(values).rolling(trailing, min_periods=1).median().to_numpy()
    return np.where(index + wanted >= n, np.minimum(level, before), level)


class _Spans(BaseIndexer):
    """Windows that begin and end at given rows; pandas sets their names as attributes."""

    start: np.ndarray
    stop: np.ndarray

    def get_window_bounds(
        self,
        num_values: int = 0,
        min_periods: int | None = None,
        center: bool | None = None,
        closed: str | None = None,
        step: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the bounds, as pandas asks for them."""
        return self.start.astype(np.int64), self.stop.astype(np.int64)


def _half_widths(steps: np.ndarray, *, shrinks: bool = True) -> np.ndarray:
    """Tests on each side of a window around every test, as many on one as on the other."""
    index = np.arange(len(steps))
    first = np.searchsorted(steps, steps - SPIKE_FRACTION * steps)
    half = np.maximum(index - first, 1)
    return np.minimum(half, np.minimum(index, len(steps) - 1 - index)) if shrinks else half


def _grokking_step(tested: pd.DataFrame, limits: Thresholds) -> int | None:
    if "test_accuracy" not in tested:
        return None
    known = tested.loc[tested["test_accuracy"].notna()]
    if known.empty:
        return None
    accuracy = known["test_accuracy"].to_numpy(float)
    return follow(known["step"].to_numpy(np.int64), accuracy, limits.grokking, limits).reached


def _end_of_cleanup(weights: pd.DataFrame, start: int) -> tuple[int | None, str]:
    if "sum_squared_weights" not in weights:
        return None, "the sum of squared weights was not measured"
    later = weights.loc[(weights["step"] >= start) & weights["sum_squared_weights"].notna()]
    if len(later) < 2:
        return None, f"there are fewer than two checkpoints after step {start}"
    values = later["sum_squared_weights"].to_numpy()
    fall = values[0] - values[-1]
    if fall <= 0:
        return None, f"the sum of squared weights does not fall after step {start}"
    done = values <= values[0] - CLEANUP_FRACTION * fall
    return int(later["step"].to_numpy()[done.argmax()]), ""


def _none_of(reason: str, *names: str) -> Phases:
    return Phases(reasons=dict.fromkeys(names, reason))
