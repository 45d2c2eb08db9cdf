"""Figures of the question: when runs fit and generalize, how sharply, and noise as a dose."""

from __future__ import annotations

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.conditions.outcomes import Table
from grokinterp.experiments.conditions.settings import NOISE
from grokinterp.experiments.records import has, is_censored, where


def charts_of(table: Table) -> tuple[Chart, ...]:
    """Return the figures; the one of the noise only where there was noise."""
    noise = _noise_chart(table)
    return (_times_chart(table), _widths_chart(table), *([noise] if noise else []))


def _times_chart(table: Table) -> Chart:
    series = []
    for name, runs in table.by_condition.items():
        fitted = where(runs, has("memorization_step"))
        if fitted:
            fits, times = ([r[c] for r in fitted] for c in ("memorization_step", "grokking_time"))
            series.append(Series(name, fits, times, is_censored=[r["is_censored"] for r in fitted]))
    return Chart(
        "times",
        "When networks fit, and when they generalize",
        "step with training accuracy > 99 %",
        "step with test accuracy above its level",
        "The level is 95 %, for digits 85 % and for tumors 90 %. Open triangles did not generalize "
        "by the step at which they stand. Runs that had not fitted their training set by their "
        "last step have no place here; the table has them.",
        tuple(series),
        is_x_log=True,
        is_y_log=True,
    )


def _widths_chart(table: Table) -> Chart:
    series = []
    for name, runs in table.by_condition.items():
        late = [run for run in runs if (run["grokking_delay"] or 0) > 0 and run["transition_width"]]
        if late:
            delays, widths = ([r[c] for r in late] for c in ("grokking_delay", "transition_width"))
            series.append(Series(name, delays, widths))
    delays = [float(x) for one in series for x in one.x]
    ends = [min(delays), max(delays)] if delays else []
    half = Series("half the delay", ends, [end / 2 for end in ends], kind="line", is_dashed=True)
    return Chart(
        "widths",
        "Late, and sharp or not",
        "delay of generalization (steps)",
        "width of the transition (steps)",
        "From 10 to 90 % of the way from the plateau to 1. Below the dashed line a transition "
        "takes less than half the delay. Widths here are of all test pairs; outcomes are judged on "
        "those whose mirror image is not trained.",
        (*series, half),
        is_x_log=True,
        is_y_log=True,
    )


def _noise_chart(table: Table) -> Chart | None:
    runs = [(strength, run) for name, strength in NOISE.items() for run in table.of(name)]
    if not runs:
        return None
    return Chart(
        "noise",
        "Gradient noise alone, as a dose",
        "standard deviation of the noise in every entry of the gradient",
        "step with test accuracy > 95 %",
        "One point for each seed. Open triangles had not crossed 95 % by the step at which they "
        "stand.",
        (
            Series(
                "gradient noise",
                [strength for strength, _ in runs],
                [run["grokking_time"] for _, run in runs],
                is_censored=[is_censored(run) for _, run in runs],
            ),
        ),
        is_x_log=True,
        is_y_log=True,
    )
