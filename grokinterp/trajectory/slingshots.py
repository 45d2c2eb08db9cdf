"""Spikes of a training loss that was already low, and the growth of a norm around them.

One slingshot (Thilak et al. 2022) is a cycle: the norm of the last layer grows, the training
loss spikes and falls back, the norm settles on a plateau. The spikes are found on the curve
alone; a norm, known at the checkpoints only, is then read around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from grokinterp.fields import check_types, require
from grokinterp.runs.record import BATCH_LOSS


@dataclass(frozen=True)
class SpikeRule:
    """What counts as a spike of the training loss.

    The defaults find the 36 spikes of the run in low precision that Nanda et al. 2023 published.
    """

    factor: float = 10.0
    """The loss has to exceed this many times its earlier value, and to fall back by as much."""
    rise_steps: int = 20
    """The earlier value is that of so many steps before."""
    peak_loss: float = 0.01
    """Nats; a rise that stays below this is noise of a loss that is zero for all purposes. The
    lowest peak of the published run is 0.019."""
    fall_steps: int = 500
    """Steps after the onset within which the loss has to come down below peak / factor."""
    rest_steps: int = 100
    """Steps after the end of a spike in which another rise is its aftershock; cycles of
    published runs take more than 1000 steps."""
    median_steps: int = 21
    """Steps of the running median through the losses of minibatches, which are noisy: a single
    batch that is hard, or has a few examples only, is no spike."""

    def __post_init__(self) -> None:
        check_types(self)
        require(self, "factor", self.factor > 1, "It must be above 1.")
        for name in ("rise_steps", "fall_steps", "median_steps"):
            require(self, name, getattr(self, name) >= 1, "It must be at least 1.")
        for name in ("peak_loss", "rest_steps"):
            require(self, name, getattr(self, name) >= 0, "Use 0 or more.")


@dataclass(frozen=True)
class Spike:
    """One spike of the training loss; all steps are steps of the curve."""

    onset_step: int
    """First step at which the loss is `factor` times that of `rise_steps` before."""
    peak_step: int
    """Step of the highest loss."""
    end_step: int
    """First step after the peak from which the loss stays below peak / factor for
    `rise_steps` (or to the end of the record)."""
    loss_before: float
    """Loss `rise_steps` before the onset, nats."""
    peak_loss: float
    """Highest loss, nats."""


def find_spikes(curves: pd.DataFrame, rule: SpikeRule | None = None) -> tuple[Spike, ...]:
    """Find where the training loss shot up and came back.

    A spike begins at step t when ``loss[t] > factor * loss[t - rise_steps]``. It is counted
    when its peak reaches ``peak_loss`` and the loss has come down below ``peak / factor``, for
    ``rise_steps`` at least, within ``fall_steps`` of the onset. The next one can begin
    ``rest_steps`` after this one has ended.

    Parameters
    ----------
    curves
        Columns ``step`` and ``train_loss``, one row for every step. Of a run with minibatches,
        whose ``train_loss`` has gaps, ``batch_loss`` is followed, as a running median.
    rule
        What counts as a spike; None for the defaults.

    Returns
    -------
    tuple[Spike, ...]
        In order of steps. A loss that rises and stays up is no spike, nor is a spike whose
        fall lies beyond the end of the record.

    Examples
    --------
    >>> loss = np.full(300, 1e-6)
    >>> loss[150:170] = 0.5
    >>> curves = pd.DataFrame({"step": range(300), "train_loss": loss})
    >>> [(spike.onset_step, spike.end_step) for spike in find_spikes(curves)]
    [(150, 170)]

    References
    ----------
    Thilak et al., "The slingshot mechanism", arXiv:2206.04817, describe the cycle and give no
    rule; this one is ours.
    """
    rule = rule or SpikeRule()
    steps, loss = curves["step"].to_numpy(), _followed(curves, rule)
    before, later = loss[: -rule.rise_steps], loss[rule.rise_steps :]
    found: list[Spike] = []
    free_from = 0
    for start in np.flatnonzero(later > rule.factor * before):
        onset = int(start) + rule.rise_steps
        ends = onset + _steps_to_fall(loss[onset : onset + rule.fall_steps + 1], rule)
        if onset < free_from or ends == onset:
            continue
        free_from = ends + rule.rest_steps
        peak = onset + int(np.argmax(loss[onset:ends]))
        found.append(
            Spike(
                onset_step=int(steps[onset]),
                peak_step=int(steps[peak]),
                end_step=int(steps[ends]),
                loss_before=float(before[start]),
                peak_loss=float(loss[peak]),
            )
        )
    return tuple(found)


def _followed(curves: pd.DataFrame, rule: SpikeRule) -> np.ndarray:
    """The training loss of every step, freed of the noise of minibatches where there is any."""
    on_all = curves["train_loss"].to_numpy(dtype=np.float64)
    if BATCH_LOSS not in curves or not np.isnan(on_all).any():
        return on_all
    window = curves[BATCH_LOSS].rolling(rule.median_steps, center=True, min_periods=1)
    return np.asarray(window.median(), dtype=np.float64)


@dataclass(frozen=True)
class NormCycle:
    """A rise of a norm that ends on a plateau: the other half of a slingshot."""

    start_step: int
    """Checkpoint from which the norm rises."""
    end_step: int
    """Checkpoint at which it has risen."""
    gain: float
    """By how much, as a fraction of the norm at the start."""


def find_norm_cycles(
    steps: Int[np.ndarray, " checkpoint"],
    norms: Float[np.ndarray, " checkpoint"],
    *,
    least_gain: float = 0.002,
    rest_steps: int = 200,
    factor: float = 2.0,
    window_steps: int = 2000,
) -> tuple[NormCycle, ...]:
    """Find where a norm rises and then rests.

    It rises where it grows more than `factor` times as fast as in the mean over what lies within
    half of `window_steps` on either side, where stretches on which it falls count as rest. So a
    norm that grows evenly, or ever more slowly, has no rise but a first one. Rises less than
    `rest_steps` apart are one. A rise counts when it gains `least_gain` of the norm and the norm
    then rests, or falls, for `rest_steps`.

    Parameters
    ----------
    steps, norms
        Steps of the checkpoints, ascending, and the norm at each. Begin where the training set
        is memorized: before, the norm grows many times as fast.
    least_gain
        Fraction of the norm.
    rest_steps, window_steps
        Steps. The window should hold more than one cycle: those of published runs take more than
        1,000 steps.
    factor
        How many times as fast.

    Returns
    -------
    tuple[NormCycle, ...]
        In order of steps. A rise whose plateau is cut off by the end of the record is not there.

    Examples
    --------
    >>> steps = np.arange(0, 1000, 100)
    >>> norms = np.array([5.0, 5.0, 5.0, 5.5, 5.5, 5.5, 5.5, 6.0, 6.0, 6.0])
    >>> [(cycle.start_step, cycle.end_step) for cycle in find_norm_cycles(steps, norms)]
    [(200, 300), (600, 700)]

    References
    ----------
    Thilak et al., "The slingshot mechanism", arXiv:2206.04817, describe the cycle and give no
    rule; this one is ours.
    """
    lengths, gains = np.diff(steps), np.diff(norms)
    grown = np.concatenate([[0.0], np.cumsum(np.maximum(gains, 0.0))])
    middles = (steps[1:] + steps[:-1]) / 2
    first, last = (
        np.clip(middles + half, steps[0], steps[-1])
        for half in (-window_steps / 2, window_steps / 2)
    )
    mean_rate = (np.interp(last, steps, grown) - np.interp(first, steps, grown)) / (last - first)
    is_rising = gains / lengths > factor * mean_rate
    rises: list[list[int]] = []
    for place in np.flatnonzero(is_rising):
        if rises and steps[place] - steps[rises[-1][1]] < rest_steps:
            rises[-1][1] = int(place) + 1
        else:
            rises.append([int(place), int(place) + 1])
    cycles = [
        NormCycle(int(steps[a]), int(steps[b]), float(norms[b] / norms[a] - 1)) for a, b in rises
    ]
    return tuple(
        cycle
        for cycle in cycles
        if cycle.gain >= least_gain and steps[-1] - cycle.end_step >= rest_steps
    )


def slingshots_of(
    spikes: Sequence[Spike], cycles: Sequence[NormCycle], *, margin: int = 100
) -> tuple[Spike, ...]:
    """Return the spikes that go with a rise of the norm, within `margin` steps of it.

    Examples
    --------
    >>> spikes = [Spike(step, step + 5, step + 20, 0.0, 1.0) for step in (250, 600)]
    >>> [spike.onset_step for spike in slingshots_of(spikes, [NormCycle(200, 300, 0.1)])]
    [250]
    """
    return tuple(
        spike
        for spike in spikes
        if any(
            cycle.start_step - margin <= spike.end_step
            and spike.onset_step <= cycle.end_step + margin
            for cycle in cycles
        )
    )


def norm_growth(
    spikes: Sequence[Spike],
    steps: Int[np.ndarray, " checkpoint"],
    norms: Float[np.ndarray, " checkpoint"],
    *,
    margin: int = 50,
) -> tuple[float, float] | None:
    """Growth of a norm per step around the spikes, and on the plateaus between and after them.

    "Around" runs from the last checkpoint at least `margin` steps before an onset to the first
    at least `margin` steps after the end; windows that overlap count once. Everything else
    from the first window to the last checkpoint is plateau.

    Parameters
    ----------
    spikes
        As :func:`find_spikes` gives them.
    steps, norms
        Steps of the checkpoints, ascending, and the norm at each.
    margin
        Steps.

    Returns
    -------
    tuple[float, float] or None
        Mean growth per step around the spikes and on the plateaus, in units of the norm; both
        may be negative. None where there is no spike or no plateau to compare with.

    Examples
    --------
    >>> spike = Spike(onset_step=210, peak_step=215, end_step=240, loss_before=0.0, peak_loss=1.0)
    >>> steps = np.arange(0, 600, 100)
    >>> norm_growth([spike], steps, np.array([4.0, 5.0, 5.0, 7.0, 7.0, 7.0]))
    (0.01, 0.0)
    """
    if not spikes or len(steps) < 2:
        return None
    is_around = np.zeros(len(steps) - 1, dtype=bool)
    first = len(steps)
    for spike in spikes:
        start = np.searchsorted(steps, spike.onset_step - margin, side="right") - 1
        stop = np.searchsorted(steps, spike.end_step + margin, side="left")
        start = max(int(start), 0)
        is_around[start : int(stop)] = True
        first = min(first, start)
    lengths, gains = np.diff(steps)[first:], np.diff(norms)[first:]
    around = is_around[first:]
    if around.all():
        return None
    return (
        float(gains[around].sum() / lengths[around].sum()),
        float(gains[~around].sum() / lengths[~around].sum()),
    )


def _steps_to_fall(loss: Float[np.ndarray, " step"], rule: SpikeRule) -> int:
    """Steps until a loss is, and stays, below 1 / factor of its highest so far; 0 for no spike."""
    highest = np.maximum.accumulate(loss)
    for step in np.flatnonzero(loss * rule.factor < highest):
        # Spikes are jagged: a fall counts once it has lasted as long as a rise may take.
        if (loss[step : step + rule.rise_steps] * rule.factor < highest[step]).all():
            return int(step) if highest[step] >= rule.peak_loss else 0
    return 0
