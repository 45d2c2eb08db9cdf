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
    share_verdict,
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
from grokinterp.experiments.thilak2022.words import in_plain_words
from grokinterp.fields import Number

MIN_SPIKES = 2
"""Spikes, and slingshots, that make a cycle of a single event."""
MOSTLY, SELDOM = 2 / 3, 1 / 3
"""Part of the spikes of a run that go with a cycle of the norm."""
ENOUGH_SLINGSHOTS, MANY_SLINGSHOTS = 4, 20
GENERALIZED = 0.95
FLOAT32_LOSS = 2.0**-23
"""Nats; a loss below it is a rounding error or two of a probability near 1."""
ROUNDING_SHARE, NO_ROUNDING_SHARE = 0.9, 0.5

FREE = "no weight decay"
"""The condition that should have slingshots."""
QUIET = ("epsilon 1e-4", "float64 loss")
"""Conditions without weight decay that should have none."""
PAPERS_EPSILON, PAPERS_DECAY = "epsilon 1e-5", "weight decay 0.01"
"""The paper's own epsilon, and its decay by learning rate times decay."""


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion."""
    by_condition = by(records_of(table), "condition")
    free = by_condition.get(FREE, [])
    spiking = _judge_spikes(free)

    def absence(name: str, condition: str) -> Claim:
        return _judge_absence(name, by_condition.get(condition, []), spiking)

    claims = (
        spiking,
        _judge_cycles(free),
        absence("none with a larger epsilon", PAPERS_EPSILON),
        absence("none with the paper's weight decay", PAPERS_DECAY),
        _judge_generalization(free, [by_condition.get(name, []) for name in QUIET]),
        absence("none with a float64 loss", "float64 loss"),
        _judge_rounding(free),
    )
    tables = {"conditions": _summary(by_condition)} if by_condition else {}
    return Findings(claims, tables, _charts(by_condition), _NOTES, in_plain_words(claims))


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


def _judge_cycles(free: Runs) -> Claim:
    name = "the spikes go with cycles of the last layer's norm"
    if len(free) < MIN_SEEDS:
        return too_few(name, len(free))
    known = where(free, lambda run: run["n_spikes_followed"] >= MIN_SPIKES)
    if not known:
        sentence = f"No run has {MIN_SPIKES} spikes, so there is nothing to read."
        return Claim(name, "inconclusive", sentence)
    n_mostly = count(
        known, lambda run: run["n_slingshots"] >= MIN_SPIKES and _share(run) >= MOSTLY - 1e-9
    )
    n_seldom = count(known, lambda run: _share(run) < SELDOM)
    verdict: Verdict = "inconclusive"
    if at_least_half(n_mostly, len(known)):
        verdict = "confirmed"
    elif at_least_half(n_seldom, len(known)):
        verdict = "not confirmed"
    return Claim(
        name,
        verdict,
        f"In {n_mostly} of {len(known)} runs with spikes at least two thirds of them go with a "
        "rise of the unembedding's norm that ends on a plateau; spikes that go with one, of all: "
        + ", ".join(f"{run['n_slingshots']} of {run['n_spikes_followed']}" for run in known)
        + ".",
        {
            "n_runs": len(known),
            "n_mostly": n_mostly,
            "n_seldom": n_seldom,
            "median_slingshots": median_of(known, "n_slingshots"),
            "growth_around_per_1000": median_of(known, "growth_around"),
            "growth_between_per_1000": median_of(known, "growth_between"),
        },
    )


def _share(run: Record) -> float:
    return float(run["n_slingshots"]) / float(run["n_spikes_followed"])


def _judge_rounding(free: Runs) -> Claim:
    name = "the spikes begin where float32 rounds the loss"
    losses = [loss for run in free for loss in _numbers(run["losses_before"])]
    if not losses:
        return Claim(name, "inconclusive", "There is no spike.", is_main=False)
    n_rounded = sum(loss < FLOAT32_LOSS for loss in losses)
    return Claim(
        name,
        share_verdict(
            n_rounded,
            len(losses),
            confirmed_from=ROUNDING_SHARE,
            refuted_below=NO_ROUNDING_SHARE,
        ),
        f"{n_rounded} of {len(losses)} spikes without weight decay begin at a training loss below "
        f"{FLOAT32_LOSS:.1e} nats, the spacing of float32 numbers at 1; the median is "
        f"{np.median(losses):.1e}.",
        {
            "n_spikes": len(losses),
            "n_rounded": n_rounded,
            "median_loss_before": float(np.median(losses)),
        },
        is_main=False,
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
    judged = where(free, lambda run: run["n_slingshots"] >= ENOUGH_SLINGSHOTS)
    n_after = count(judged, _generalized_after_four)
    n_many = count(judged, lambda run: run["n_slingshots"] >= MANY_SLINGSHOTS)
    n_quiet = count(quiet, has("unmirrored_crossing_step"))
    accuracies = [median_of(runs, "best_unmirrored") or 0.0 for runs in (free, quiet)]
    verdict: Verdict = "inconclusive"
    if at_least_half(n_quiet, len(quiet)):
        verdict = "not confirmed"
    elif len(judged) >= MIN_SEEDS and at_least_half(n_after, len(judged)) and not n_quiet:
        verdict = "confirmed"
    elif len(judged) >= MIN_SEEDS and at_least_half(n_many, len(judged)) and not n_after:
        verdict = "not confirmed"
    return Claim(
        name,
        verdict,
        f"{len(judged)} of {len(free)} runs have at least {ENOUGH_SLINGSHOTS} slingshots. On test "
        f"pairs whose mirror image is not trained {n_after} of these passed {GENERALIZED:.0%} "
        f"after the fourth, and {n_quiet} of {len(quiet)} runs of the conditions without "
        f"slingshots did; the others did not by step {last_step_of(free):,}. The best accuracy "
        f"there is {accuracies[0]:.0%} with and {accuracies[1]:.0%} without slingshots (medians).",
        {
            "n_judged": len(judged),
            "n_with_many": n_many,
            "n_generalized_after_slingshots": n_after,
            "n_generalized_without_slingshots": n_quiet,
            "median_best_with": accuracies[0],
            "median_best_without": accuracies[1],
        },
    )


def _with_slingshots(runs: Runs) -> list[Record]:
    return where(runs, lambda run: run["n_spikes"] >= MIN_SPIKES)


def _generalized_after_four(run: Record) -> bool:
    crossing, fourth = run["unmirrored_crossing_step"], run["fourth_slingshot_step"]
    return crossing is not None and fourth is not None and crossing > fourth


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
            "norm_cycles": ", ".join(str(int(run["n_norm_cycles"])) for run in runs),
            "slingshots": ", ".join(str(int(run["n_slingshots"])) for run in runs),
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
