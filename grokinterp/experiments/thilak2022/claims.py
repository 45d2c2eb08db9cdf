"""What runs with and without slingshots say, by the criterion of ``thilak2022``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.claims import (
    MIN_SEEDS,
    Claim,
    Findings,
    Verdict,
    at_least_half,
    too_few,
)
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    count,
    has,
    lacks,
    last_step_of,
    median_of,
    records_of,
    where,
)
from grokinterp.fields import Number

MIN_SPIKES = 2
"""Spikes that make a run with slingshots."""
GROWTH_RATIO = 3.0
GENERALIZED = 0.95

FREE = "no weight decay"
"""The condition that should have slingshots."""
QUIET = ("epsilon 1e-4", "float64 loss")
"""Conditions without weight decay that should have none."""


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion."""
    by_condition = by(records_of(table), "condition")
    free = by_condition.get(FREE, [])
    spiking = _judge_spikes(free)

    def absence(name: str, condition: str) -> Claim:
        return _judge_absence(name, by_condition.get(condition, []), spiking)

    claims = (
        spiking,
        _judge_norm(free),
        absence("none with a larger epsilon", "epsilon 1e-4"),
        absence("none with weight decay .1", "weight decay 0.1"),
        _judge_generalization(free, [by_condition.get(name, []) for name in QUIET]),
        absence("none with a float64 loss", "float64 loss"),
    )
    tables = {"conditions": _summary(by_condition)} if by_condition else {}
    return Findings(claims, tables, _charts(by_condition), _NOTES)


def _judge_spikes(free: Runs) -> Claim:
    name = "the training loss spikes again and again"
    if len(free) < MIN_SEEDS:
        return too_few(name, len(free))
    n_with = len(_with_slingshots(free))
    periods = [float(gap) for run in free for gap in np.diff(_numbers(run["spike_steps"]))]
    period = float(np.median(periods)) if periods else None
    return Claim(
        name,
        # A run without spikes may have them later.
        "confirmed" if at_least_half(n_with, len(free)) else "inconclusive",
        f"{n_with} of {len(free)} runs without weight decay have at least {MIN_SPIKES} spikes by "
        f"step {last_step_of(free):,}; their spikes: {_counts(free)}"
        + ("." if period is None else f", {period:,.0f} steps apart in the median."),
        {
            "n_runs": len(free),
            "n_with_slingshots": n_with,
            "median_spikes": median_of(free, "n_spikes"),
            "median_period": period,
        },
    )


def _judge_norm(free: Runs) -> Claim:
    name = "the last layer's norm rises around spikes and rests between"
    if len(free) < MIN_SEEDS:
        return too_few(name, len(free))
    known = where(_with_slingshots(free), has("growth_around"))
    if not known:
        return Claim(name, "inconclusive", "No run has slingshots, so there is nothing to read.")
    n_stepwise = count(
        known, lambda run: run["growth_around"] > max(0, GROWTH_RATIO * run["growth_between"])
    )
    around, between = (median_of(known, f"growth_{where}") for where in ("around", "between"))
    return Claim(
        name,
        "confirmed" if at_least_half(n_stepwise, len(known)) else "not confirmed",
        f"In {n_stepwise} of {len(known)} runs with slingshots the norm of the unembedding grows "
        f"more than {GROWTH_RATIO:g} times as fast around the spikes: {around:.2f} per 1,000 steps "
        f"there and {between:.2f} on the plateaus (medians).",
        {
            "n_runs": len(known),
            "n_stepwise": n_stepwise,
            "growth_around_per_1000": around,
            "growth_between_per_1000": between,
        },
    )


def _judge_absence(name: str, runs: Runs, spiking: Claim) -> Claim:
    """Judge a condition that should have no spike at all."""
    # One that diverged was not followed to where its spikes would have been.
    runs = where(runs, lacks("diverged_at"))
    if len(runs) < MIN_SEEDS:
        return too_few(name, len(runs), of="a condition that did not diverge")
    n_with = count(runs, lambda run: run["n_spikes"] > 0)
    numbers: dict[str, Number] = {"n_runs": len(runs), "n_with_spikes": n_with}
    seen = (
        f"{n_with} of {len(runs)} runs have a spike by step {last_step_of(runs):,}; their spikes: "
        f"{_counts(runs)}."
    )
    if spiking.verdict != "confirmed":
        reason = " Without slingshots in the runs to compare with, that says nothing."
        return Claim(name, "inconclusive", seen + reason, numbers)
    verdict: Verdict = "inconclusive"
    if n_with == 0:
        verdict = "confirmed"
    elif at_least_half(n_with, len(runs)):
        verdict = "not confirmed"
    return Claim(name, verdict, seen, numbers)


