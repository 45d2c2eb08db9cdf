"""Charts of losses and grokking times against the norm of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.curve_cells import points_of
from grokinterp.experiments.records import Record
from grokinterp.laws.survival import CensoredFit

LANDSCAPE, LANDSCAPE_MSE = "landscape", "landscape mse"
DELAY, DELAY_MSE = "large initial weights", "large initial weights mse"
CLAMPED, DECAYED = "norm held", "weight decay"
KEPT, STABLE = "norm held, small epsilon", "norm held, stable max"
"""Values of the column ``arm``."""
Arms = Mapping[str, Mapping[float, list[Record]]]


def norm_charts(arms: Arms, fits: Mapping[str, CensoredFit]) -> tuple[Chart, ...]:
    """Charts of whatever arms there are: landscapes, curves, and times against the held norm."""
    charts = [_landscape(arm, arms[arm]) for arm in (LANDSCAPE, LANDSCAPE_MSE) if arms.get(arm)]
    charts += [_curves(arm, runs) for arm, runs in arms.items() if arm in (DELAY, DELAY_MSE)]
    if arms.get(CLAMPED):
        charts.append(_times(arms, fits))
    return tuple(charts)


def _landscape(arm: str, by_norm: Mapping[float, list[Record]]) -> Chart:
    norms = sorted(by_norm)
    series = []
    for role in ("train", "test"):
        losses = [[run[f"{role}_loss"] for run in by_norm[w]] for w in norms]
        known = [[x for x in at if x is not None] or [math.nan] for at in losses]
        series.append(
            Series(
                f"{role} loss",
                norms,
                [median(at) for at in known],
                kind="line",
                low=[min(at) for at in known],
                high=[max(at) for at in known],
                role=role,
            )
        )
    unit = "mean squared error" if arm == LANDSCAPE_MSE else "nats"
    return Chart(
        arm.replace(" ", "-"),
        f"Loss of digits at a held norm ({unit})",
        "norm of all weights (in that of standard initial weights)",
        f"loss ({unit})",
        "Medians over seeds, bars from the lowest to the highest. The training loss should fall to "
        "a corner and stay down, the test loss rise on both sides.",
        tuple(series),
        is_x_log=True,
        is_y_log=True,
    )


def _curves(arm: str, by_scale: Mapping[float, list[Record]]) -> Chart:
    series = []
    for color, (factor, runs) in enumerate(sorted(by_scale.items())):
        points = points_of(runs[0]["curve_points"], 3)
        # A log axis has no place for step 0.
        steps = np.maximum(points[:, 0], 1)
        for column, role, is_dashed in ((1, "train", True), (2, "test", False)):
            name = f"{role}, initial weights times {factor:g}"
            series.append(
                Series(
                    name,
                    steps,
                    points[:, column],
                    kind="line",
                    color_index=color,
                    is_dashed=is_dashed,
                )
            )
    return Chart(
        arm.replace(" ", "-"),
        "Accuracy on digits along training"
        + (", squared error" if arm in (LANDSCAPE_MSE, DELAY_MSE) else ""),
        "step (the first is drawn at 1)",
        "accuracy",
        "One run for each factor of the initial weights; training accuracy is dashed.",
        tuple(series),
        is_x_log=True,
    )


def _times(arms: Arms, fits: Mapping[str, CensoredFit]) -> Chart:
    series = []
    for color, arm in enumerate((CLAMPED, KEPT, STABLE)):
        by_norm = arms.get(arm, {})
        runs = [run for norm in sorted(by_norm) for run in by_norm[norm]]
        if runs:
            series.append(
                Series(
                    f"T_grok, {arm}",
                    [run["init_scale"] for run in runs],
                    [run["grokking_time"] for run in runs],
                    is_censored=[bool(run["is_censored"]) for run in runs],
                    color_index=color,
                )
            )
        if arm in fits:
            series.append(_law(fits[arm], arm, sorted(by_norm), color))
    return Chart(
        "time-against-norm",
        "Grokking time on addition at a held norm, without weight decay",
        "norm of all weights (in that of standard initial weights)",
        "steps",
        "Every run. Open triangles: not by that step. The lines are fits with censored times.",
        tuple(series),
        is_y_log=True,
    )


def _law(fit: CensoredFit, arm: str, norms: Sequence[float], color: int) -> Series:
    x = np.linspace(norms[0], norms[-1], 20)
    middle = float(np.mean(list(fit.intercepts.values())))
    return Series(
        f"exp({fit.slope:.1f} rho), {arm}",
        x,
        np.exp(middle + fit.slope * x),
        kind="line",
        color_index=color,
        is_dashed=True,
    )
