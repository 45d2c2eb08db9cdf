"""Forecasts judged on configurations that they have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from grokinterp.errors import FitError
from grokinterp.forecasting.calibrated import METHODS, Calibrated, Method, calibrate
from grokinterp.forecasting.landmarks import (
    FEWEST_GROKKING,
    AtLandmark,
    Landmark,
    at_landmark,
    landmark_of,
)
from grokinterp.forecasting.states import FollowedRun
from grokinterp.laws.cure import CENSORED, SEEN

MARKS: Mapping[str, tuple[int | float, bool]] = {
    "step 300": (300, False),
    "step 1,000": (1000, False),
    "2 memorization steps": (2, True),
    "4 memorization steps": (4, True),
}
"""Steps, and multiples of the run's own memorization step, up to which curves are used."""
N_DRAWS = 2000


def judge_forecasts(
    runs: Sequence[FollowedRun],
    methods: Sequence[Method] = METHODS,
    *,
    horizon: int | float,
    marks: Mapping[str, tuple[int | float, bool]] = MARKS,
) -> pd.DataFrame:
    """Forecast every run from all runs of the other configurations.

    Parameters
    ----------
    runs
        Whose endings are known.
    methods
        What is compared.
    horizon
        Step of the probability of never.
    marks
        Up to where curves are used, by name: a number, and whether it counts memorization steps.

    Returns
    -------
    pd.DataFrame
        A row per run, mark and method: ``setting``, ``run`` (its number), ``mark``, ``method``,
        ``status``, ``end`` (step at which it grokked or was last looked at), ``at``, ``median``,
        ``low``, ``high``, ``never``. The last four are NaN where :func:`~grokinterp.forecast`
        would refuse: fewer than 20 runs of the other configurations grok later.
    """
    rows: list[dict[str, object]] = []
    for setting in sorted({run.setting for run in runs}):
        rest = [run for run in runs if run.setting != setting]
        models = _Models(rest)
        for number, run in enumerate(runs):
            if run.setting == setting:
                rows += _rows_of(number, run, models, methods, horizon, marks)
    return pd.DataFrame(rows)


class _Models:
    """Models of the other configurations, by landmark."""

    def __init__(self, runs: Sequence[FollowedRun]) -> None:
        self._runs = runs
        self._gathered: dict[Landmark, AtLandmark] = {}
        self._found: dict[tuple[Landmark, str], Calibrated | None] = {}

    def at(self, landmark: Landmark, method: Method) -> Calibrated | None:
        key = (landmark, method.name)
        if key not in self._found:
            if landmark not in self._gathered:
                self._gathered[landmark] = at_landmark(self._runs, landmark)
            others = self._gathered[landmark]
            self._found[key] = None
            if others.n_grok >= FEWEST_GROKKING:
                with suppress(FitError):
                    self._found[key] = calibrate(method, others)
        return self._found[key]


def _rows_of(
    number: int,
    run: FollowedRun,
    models: _Models,
    methods: Sequence[Method],
    horizon: int | float,
    marks: Mapping[str, tuple[int | float, bool]],
) -> Iterator[dict[str, object]]:
    memorized = run.memorization_step(np.inf)
    for mark, (count, is_relative) in marks.items():
        if is_relative and memorized is None:
            continue
        at = count * memorized if is_relative and memorized is not None else count
        if at >= run.end or at > run.steps[-1]:
            continue
        features, step = run.state(at)[None], np.array([float(at)])
        for method in methods:
            # The settings alone do not know when a run memorized.
            is_fixed = not (method.with_curves or is_relative)
            landmark = Landmark(at, False) if is_fixed else landmark_of(run, at)
            yield {
                "setting": run.setting,
                "run": number,
                "mark": mark,
                "method": method.name,
                "status": run.status,
                "end": run.end,
                "at": at,
                **_told_by(models.at(landmark, method), features, step, max(horizon, at)),
            }


def _told_by(
    model: Calibrated | None,
    features: Float[np.ndarray, "1 feature"],
    step: Float[np.ndarray, " 1"],
    horizon: int | float,
) -> dict[str, float]:
    if model is None:
        return dict.fromkeys(("low", "median", "high", "never"), float("nan"))
    parts = {"low": model.low_part, "median": 0.5, "high": model.high_part}
    told = {name: float(model.quantile(features, step, part)[0]) for name, part in parts.items()}
    return {**told, "never": float(model.never_within(features, step, horizon)[0])}


