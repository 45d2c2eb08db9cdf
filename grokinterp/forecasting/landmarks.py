"""Runs at the same point of their lives: what a forecast at a step is fitted on.

A run that has memorized is compared with others as many times their own memorization step along; a
run that has not, with others at the same step. In this the clock of each run is its own: twice the
width or another learning rate makes all of a run faster or slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grokinterp.forecasting.states import CURVE_FEATURES, SETTING_FEATURES, FollowedRun
from grokinterp.laws.cure import SEEN, Times

FINENESS = 1.1
"""Landmarks are rounded to powers of it, so that runs nearly alike share a model."""

FEWEST_GROKKING = 20
"""Runs that must grok after a landmark for a forecast there."""


@dataclass(frozen=True)
class Landmark:
    """A step, in steps or in memorization steps."""

    at: int | float
    is_relative: bool
    """Whether `at` counts memorization steps."""

    def step_of(self, run: FollowedRun) -> int | float | None:
        """Step of a run at this landmark; None if it had not memorized while it was followed."""
        if not self.is_relative:
            return self.at
        memorized = run.memorization_step(np.inf)
        return None if memorized is None else self.at * memorized


def landmark_of(run: FollowedRun, at: int | float) -> Landmark:
    """Return the landmark of a run at a step, rounded.

    Examples
    --------
    >>> from grokinterp.forecasting.states import SETTING_FEATURES
    >>> flat = np.array([0.1, 0.1, 0.1])
    >>> run = FollowedRun("one", dict.fromkeys(SETTING_FEATURES, 0.0), 31, np.array([0.0, 50, 100]),
    ...     flat, flat, np.array([0.1, 1.0, 1.0]), flat)
    >>> landmark_of(run, 20).is_relative, landmark_of(run, 100).is_relative
    (False, True)
    """
    memorized = run.memorization_step(at)
    exact = at if memorized is None else at / max(memorized, 1.0)
    rounded = FINENESS ** round(np.log(max(exact, 1.0)) / np.log(FINENESS))
    return Landmark(float(rounded), memorized is not None)


@dataclass(frozen=True, eq=False)
class AtLandmark:
    """Runs that had not grokked at a landmark."""

    features: Float[np.ndarray, "run feature"]
    times: Times
    settings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.settings)

    @property
    def n_grok(self) -> int:
        """Runs that grok after the landmark."""
        return int((self.times.status == SEEN).sum()) if len(self) else 0

    def columns(self, with_curves: bool) -> Float[np.ndarray, "run column"]:
        """Features that a model is given: the settings, and the curves if wanted."""
        n = len(SETTING_FEATURES) + (len(CURVE_FEATURES) if with_curves else 0)
        return self.features[:, :n]

    def rows(self, chosen: np.ndarray) -> AtLandmark:
        """Return some of the runs."""
        settings = tuple(one for one, kept in zip(self.settings, chosen, strict=True) if kept)
        return AtLandmark(self.features[chosen], self.times.rows(chosen), settings)


def at_landmark(runs: Iterable[FollowedRun], landmark: Landmark) -> AtLandmark:
    """Gather the runs that were followed until a landmark and had not grokked there.

    Each configuration counts as much as its number of runs to the power of one half: seeds of one
    configuration tell less than as many configurations.
    """
    placed = [(run, landmark.step_of(run)) for run in runs]
    found = [
        (run, step)
        for run, step in placed
        if step is not None and step < run.end and step <= run.steps[-1]
    ]
    settings = tuple(run.setting for run, _ in found)
    features = [run.state(step) for run, step in found]
    n_features = len(SETTING_FEATURES) + len(CURVE_FEATURES)
    times = Times(
        np.log([run.end if np.isfinite(run.end) else step for run, step in found]),
        np.array([np.log(step) for _, step in found]),
        np.array([run.status for run, _ in found], dtype=int),
        weights_of(settings),
    )
    return AtLandmark(np.array(features).reshape(len(found), n_features), times, settings)


def weights_of(settings: Sequence[str]) -> Float[np.ndarray, " run"]:
    """Weigh runs so that a configuration counts as the square root of its runs."""
    _, which, counts = np.unique(settings, return_inverse=True, return_counts=True)
    return 1 / np.sqrt(counts[which]) if len(settings) else np.zeros(0)
