"""When a run will grok, from its config and its curves so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError, FitError
from grokinterp.fields import checked
from grokinterp.forecasting.bank_runs import bank, longest_followed
from grokinterp.forecasting.calibrated import LEVEL, Calibrated, Method, calibrate
from grokinterp.forecasting.coverage import why_not_covered
from grokinterp.forecasting.landmarks import (
    FEWEST_GROKKING,
    Landmark,
    at_landmark,
    landmark_of,
)
from grokinterp.forecasting.states import FollowedRun, features_of_config
from grokinterp.reprs import card_repr, in_lines
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run
from grokinterp.runs.stopping import early_stop
from grokinterp.trajectory.thresholds import Thresholds

METHOD = Method("log-logistic", "log-logistic")
"""The best of those that the page on forecasts compares on the bank."""
_CURVES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


@dataclass(frozen=True, repr=False)
class Forecast:
    """When a run will grok, or the reason why nothing is said.

    Examples
    --------
    >>> forecast = gi.forecast(run)
    >>> forecast.median is None, forecast.reason[:40]
    (True, 'the bank of runs has nothing like it: p=')
    """

    at: int
    """Step up to which the curves were used."""
    horizon: int
    """Step of `never`."""
    median: int | None = None
    """Step before which it groks with the same chance as after, if it groks; None: see `reason`."""
    interval: tuple[int, int | None] | None = None
    """Steps between which it groks at `level`, if it groks. An upper end of None lies beyond
    the steps for which any run of the bank was followed. The median may lie outside: the
    interval holds on configurations that the model had not seen, the median is the model's."""
    never: float | None = None
    """Probability that it does not grok up to the horizon."""
    level: float = LEVEL
    """Share of intervals that hold."""
    n_settings: int = 0
    """Configurations of the bank that the interval was calibrated on; those whose runs were cut
    off count in part."""
    reason: str = ""
    """Why there is no forecast; empty where there is one."""

    @property
    def sentence(self) -> str:
        """The forecast in words."""
        if self.median is None or self.interval is None or self.never is None:
            return f"no forecast: {self.reason}"
        longest, (low, high) = longest_followed(), self.interval
        last = f"later than {longest:,}" if high is None else f"{high:,}"
        middle = f"at {self.median:,}" if self.median <= longest else f"later than {longest:,}"
        when = f"{middle} ({low:,} to {last} at {100 * self.level:.0f}%)"
        never = f"never within {self.horizon:,}: {_per_cent(self.never)}"
        if self.never > 0.5:
            return f"{never}; if it groks, {when}"
        return f"expected to grok {when}; {never}"

    @property
    def title(self) -> str:
        """Heading of its card."""
        return f"Forecast at step {self.at:,}"

    def in_rows(self) -> dict[str, str | None]:
        """What its text and its card show."""
        if self.median is None:
            return {"no forecast": self.reason}
        return {
            "forecast": self.sentence,
            "calibrated on": f"about {self.n_settings} configurations of the bank",
        }

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr


def _per_cent(probability: float) -> str:
    if probability < 0.01:
        return "below 1%"
    return "above 99%" if probability > 0.99 else f"{100 * probability:.0f}%"


def forecast(
    run: Run, at: int | None = None, *, horizon: int | None = None, level: float = LEVEL
) -> Forecast:
    """Forecast the grokking step of a run from its config and its curves up to a step.

    The run is compared with those of the shipped bank at the same point of their lives: as many
    memorization steps along, or, before it memorizes, at the same step. From settings and curves
    a mixture cure model with log-logistic times says whether they grok afterward and when; its
    intervals are those that held on configurations the model had not seen.

    Parameters
    ----------
    run
        A run with losses and accuracies of test pairs, on disk or in memory.
    at
        Step up to which its curves are used; None for all of them. Nothing later is looked at.
    horizon
        Step of ``never``; None for the last step of the config, or for 3,000, as long as the bank
        was followed, if that is less or `at` is the last step.
    level
        Of the interval, between 0.5 and 0.95.

    Returns
    -------
    Forecast
        With a `reason` and no numbers where the bank covers no such run, where it has
        generalized or diverged by then, or where too few runs of the bank last so long.

    Raises
    ------
    ConfigError
        If an argument is out of range.

    Examples
    --------
    >>> quick = gi.PRESETS["perceptron"]
    >>> run = gi.train(quick, "ckpts/forecast", progress=False)
    >>> forecast = gi.forecast(run, at=300)
    >>> low, high = forecast.interval
    >>> low <= forecast.median <= high, forecast.horizon <= 3000
    (True, True)

    References
    ----------
    Farewell, Biometrics 38, 1982 (mixture cure models); van Houwelingen, Scandinavian Journal of
    Statistics 34, 2007 (landmarks); Candes, Lei and Ren, JRSS B 85, 2023, arXiv:2103.09763
    (conformal prediction with censored times).
    """
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    curves = _tested(run)
    last = 0 if curves is None else int(curves["step"].iloc[-1])
    at = _checked_step(at, last)
    horizon = _checked_horizon(horizon, run, at)
    if not 0.5 <= checked("level", level, float) <= 0.95:
        raise ConfigError(f"level={level} is not allowed. Use 0.5 to 0.95; the bank tells no more.")
    known = {"at": at, "horizon": horizon, "level": level}
    why = _why_not(run, curves, at)
    if curves is None or why:
        return Forecast(**known, reason=why)
    return forecast_of(_followed(run, curves), at, horizon, level)