def score_forecasts(judged: pd.DataFrame, *, horizon: int | float, seed: int = 0) -> pd.DataFrame:
    """Score what :func:`judge_forecasts` returned.

    Returns
    -------
    pd.DataFrame
        A row per mark and method. ``n``, ``n_settings``: runs that grok after the mark and have a
        forecast, and their configurations; ``n_refused``: those that have none, in no other column.
        ``rms``: of log T, natural logarithm; ``gain``: by how much its square is
        below that of the method ``config``, with the 95 % interval ``gain_low``, ``gain_high``
        over configurations. ``covered``: configurations, each counting as a run of its own
        drawn at random, whose grokking step lies in the interval, with the 95 % Clopper-Pearson
        interval ``covered_low``, ``covered_high``; ``covered_runs``: the share of all these runs.
        ``n_censored``, ``outlived``: censored runs, and the share of them that are known to lie
        above the lower end; of the others nothing is known. ``factor``: median of upper over
        lower end. ``within``: correlation of forecast and log T within configurations, with
        ``within_low``, ``within_high``. ``brier``, ``brier_base``: squared error of the
        probability of never, and of the share in all runs.
    """
    rows = []
    for mark in dict.fromkeys(judged["mark"]):
        baseline, _ = _told(judged, mark, METHODS[0].name)
        for method in dict.fromkeys(judged["method"]):
            part, n_refused = _told(judged, mark, method)
            found = _scores(part, baseline, horizon, seed) if SEEN in part["status"] else {"n": 0}
            rows.append({"mark": mark, "method": method, "n_refused": n_refused, **found})
    return pd.DataFrame(rows)


def _told(judged: pd.DataFrame, mark: str, method: str) -> tuple[dict[str, np.ndarray], int]:
    """Columns of the runs that have a forecast, and the number of grokking runs that have none."""
    rows = np.asarray((judged["mark"] == mark) & (judged["method"] == method))
    columns = {str(name): np.asarray(column)[rows] for name, column in judged.items()}
    has_forecast = ~np.isnan(columns["median"])
    n_refused = int(((columns["status"] == SEEN) & ~has_forecast).sum())
    return _where(columns, has_forecast), n_refused


def _where(part: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[chosen] for name, values in part.items()}


def _scores(
    part: dict[str, np.ndarray],
    baseline: dict[str, np.ndarray],
    horizon: int | float,
    seed: int,
) -> dict[str, int | float]:
    seen = _where(part, part["status"] == SEEN)
    error = np.log(seen["median"] / seen["end"])
    is_in = (seen["end"] >= seen["low"]) & (seen["end"] <= seen["high"])
    # One run of each configuration: seeds of one are not independent.
    drawn = np.random.RandomState(seed).permutation(len(is_in))
    one_each = drawn[np.unique(seen["setting"][drawn], return_index=True)[1]]
    hits, n_settings = int(is_in[one_each].sum()), len(one_each)
    covered = stats.binomtest(hits, max(n_settings, 1)).proportion_ci()
    known = _where(part, (part["status"] != CENSORED) | (part["end"] >= horizon))
    is_never = ((known["status"] != SEEN) | (known["end"] > horizon)).astype(float)
    censored = _where(part, part["status"] == CENSORED)
    n_censored = len(censored["end"])
    outlived = censored["end"] >= censored["low"]
    return {
        "n": len(error),
        "n_settings": n_settings,
        "rms": float(np.sqrt((error**2).mean())),
        **_gain(seen, baseline, seed),
        "covered": hits / max(n_settings, 1),
        "covered_low": covered.low,
        "covered_high": covered.high,
        "covered_runs": float(is_in.mean()),
        "n_censored": n_censored,
        "outlived": float(outlived.mean()) if n_censored else float("nan"),
        "factor": float(np.median(seen["high"] / seen["low"])),
        **_within(seen),
        "n_never": int(is_never.sum()),
        "brier": float(((known["never"] - is_never) ** 2).mean()),
        "brier_base": float(is_never.var()),
    }


def _gain(
    seen: dict[str, np.ndarray], baseline: dict[str, np.ndarray], seed: int
) -> dict[str, float]:
    """By how much squared errors are below those of the config alone, over configurations."""
    baseline = _where(baseline, baseline["status"] == SEEN)
    plain = dict(zip(baseline["run"], np.log(baseline["median"] / baseline["end"]), strict=True))
    both = np.isin(seen["run"], baseline["run"])
    own = np.log(seen["median"] / seen["end"])[both]
    gain = np.array([plain[run] for run in seen["run"][both]]) ** 2 - own**2
    names, which = np.unique(seen["setting"][both], return_inverse=True)
    means = np.bincount(which, weights=gain) / np.bincount(which)
    draws = np.random.default_rng(seed).integers(len(names), size=(N_DRAWS, len(names)))
    low, high = np.quantile(means[draws].mean(axis=1), [0.025, 0.975])
    return {"gain": float(means.mean()), "gain_low": float(low), "gain_high": float(high)}


def _within(seen: dict[str, np.ndarray]) -> dict[str, float]:
    """Correlation of what differs from the mean of the configuration, and its interval."""
    _, which, counts = np.unique(seen["setting"], return_inverse=True, return_counts=True)
    has_others = counts[which] > 1
    apart = []
    for name in ("median", "end"):
        logs = np.log(seen[name])
        apart.append((logs - (np.bincount(which, weights=logs) / counts)[which])[has_others])
    n_free = int(has_others.sum()) - int((counts > 1).sum())
    r = float("nan")
    if n_free >= 4 and all(one.std() > 1e-12 for one in apart):
        r = float(np.corrcoef(*apart)[0, 1])
    # Fisher's z; a mean for each configuration costs as many degrees of freedom.
    half = 1.96 / np.sqrt(max(n_free - 2, 1))
    z = np.arctanh(min(max(r, -0.999999), 0.999999)) if r == r else r
    low, high = (float(np.tanh(z + side)) for side in (-half, half))
    return {"within": r, "within_low": low, "within_high": high}
