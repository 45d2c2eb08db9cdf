"""Charts of what circuits weigh, what they give, and what is forgotten."""

from __future__ import annotations

from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.records import Runs, by, where
from grokinterp.experiments.varma2023.circuit_comparison import Circuits, column_of


def circuit_charts(runs: Runs, circuits: Circuits) -> tuple[Chart, ...]:
    """Draw norms, logits per norm and accuracies against the number of training pairs."""
    critical = circuits.critical_size
    marks = () if critical is None else (Mark("x", critical, f"D_crit {critical:.0f}"),)
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
            "the same for any number. They meet at D_crit.",
            (*points["norm"], *_law_lines(circuits)),
            is_x_log=True,
            is_y_log=True,
            marks=marks,
        ),
        Chart(
            "logit-per-norm",
            "Logit per norm",
            "training pairs D",
            "correct logit minus mean logit, per norm",
            "A cruder efficiency: networks of this kind are not homogeneous, so logits do not "
            "grow in proportion to the norm.",
            points["logit_per_norm"],
            is_x_log=True,
            marks=marks,
        ),
        _forgetting_chart(runs, marks),
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


def _forgetting_chart(runs: Runs, marks: tuple[Mark, ...]) -> Chart:
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