def forecast_of(run: FollowedRun, at: int, horizon: int, level: float = LEVEL) -> Forecast:
    """Forecast a run that the bank covers."""
    known = {"at": at, "horizon": horizon, "level": level}
    if why := run.why_no_state(at):
        return Forecast(**known, reason=why)
    if at >= longest_followed():
        beyond = f"no run of the bank was followed beyond step {longest_followed():,}"
        return Forecast(**known, reason=beyond)
    found = _model_at(landmark_of(run, at), level)
    if isinstance(found, str):
        return Forecast(**known, reason=found)
    features, step = run.state(at)[None], np.array([float(max(at, 1))])
    low, middle, high = (
        float(found.quantile(features, step, part)[0])
        for part in (found.low_part, 0.5, found.high_part)
    )
    never = float(found.never_within(features, step, max(horizon, at))[0])
    is_open = high > longest_followed()
    return Forecast(
        **known,
        median=round(middle),
        interval=(round(low), None if is_open else round(high)),
        never=never,
        n_settings=found.n_settings,
    )


@lru_cache(maxsize=256)
def _model_at(landmark: Landmark, level: float) -> Calibrated | str:
    """Model of the bank's runs at a landmark, or why there is none."""
    runs = at_landmark(bank(), landmark)
    if runs.n_grok < FEWEST_GROKKING:
        unit = "memorization steps" if landmark.is_relative else "steps"
        return (
            f"only {runs.n_grok} runs of the bank grok later than {landmark.at:.3g} {unit}, and "
            f"{FEWEST_GROKKING} are needed"
        )
    try:
        return calibrate(METHOD, runs, level=level)
    except FitError as error:
        return str(error)


def _tested(run: Run) -> pd.DataFrame | None:
    """Curves at the tested steps; None where one of the four is not recorded."""
    if not set(_CURVES) <= set(run.curves):
        return None
    tested = run.curves.dropna(subset=list(_CURVES))
    return tested if len(tested) else None


def _checked_step(at: int | None, last: int) -> int:
    if at is None or (last < 1 and checked("at", at, int) >= 1):
        return last if at is None else at
    if not 1 <= checked("at", at, int) <= max(last, 1):
        raise ConfigError(f"at={at} is not allowed. Use a step from 1 to {last}, the last tested.")
    return at


def _checked_horizon(horizon: int | None, run: Run, at: int) -> int:
    longest = longest_followed()
    if horizon is None:
        n_steps = run.config.n_steps if isinstance(run.config, TrainConfig) else longest
        return min(n_steps, longest) if n_steps > at else longest
    if not at < checked("horizon", horizon, int) <= longest:
        raise ConfigError(
            f"horizon={horizon} is not allowed. Use a step after {at}, up to {longest}: no run of "
            "the bank was followed for longer."
        )
    return horizon


def _why_not(run: Run, curves: pd.DataFrame | None, at: int) -> str:
    """Say why nothing can be forecast; empty if it can."""
    if run.doubts:
        return f"its files may be read wrongly: {run.doubts[0]}"
    if not isinstance(run.config, TrainConfig):
        return "its config is not known"
    if curves is None:
        return "its losses and accuracies on test pairs were not recorded"
    if run.diverged_at is not None and run.diverged_at <= at:
        return f"it diverged at step {run.diverged_at:,}"
    if why := why_not_covered(run.config.to_dict()):
        return f"the bank of runs has nothing like it: {why}"
    steps, accuracies = (curves[name].to_numpy() for name in ("step", "test_accuracy"))
    n_tested = int((steps <= at).sum())
    if not n_tested:
        return f"it was not tested up to step {at:,}"
    accuracy = float(accuracies[n_tested - 1])
    if accuracy > Thresholds().grokking:
        step = int(steps[n_tested - 1])
        return f"it generalizes already: test accuracy {accuracy:.3g} at step {step:,}"
    return ""


def _followed(run: Run, curves: pd.DataFrame) -> FollowedRun:
    assert isinstance(run.config, TrainConfig)
    columns: dict[str, Any] = {name: curves[name].to_numpy(dtype=float) for name in _CURVES}
    config = run.config.to_dict()
    return FollowedRun(
        "this run",
        features_of_config(config),
        run.task.n_classes,
        curves["step"].to_numpy(dtype=float),
        **columns,
        last_step=math.inf,
    )


def forecast_under_way(run: Run) -> Forecast | None:
    """Forecast a run that has steps before it; None for one that is over or was imported."""
    if run.is_imported or not isinstance(run.config, TrainConfig):
        return None
    curves = _tested(run)
    if run.last_step >= run.config.n_steps or curves is None or run.diverged_at is not None:
        return None
    if early_stop(run.config, run.curves)[1] == run.last_step:
        return None
    has_generalized = float(curves["test_accuracy"].iloc[-1]) > Thresholds().grokking
    return None if has_generalized else forecast(run)