def _judge_generalization(free: Runs, quiet_conditions: Sequence[Runs]) -> Claim:
    name = "generalization comes with the slingshots"
    quiet_conditions = [where(runs, lacks("diverged_at")) for runs in quiet_conditions]
    fewest = min(len(runs) for runs in (free, *quiet_conditions))
    if fewest < MIN_SEEDS:
        return too_few(name, fewest, of="a condition that did not diverge")
    quiet = [run for runs in quiet_conditions for run in runs]
    n_after = count(free, _generalized_after_a_spike)
    n_free, n_quiet = (count(runs, has("unmirrored_crossing_step")) for runs in (free, quiet))
    accuracies = [median_of(runs, "best_unmirrored") or 0.0 for runs in (free, quiet)]
    gain = accuracies[0] - accuracies[1]
    verdict: Verdict = "inconclusive"
    if at_least_half(n_after, len(free)) and not n_quiet:
        verdict = "confirmed"
    elif at_least_half(n_quiet, len(quiet)):
        verdict = "not confirmed"
    return Claim(
        name,
        verdict,
        f"On test pairs whose mirror image is not trained, {n_after} of {len(free)} runs passed "
        f"{GENERALIZED:.0%} after a spike, and {n_quiet} of {len(quiet)} runs of the conditions "
        f"without slingshots did; the others did not by step {last_step_of(free):,}. The best "
        f"accuracy there is {accuracies[0]:.0%} and {accuracies[1]:.0%} (medians).",
        {
            "n_generalized_after_a_spike": n_after,
            "n_generalized_without_slingshots": n_quiet,
            "n_not_generalized": len(free) - n_free,
            "median_accuracy_gain": gain,
        },
    )


def _with_slingshots(runs: Runs) -> list[Record]:
    return where(runs, lambda run: run["n_spikes"] >= MIN_SPIKES)


def _generalized_after_a_spike(run: Record) -> bool:
    spikes, crossing = _numbers(run["spike_steps"]), run["unmirrored_crossing_step"]
    return bool(spikes) and crossing is not None and crossing > spikes[0]


def _numbers(cell: object) -> list[float]:
    """Numbers of a cell that holds them separated by spaces; one alone may be read as a number."""
    return [] if cell is None else [float(part) for part in str(cell).split()]


def _counts(runs: Runs) -> str:
    return ", ".join(str(int(run["n_spikes"])) for run in runs)


def _summary(by_condition: Mapping[str, Runs]) -> pd.DataFrame:
    rows = [
        {
            "condition": name,
            "n_runs": len(runs),
            "spikes": _counts(runs),
            "median_growth_around": median_of(runs, "growth_around"),
            "median_growth_between": median_of(runs, "growth_between"),
            "median_best_unmirrored": median_of(runs, "best_unmirrored"),
            "n_not_generalized": count(runs, lacks("unmirrored_crossing_step")),
            "last_step": last_step_of(runs),
        }
        for name, runs in by_condition.items()
    ]
    return pd.DataFrame(rows)


def _charts(by_condition: Mapping[str, Runs]) -> tuple[Chart, ...]:
    if not by_condition:
        return ()
    spikes, norms = [], []
    for color, (name, runs) in enumerate(by_condition.items()):
        onsets, peaks = (
            [value for run in runs for value in _numbers(run[column])]
            for column in ("spike_steps", "spike_losses")
        )
        spikes.append(Series(name, onsets, peaks, color_index=color))
        points = [point.split(":") for point in str(runs[0]["norm_points"]).split()]
        steps, values = ([float(point[i]) for point in points] for i in (0, 1))
        norms.append(Series(name, steps, values, kind="line", color_index=color))
    return (
        Chart(
            "spikes",
            "Spikes of the training loss",
            "step of the onset",
            "highest training loss of the spike (nats)",
            "Every spike of every run. A condition without points has none.",
            tuple(spikes),
            is_y_log=True,
        ),
        Chart(
            "last-layer-norm",
            "Norm of the last layer",
            "step",
            "norm of the unembedding",
            "One run of each condition, drawn through its first and last checkpoints, steps 100, "
            "200 and 500, and the checkpoints before and after every spike: a cycle is a step and "
            "a plateau. Between these points the lines are straight by construction.",
            tuple(norms),
        ),
    )


_NOTES = (
    "A commutative operation gives away the answer of every test pair whose mirror image is "
    "trained; accuracies here are on the others.",
    "Spikes at Adam's small epsilon that vanish with a float64 loss are what rounding of a loss "
    "near its smallest float32 value explains: Prieto et al., arXiv:2501.04697.",
)
