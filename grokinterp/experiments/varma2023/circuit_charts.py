"""Charts of what circuits weigh, what they give, and what is forgotten."""

from __future__ import annotations

import numpy as np

from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.records import Runs, by, where
from grokinterp.experiments.varma2023.circuit_comparison import Circuits, column_of


def circuit_charts(runs: Runs, circuits: Circuits) -> tuple[Chart, ...]:
    """Draw norms, logits per norm and accuracies against the number of training pairs."""
    marks = tuple(
        Mark("x", critical.mean.value, f"D_crit by {reading} {critical.mean.value:.0f}")
        for reading, critical in circuits.critical.items()
        if critical.mean is not None
    )
    groups = (
        ("memorizing, at rest", circuits.memorizing, 0),
        ("memorizing, not converged", circuits.unconverged, 2),
        ("generalizing", circuits.held, 1),
        ("continued, and not the circuit alone", circuits.lost, 3),
    )
    points = {
        column: tuple(
            Series(name, column_of(rows, "n_train"), column_of(rows, column), color_index=color)
            for name, rows, color in groups
            if rows
        )
        for column in ("norm", "logit_per_norm")
    }
    return (
        Chart(
            "norm-against-size",
            "What each circuit weighs",
            "training pairs D",
            "norm of all trained weights",
            "The memorizing circuit weighs more the more pairs it knows; the generalizing one "
            "the same for any number. Where training rests their logits differ, so the D_crit of "
            "equal norms is not that of equal norms at a matched logit.",
            (*points["norm"], *_law_lines(circuits)),
            is_x_log=True,
            is_y_log=True,
            marks=marks,
        ),
        _price_chart(circuits),
        Chart(
            "logit-per-norm",
            "Logit per norm",
            "training pairs D",
            "correct logit minus mean logit, per norm",
            "Efficiency where training comes to rest. Networks of this kind are not homogeneous "
            "and rest at different logits, so it is no price of an equal logit.",
            points["logit_per_norm"],
            is_x_log=True,
            marks=marks,
        ),
        _forgetting_chart(runs, circuits, marks),
    )


def _law_lines(circuits: Circuits) -> tuple[Series, ...]:
    lines = []
    for index, (name, law) in enumerate(circuits.laws.items()):
        if law is not None:
            rows = circuits.memorizing if name == "memorizing" else circuits.held
            sizes = column_of(rows, "n_train")
            x = [min(sizes), max(sizes)]
            label = f"{name}: exponent {law.exponent:.3f}"
            y = [law.at(size) for size in x]
            lines.append(Series(label, x, y, kind="line", color_index=index, is_dashed=True))
    return tuple(lines)


def _price_chart(circuits: Circuits) -> Chart:
    return Chart(
        "price-of-memorizing",
        "What memorizing costs, relative to generalizing",
        "training pairs D",
        "price / price of the generalizing circuit",
        "Every memorizing run against the generalizing ones of its seed. Both are equally "
        "efficient where the price is 1.",
        tuple(
            Series(
                reading,
                [size for size, _ in critical.prices],
                [price for _, price in critical.prices],
                color_index=index,
            )
            for index, (reading, critical) in enumerate(circuits.critical.items())
            if critical.prices
        ),
        is_x_log=True,
        is_y_log=True,
        marks=(Mark("y", 1.0, "equally efficient"),),
    )


def _forgetting_chart(runs: Runs, circuits: Circuits, marks: tuple[Mark, ...]) -> Chart:
    continued = where(runs, lambda run: run["circuit"] != "memorizing")
    groups = by(continued, "circuit", "weight_decay")
    series = []
    for (circuit, decay), rows in groups.items():
        is_scratch = circuit == "from scratch"
        series.append(
            Series(
                f"{'from scratch' if is_scratch else 'continued'}, weight decay {decay:g}",
                column_of(rows, "n_train"),
                column_of(rows, "late_accuracy"),
                low=column_of(rows, "lowest_accuracy") if is_scratch else None,
                high=column_of(rows, "highest_accuracy") if is_scratch else None,
            )
        )
    curve, sizes = circuits.curve, column_of(circuits.continued, "n_train")
    if curve is not None:
        x = np.geomspace(min(sizes), max(sizes), 100)
        label = f"fitted: half forgotten at {curve.middle.value:.0f}"
        series.append(Series(label, x, [curve.at(size) for size in x], kind="line", is_dashed=True))
    return Chart(
        "accuracy-against-size",
        "Ungrokking",
        "training pairs D",
        "test accuracy on unmirrored pairs",
        "A grokked network that is continued on D pairs forgets below D_crit and keeps its "
        "answers above. Bars of runs from scratch: range over the second half of training.",
        tuple(series),
        is_x_log=True,
        marks=marks,
    )
